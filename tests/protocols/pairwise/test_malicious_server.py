"""A server that does what it likes, line by line of what a client refuses: a typed error, and no secret has been sent.

Keys and the key directory are here; survivor sets and confirmations in test_malicious_survivors.py, sessions that a
client does not even enter in test_malicious_sessions.py, and what several refusals together prevent in
test_malicious_attacks.py.
"""

import dataclasses
from collections.abc import Callable
from typing import Final

import pytest

from protocols import (
    Adversary,
    SecAgg,
    SecAggPlus,
    Secret,
)
from protocols.crypto.key_agreement import X25519
from protocols.identity import Identity, Signatures
from protocols.pairwise import schedule
from protocols.pairwise.derived import KEYS, SHARES, SURVIVORS
from protocols.pairwise.messages import (
    AdvertisedKeys,
    KeyDirectory,
)
from protocols.testing import fixed_identity
from tests.conformance.cohorts import Setting, member, setting
from tests.support.malicious_server import MaliciousServer

SHARE = 1
CLIENTS: Final = tuple(range(6))
WHERE: Final = setting(SecAgg(adversary=Adversary.MALICIOUS), CLIENTS, 4)
SPARSE: Final = setting(SecAggPlus(neighbours=4, share_threshold=4, adversary=Adversary.MALICIOUS), tuple(range(9)), 6)
LOW_ORDER: Final = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
Keys = dict[int, AdvertisedKeys]


def at(number: int, where: Setting = WHERE) -> MaliciousServer:
    run = MaliciousServer(where)
    run.to_step(number)
    return run


def known(label: bytes) -> tuple[bytes, bytes]:
    """Two public keys whose private keys the server knows."""
    sealing, masking = (X25519.from_secret(Secret(label.ljust(31, b".") + end)).public for end in (b"1", b"2"))
    return sealing, masking


def signed(
    run: MaliciousServer,
    pair: tuple[bytes, bytes],
    *,
    client: int = 1,
    signer: Identity | None = None,
    purpose: bytes = KEYS,
    digest: bytes | None = None,
) -> AdvertisedKeys:
    """Two keys that are said to be a client's, with its own signature unless another's is asked for."""
    who = member(client, run.scenario.session)
    if signer is not None:
        who = dataclasses.replace(who, identity=signer)
    made = Signatures(digest or run.setup.digest, run.scenario.session.roster)
    return AdvertisedKeys(*pair, made.sign(who.identity, client=client, purpose=purpose, payload=pair[0] + pair[1]))


def elsewhere(where: Setting, **changes: object) -> Keys:
    """The keys that the same clients have advertised in another session."""
    session = dataclasses.replace(where.session, **changes)  # type: ignore[arg-type]  # fields of a session
    run = MaliciousServer(Setting(label="elsewhere", protocol=where.protocol, session=session), seed=b"elsewhere")
    run.deliver(run.replies())
    return run.keys


# A key that is not signed by the roster's identity, or for another session, round, purpose or client.


@pytest.mark.parametrize(
    "forge",
    [
        lambda run: AdvertisedKeys(*known(b"server"), b""),
        lambda run: AdvertisedKeys(*known(b"server"), bytes(64)),
        lambda run: AdvertisedKeys(*known(b"server"), run.keys[1].signature),
        lambda run: AdvertisedKeys(*known(b"server"), run.keys[1].signature + b"\x00"),
        lambda run: AdvertisedKeys(*known(b"server"), run.keys[1].signature[:-1]),
        lambda run: AdvertisedKeys(run.keys[1].sealing, known(b"server")[1], run.keys[1].signature),
        lambda run: AdvertisedKeys(known(b"server")[0], run.keys[1].masking, run.keys[1].signature),
        lambda run: AdvertisedKeys(run.keys[1].masking, run.keys[1].sealing, run.keys[1].signature),
        lambda run: signed(run, known(b"server"), signer=fixed_identity(99)),
        lambda run: signed(run, known(b"server"), signer=fixed_identity(2)),
        lambda run: signed(run, known(b"server"), purpose=SHARES),
        lambda run: signed(run, known(b"server"), purpose=SURVIVORS),
        lambda run: signed(run, known(b"server"), digest=bytes(32)),
        lambda run: signed(run, known(b"server"), client=2),
        lambda run: run.keys[2],
        lambda run: run.keys[0],
        lambda run: elsewhere(WHERE, session_id=b"the session before this one")[1],
        lambda run: elsewhere(WHERE, context=b"round 7 of the same training")[1],
        lambda run: elsewhere(WHERE, threshold=5)[1],
        lambda run: elsewhere(WHERE, length=41)[1],
        lambda run: elsewhere(WHERE, modulus=2**17)[1],
    ],
    ids=[
        "unsigned",
        "signature of zeros",
        "signature of the honest keys",
        "signature too long",
        "signature too short",
        "another masking key",
        "another sealing key",
        "keys swapped",
        "signed by a stranger",
        "signed by client 2",
        "signed as shares",
        "signed as survivors",
        "signed for another digest",
        "signed as client 2",
        "keys of client 2",
        "keys of client 0",
        "of another session",
        "of another context",
        "of another threshold",
        "of another length",
        "of another modulus",
    ],
)
def test_client_refuses_a_key_that_its_owner_has_not_signed_for_this(
    forge: Callable[[MaliciousServer], AdvertisedKeys],
) -> None:
    """The server puts another key of client 1 into the directory: made up, swapped, or signed by another identity, for
    another purpose or in another session. The client must refuse: client 1 has not signed it for this.
    """
    run = at(SHARE)
    match = "not signed by client 1 for this purpose in this session"
    run.refuses(0, run.directory(0, run.keys | {1: forge(run)}), match)


