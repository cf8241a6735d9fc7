"""What a client of pairwise masking checks for itself: survivor sets, the key directory, shares; and parameters."""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any, Final

import pytest
from msgspec.structs import replace

from protocols import Adversary, OrderError, ParameterError, RemoteError, SecAgg, SecAggPlus
from protocols.crypto import shamir
from protocols.crypto.key_agreement import X25519
from protocols.pairwise import schedule
from protocols.pairwise.messages import (
    AdvertisedKeys,
    DeliveredShares,
    KeyDirectory,
    MaskedInput,
    RevealedShares,
    Survivors,
)
from tests.conformance.cohorts import setting
from tests.support.malicious_server import MaliciousServer

SHARE, MASK, REVEAL = 1, 2, 3
LOW_ORDER: Final = (1).to_bytes(32, "little")
KEY: Final = hashlib.sha256(b"some key").digest()[:31] + b"\x01"
ALIAS: Final = KEY[:31] + b"\x81"  # the same point to X25519, which ignores the top bit

COMPLETE: Final = setting(SecAgg(), tuple(range(5)), 3, length=3)
SPARSE: Final = setting(SecAggPlus(neighbours=2, share_threshold=2), tuple(range(6)), 3, length=3)
SIGNED: Final = setting(SecAgg(adversary=Adversary.MALICIOUS), tuple(range(5)), 3, length=3)

Keys = dict[int, AdvertisedKeys]


def bitmap(*members: int) -> bytes:
    return sum(1 << member for member in members).to_bytes(1, "little")


@pytest.mark.parametrize(
    ("survivors", "match"),
    [
        (bitmap(1, 2, 3, 4), "survivor set lacks this client"),
        (bitmap(0, 1), "at least the session's threshold, 3"),
        (bitmap(0), "at least the session's threshold, 3"),
        (bitmap(), "survivor set lacks this client"),
        (b"", "bitmap of clients: expected"),
        (b"\xff", "bitmap of clients: expected"),
        (bitmap(0, 1, 2, 5), "bitmap of clients: expected"),
        (bitmap(0, 1, 2) + b"\x00", "bitmap of clients: expected"),
        (bytes(100), "bitmap of clients: expected"),
    ],
    ids=[
        "without the client",
        "below the threshold",
        "the client alone",
        "nobody",
        "no bitmap",
        "bits beyond the clients",
        "one bit beyond the clients",
        "a byte too many",
        "a hundred bytes",
    ],
)
@pytest.mark.parametrize("where", [COMPLETE, SIGNED], ids=["curious", "malicious"])
def test_client_refuses_survivors_that_could_expose_an_input(where: Any, survivors: bytes, match: str) -> None:
    """The server names survivors without this client, below the threshold, or in a bitmap of another form.

    The client must refuse (RemoteError), and no share may have been sent.
    """
    run = MaliciousServer(where)
    run.to_step(REVEAL)
    run.refuses(0, Survivors(survivors), match)


def test_client_takes_every_survivor_set_that_meets_its_threshold() -> None:
    """Sets that meet the threshold are accepted.

    For each owner the client reveals the share of the seed if it survives, and of the masking key if not.
    """
    for members in ((0, 1, 2), (0, 2, 4), (0, 1, 2, 3), (0, 1, 2, 3, 4)):
        run = MaliciousServer(COMPLETE)
        run.to_step(REVEAL)
        reply = run.codec.decode(REVEAL, RevealedShares, run.ask(0, Survivors(bitmap(*members))))
        wanted = [run.held[0][owner][0 if owner in members else 1] for owner in range(5)]
        assert reply.shares == b"".join(wanted)
        assert run.clients_that_leaked() == {0}


def test_client_reveals_one_share_of_each_owner_never_both() -> None:
    """A server with a share of both secrets of an owner could unmask its input.

    The reply of the last step must hold exactly one of the two.
    """
    run = MaliciousServer(COMPLETE)
    run.to_step(REVEAL)
    run.ask(0, Survivors(bitmap(0, 1, 2)))
    for owner, (of_seed, of_key) in run.held[0].items():
        assert (of_seed in run.sent[0][-1]) != (of_key in run.sent[0][-1]), owner


def test_client_unmasks_only_one_survivor_set() -> None:
    """The server asks a client for shares of a second survivor set.

    The client has closed, and must refuse (OrderError).
    """
    run = MaliciousServer(COMPLETE)
    run.to_step(REVEAL)
    run.ask(0, Survivors(bitmap(0, 1, 2)))
    with pytest.raises(OrderError):
        run.ask(0, Survivors(bitmap(0, 1, 2, 3)))


def test_client_refuses_survivors_without_its_neighbourhood() -> None:
    """The server names strangers as survivors and leaves out the client's neighbours, so that its masks stand alone.

    The client counts its neighbourhood and must refuse.
    """
    run = MaliciousServer(SPARSE)
    run.to_step(REVEAL)
    strangers = set(SPARSE.session.clients) - {0, *run.neighbours(0)}
    run.refuses(0, Survivors(bitmap(0, *strangers)), "1 in this client's neighbourhood survive")


def test_client_refuses_a_survivor_that_shared_nothing() -> None:
    """The server names a survivor that dealt no shares.

    The client must refuse, since that client has no mask in the sum.
    """
    run = MaliciousServer(COMPLETE)
    run.to_step(SHARE)
    replies = run.replies()
    del replies[4]
    run.deliver(replies)
    run.deliver(run.replies())
    run.refuses(0, Survivors(bitmap(0, 1, 2, 4)), "has not shared")


def without(keys: Keys, *clients: int) -> Keys:
    return {client: advertised for client, advertised in keys.items() if client not in clients}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda k: without(k, 0), "does not have the keys that this client advertised"),
        (lambda k: k | {0: k[1]}, "does not have the keys that this client advertised"),
        (lambda k: without(k, 2, 3, 4), "at least the session's threshold, 3"),
        (lambda k: {0: k[0]}, "at least the session's threshold, 3"),
        (lambda k: k | {1: k[2]}, "repeated key"),
        (lambda k: k | {1: AdvertisedKeys(k[2].sealing, KEY, b"")}, "repeated key"),
        (lambda k: k | {1: AdvertisedKeys(KEY, k[2].sealing, b"")}, "repeated key"),
        (lambda k: k | {1: AdvertisedKeys(KEY, KEY, b"")}, "two purposes, or a repeated one"),
        (lambda k: k | {1: AdvertisedKeys(KEY[:31], KEY, b"")}, "not canonical"),
        (lambda k: k | {1: AdvertisedKeys(KEY, b"", b"")}, "not canonical"),
        (lambda k: k | {1: AdvertisedKeys(KEY, k[1].masking[:31] + b"\xff", b"")}, "not canonical"),
        (lambda k: k | {1: AdvertisedKeys(LOW_ORDER, KEY, b"")}, "low order"),
        (lambda k: k | {1: AdvertisedKeys(KEY, LOW_ORDER, b"")}, "low order"),
        (lambda k: k | {1: k[0]}, "repeated key"),
        (lambda k: k | {1: AdvertisedKeys(k[0].masking, k[0].sealing, b"")}, "repeated key"),
        (lambda k: k | {1: AdvertisedKeys(KEY, k[0].masking, b"")}, "repeated key"),
        (lambda k: k | {1: replace(k[1], signature=bytes(64))}, "in a session without a roster"),
    ],
    ids=[
        "without the client",
        "another's keys as the client's",
        "below the threshold",
        "the client alone",
        "two clients with the same keys",
        "another's sealing key",
        "another's sealing key for masking",
        "one key for both purposes",
        "sealing key too short",
        "no masking key",
        "masking key not canonical",
        "sealing key of low order",
        "masking key of low order",
        "the client's own keys",
        "the client's own keys swapped",
        "the client's masking key",
        "signed without a roster",
    ],
)
def test_client_refuses_keys_it_cannot_have(change: Callable[[Keys], Keys], match: str) -> None:
    """The server sends a directory with keys that are missing, repeated, reflected, of low order, of another encoding,
    or signed without a roster. The client's checks must refuse each.
    """
    run = MaliciousServer(COMPLETE)
    run.to_step(SHARE)
    run.refuses(0, run.directory(0, change(run.keys)), match)