def test_client_takes_another_key_that_its_owner_has_signed() -> None:
    """A corrupt client signs keys that the server knows.

    The client accepts them, so the refusals above are due to the signatures.
    """
    run = at(SHARE)
    run.ask(0, run.directory(0, run.keys | {1: signed(run, known(b"client 1"))}))
    assert not run.clients[0].closed
    assert run.clients_that_leaked() == set()


# Its own key, a repeated key, a low-order point: by a client that helps the server, and signs what it is told to.


@pytest.mark.parametrize(
    ("corrupt", "match"),
    [
        (lambda r: {1: signed(r, (r.keys[0].sealing, r.keys[0].masking))}, "repeated key"),
        (lambda r: {1: signed(r, (r.keys[0].masking, r.keys[0].sealing))}, "repeated key"),
        (lambda r: {1: signed(r, (known(b"a")[0], r.keys[0].masking))}, "repeated key"),
        (lambda r: {1: signed(r, (r.keys[0].sealing, known(b"a")[1]))}, "repeated key"),
        (lambda r: {1: signed(r, (r.keys[2].sealing, r.keys[2].masking))}, "repeated key"),
        (lambda r: {1: signed(r, (r.keys[3].masking, known(b"a")[1]))}, "repeated key"),
        (lambda r: {c: signed(r, known(b"a"), client=c) for c in (1, 2)}, "repeated key"),
        (lambda r: {1: signed(r, (known(b"a")[0], known(b"a")[0]))}, "two purposes, or a repeated one"),
        (lambda r: {1: signed(r, (LOW_ORDER, known(b"a")[1]))}, "low order"),
        (lambda r: {1: signed(r, (known(b"a")[0], LOW_ORDER))}, "low order"),
        (lambda r: {1: signed(r, (known(b"a")[0], bytes(32)))}, "low order"),
        (lambda r: {1: signed(r, (known(b"a")[0], known(b"a")[1][:31] + b"\xff"))}, "not canonical"),
        (lambda r: {1: signed(r, (known(b"a")[0], known(b"a")[1][:31]))}, "not canonical"),
    ],
    ids=[
        "the client's own",
        "the client's own swapped",
        "its masking key",
        "its sealing key",
        "keys of client 2",
        "masking key of client 3 for sealing",
        "two clients with the same keys",
        "one key for both purposes",
        "sealing key of low order",
        "masking key of low order",
        "masking key of zeros",
        "not canonical",
        "too short",
    ],
)
def test_client_refuses_signed_keys_that_are_its_own_or_repeated_or_weak(
    corrupt: Callable[[MaliciousServer], Keys], match: str
) -> None:
    """A corrupt client helps the server and signs keys of others, one key twice, points of low order or other
    encodings. The client's checks of keys must refuse them, although the signatures are right.
    """
    run = at(SHARE)
    run.refuses(0, run.directory(0, run.keys | corrupt(run)), match)


# A directory that lacks its own key, differs from the keys given, or is of the wrong length.


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda r, d: r.directory(0, {c: k for c, k in r.keys.items() if c != 0}), "does not have the keys that this"),
        (lambda r, d: r.directory(0, r.keys | {0: signed(r, known(b"a"), client=0)}), "does not have the keys"),
        (
            lambda r, d: r.directory(0, {c: k for c, k in r.keys.items() if c < 3}),
            "at least the session's threshold, 4",
        ),
        (lambda r, d: KeyDirectory(d.leaves[32:], d.keys), "key directory: expected 192 bytes of hashes"),
        (lambda r, d: KeyDirectory(d.leaves + schedule.ABSENT, d.keys), "key directory: expected 192 bytes of hashes"),
        (lambda r, d: KeyDirectory(d.leaves, d.keys[:-1]), "keys of 5 neighbours, found 4"),
        (lambda r, d: KeyDirectory(d.leaves, (*d.keys, d.keys[0])), "keys of 5 neighbours, found 6"),
        (lambda r, d: KeyDirectory(d.leaves, (signed(r, known(b"a")), *d.keys[1:])), "not those in the key directory"),
        (lambda r, d: KeyDirectory(d.leaves[:32] + d.leaves[64:96] + d.leaves[64:], d.keys), "not those in the key"),
    ],
    ids=[
        "without the client",
        "another key of the client",
        "below the threshold",
        "a hash too few",
        "a hash too many",
        "a neighbour too few",
        "a neighbour too many",
        "another key of a neighbour",
        "hashes moved up",
    ],
)
def test_client_refuses_a_directory_that_is_not_of_its_and_its_neighbours_keys(
    change: Callable[[MaliciousServer, KeyDirectory], KeyDirectory], match: str
) -> None:
    """The server sends a directory without the client's own key, with too few clients, of another length or with other
    keys than its hashes say. The client must refuse each.
    """
    run = at(SHARE)
    run.refuses(0, change(run, run.request(0, KeyDirectory)), match)


def test_client_works_out_its_neighbours_for_itself() -> None:
    """On a sparse graph the server cannot choose them: the keys of others are refused, no matter who signed them."""
    run = at(SHARE, SPARSE)
    honest = run.request(0, KeyDirectory)
    assert len(honest.keys) == 4
    stranger = next(c for c in SPARSE.session.clients if c not in {0, *run.neighbours(0)})
    for position in range(4):
        changed = (*honest.keys[:position], run.keys[stranger], *honest.keys[position + 1 :])
        again = at(SHARE, SPARSE)
        again.refuses(0, KeyDirectory(honest.leaves, changed), "not those in the key directory")