@pytest.mark.parametrize("weak", [AdvertisedKeys(LOW_ORDER, KEY, b""), AdvertisedKeys(KEY, LOW_ORDER, b"")])
def test_client_refuses_a_key_of_low_order_and_blames_the_server_that_let_it_pass(weak: AdvertisedKeys) -> None:
    """A key of low order makes an agreed secret known to all.

    The client must refuse it, and blame the server, which should have refused it first.
    """
    run = MaliciousServer(COMPLETE)
    run.to_step(SHARE)
    assert run.refuses(0, run.directory(0, run.keys | {3: weak}), "client 3 has a key of low order") == set()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d, k: KeyDirectory(d.leaves[1:], d.keys), "key directory: expected 160 bytes of hashes"),
        (lambda d, k: KeyDirectory(d.leaves + bytes(32), d.keys), "key directory: expected 160 bytes of hashes"),
        (lambda d, k: KeyDirectory(b"", d.keys), "key directory: expected 160 bytes of hashes"),
        (lambda d, k: KeyDirectory(d.leaves, d.keys[1:]), "keys of 4 neighbours, found 3"),
        (lambda d, k: KeyDirectory(d.leaves, (*d.keys, k[0])), "keys of 4 neighbours, found 5"),
        (lambda d, k: KeyDirectory(d.leaves, ()), "keys of 4 neighbours, found 0"),
        (lambda d, k: KeyDirectory(d.leaves, (d.keys[1], d.keys[0], *d.keys[2:])), "not those in the key directory"),
        (lambda d, k: KeyDirectory(d.leaves, (k[0], *d.keys[1:])), "not those in the key directory"),
        (lambda d, k: KeyDirectory(d.leaves[32:] + d.leaves[:32], d.keys), "does not have the keys that this client"),
        (lambda d, k: KeyDirectory(d.leaves[:-32] + schedule.ABSENT, d.keys), "keys of 3 neighbours, found 4"),
    ],
    ids=[
        "a byte too few",
        "a hash too many",
        "no hashes",
        "a neighbour too few",
        "a neighbour too many",
        "no neighbours",
        "neighbours swapped",
        "the client among its neighbours",
        "hashes rotated",
        "a neighbour absent",
    ],
)
def test_client_refuses_a_directory_that_does_not_hang_together(
    change: Callable[[KeyDirectory, Keys], KeyDirectory], match: str
) -> None:
    """The server sends hashes and keys that do not match: of another length, order, number or owner.

    The client recomputes the hashes and must refuse.
    """
    run = MaliciousServer(COMPLETE)
    run.to_step(SHARE)
    run.refuses(0, change(run.request(0, KeyDirectory), run.keys), match)


def test_client_refuses_someone_elses_neighbours() -> None:
    """The server sends a client the keys of another client's neighbours.

    The client derives its own neighbours from the directory and must refuse.
    """
    run = MaliciousServer(SPARSE)
    run.to_step(SHARE)
    other = next(client for client in SPARSE.session.clients if client not in {0, *run.neighbours(0)})
    run.refuses(0, run.request(other, KeyDirectory), "not those in the key directory")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: replace(d, members=bitmap(1, 2, 3, 4)), "that have shared lacks this client"),
        (lambda d: replace(d, members=bitmap(0, 1, 2, 3, 4) + b"\x00"), "bitmap of clients: expected"),
        (lambda d: replace(d, members=bitmap(0, 1, 2)), "ciphertexts and fingerprints of 2 neighbours, found 4 and 4"),
        (
            lambda d: DeliveredShares(bitmap(0, 1), d.fingerprints[:1], d.ciphertexts[:1]),
            "at least the session's threshold, 3",
        ),
        (
            lambda d: replace(d, fingerprints=d.fingerprints[1:]),
            "ciphertexts and fingerprints of 4 neighbours, found 4 and 3",
        ),
        (
            lambda d: replace(d, ciphertexts=d.ciphertexts[1:]),
            "ciphertexts and fingerprints of 4 neighbours, found 3 and 4",
        ),
        (lambda d: DeliveredShares(d.members, (), ()), "ciphertexts and fingerprints of 4 neighbours, found 0 and 0"),
    ],
    ids=[
        "without the client",
        "a byte too many",
        "fewer sharers than shares",
        "below the threshold",
        "a fingerprint too few",
        "a share too few",
        "no shares",
    ],
)
def test_client_refuses_deliveries_it_cannot_have(
    change: Callable[[DeliveredShares], DeliveredShares], match: str
) -> None:
    """The server delivers shares for a set of sharers without this client, below the threshold, or with too few or many
    shares. The client must refuse before it masks.
    """
    run = MaliciousServer(COMPLETE)
    run.to_step(MASK)
    run.refuses(0, change(run.request(0, DeliveredShares)), match)


def test_client_refuses_shares_of_a_neighbour_that_had_left() -> None:
    """The server delivers shares by a client that is not in the key directory. The client must refuse."""
    whole = MaliciousServer(COMPLETE)
    whole.to_step(MASK)
    late = whole.request(0, DeliveredShares)
    run = MaliciousServer(COMPLETE)
    replies = run.replies()
    del replies[4]
    run.deliver(replies)
    run.deliver(run.replies())
    run.refuses(0, late, "one outside the key directory")


def test_client_refuses_a_delivery_without_its_neighbourhood() -> None:
    """The server names sharers of whom none is a neighbour, so that the client would mask with nobody.

    It counts its neighbourhood and must refuse.
    """
    run = MaliciousServer(SPARSE)
    run.to_step(MASK)
    strangers = set(SPARSE.session.clients) - {0, *run.neighbours(0)}
    run.refuses(0, DeliveredShares(bitmap(0, *strangers), (), ()), "1 in this client's neighbourhood have shared")


@pytest.mark.parametrize(
    ("change", "unopened"),
    [
        (lambda f, c: (f, (c[1], c[0], *c[2:])), (1, 2)),
        (lambda f, c: ((f[1], f[0], *f[2:]), (c[1], c[0], *c[2:])), (1, 2)),
        (lambda f, c: (f, (c[0][:-1], *c[1:])), (1,)),
        (lambda f, c: (f, (b"", *c[1:])), (1,)),
        (lambda f, c: (f, (*c[:-1], bytes([c[-1][0] ^ 1]) + c[-1][1:])), (4,)),
        (lambda f, c: ((f[0][:-1], *f[1:]), c), (1,)),
        (lambda f, c: ((*f[:3], b""), c), (4,)),
    ],
    ids=[
        "shares swapped",
        "shares and fingerprints swapped",
        "share too short",
        "share empty",
        "bit flipped",
        "fingerprint too short",
        "fingerprint empty",
    ],
)
def test_client_says_which_shares_were_not_sealed_for_it_and_goes_on(
    change: Callable[[tuple[bytes, ...], tuple[bytes, ...]], tuple[tuple[bytes, ...], tuple[bytes, ...]]],
    unopened: tuple[int, ...],
) -> None:
    """The server, or a dealer, alters or swaps sealed shares or fingerprints.

    The client must report whose it could not open, and go on with the others.
    """
    run = MaliciousServer(COMPLETE)
    run.to_step(MASK)
    honest = run.request(0, DeliveredShares)
    fingerprints, ciphertexts = change(honest.fingerprints, honest.ciphertexts)
    replies = {0: run.ask(0, DeliveredShares(honest.members, fingerprints, ciphertexts))}
    assert run.codec.decode(MASK, MaskedInput, replies[0]).unopened == unopened
    run.deliver(replies | {client: run.answer(client, run.requests[client]) for client in range(1, 5)})
    revealed = run.codec.decode(REVEAL, RevealedShares, run.ask(0, Survivors(bitmap(0, 1, 2, 3, 4))))
    assert len(revealed.shares) == shamir.SHARE_BYTES * (5 - len(unopened))


@pytest.mark.parametrize("adversary", ["curious", Adversary.MALICIOUS])
def test_protocol_takes_its_adversary_by_name(adversary: Any) -> None:
    assert SecAgg(adversary=adversary).adversary is Adversary(adversary)


@pytest.mark.parametrize("adversary", ["semi-malicious", "honest", "", None, 1, True])
def test_protocol_refuses_other_adversaries(adversary: Any) -> None:
    with pytest.raises(ParameterError, match="CURIOUS or MALICIOUS"):
        SecAgg(adversary=adversary)


@pytest.mark.parametrize(
    ("neighbours", "share_threshold", "match"),
    [
        (2, 1, r"\[2, 3\], found 1"),
        (2, 0, "share threshold"),
        (2, 4, "share threshold"),
        (3, 2, "even number or all"),
        (6, 3, "at most 5 for 6 clients"),
        (0, 2, "share threshold"),
    ],
)
def test_protocol_refuses_graphs_and_thresholds_that_protect_nobody(
    neighbours: int, share_threshold: int, match: str
) -> None:
    protocol = SecAggPlus(neighbours=neighbours, share_threshold=share_threshold)
    with pytest.raises(ParameterError, match=match):
        protocol.validate(SPARSE.session)


@pytest.mark.parametrize("modulus", [3, 65_521, 2**31 - 1, 2**64 - 1])
def test_protocol_refuses_moduli_that_masks_are_not_uniform_over(modulus: int) -> None:
    with pytest.raises(ParameterError, match="a power of two"):
        SecAgg().validate(dataclasses.replace(COMPLETE.session, modulus=modulus))


@pytest.mark.parametrize(("neighbours", "share_threshold"), [(4.0, 3), (4, 3.0), (True, 2), ("4", 3), (4, None)])
def test_protocol_refuses_parameters_that_are_no_ints(neighbours: Any, share_threshold: Any) -> None:
    with pytest.raises(ParameterError, match="neighbours, share_threshold: expected ints"):
        SecAggPlus(neighbours=neighbours, share_threshold=share_threshold)


@pytest.mark.parametrize("adversary", Adversary)
@pytest.mark.parametrize("kind", [SecAgg, SecAggPlus])
@pytest.mark.parametrize(
    ("clients", "adversarial", "dropout"), [(10, 0.5, 0.6), (10, 0.0, 0.95), (1, 0.0, 0.0), (10, 1.0, 0.0), (10, 0, -1)]
)
def test_protocol_suggests_nothing_where_nothing_would_do(
    kind: type[SecAgg | SecAggPlus], clients: int, adversarial: float, dropout: float, adversary: Adversary
) -> None:
    with pytest.raises(ParameterError):
        kind.suggest(clients=clients, adversarial=adversarial, dropout=dropout, adversary=adversary)


@pytest.mark.parametrize("where", [COMPLETE, SPARSE, SIGNED], ids=["complete", "sparse", "signed"])
def test_sum_is_exact_and_only_the_last_round_reveals(where: Any) -> None:
    """An observer searches all replies for secrets.

    Before the last step none may be in them, and the sum must be exact.
    """
    run = MaliciousServer(where)
    run.to_step(len(where.protocol.steps) - 1)
    assert run.clients_that_leaked() == set()
    replies = run.replies()
    assert run.clients_that_leaked() == set(where.session.clients)
    run.deliver(replies)
    assert run.is_exact(run.finish())


def test_public_key_of_another_encoding_is_none() -> None:
    assert X25519.is_canonical(KEY)
    assert not X25519.is_canonical(ALIAS)


def test_remote_errors_of_clients_blame_nobody_where_the_server_is_at_fault() -> None:
    """The server sends a survivor set without the client.

    The error must blame no client, since only the server can be at fault.
    """
    run = MaliciousServer(COMPLETE)
    run.to_step(REVEAL)
    with pytest.raises(RemoteError) as caught:
        run.ask(0, Survivors(bitmap(1, 2, 3)))
    assert caught.value.culprits == frozenset()
