"""Survivor sets and confirmations by a server that does what it likes, line by line of what a client refuses."""

import dataclasses
from collections.abc import Callable
from typing import Final

import msgspec
import pytest

from protocols import (
    Adversary,
    Client,
    MalformedMessage,
    MemoryRecord,
    RemoteError,
    SecAgg,
    Secret,
    SessionReused,
)
from protocols.identity import Signatures
from protocols.pairwise.derived import KEYS, SHARES, SURVIVORS
from protocols.pairwise.messages import (
    Confirmations,
    DeliveredShares,
    Survivors,
    decode_clients,
    encode_clients,
)
from protocols.replay import SessionRecord
from protocols.testing import fixed_identity, repeatable_entropy, state_of
from tests.conformance.cohorts import Setting, member, setting
from tests.support.malicious_server import MaliciousServer

SHARE, MASK, CONFIRM = 1, 2, 3
CLIENTS: Final = tuple(range(6))
WHERE: Final = setting(SecAgg(adversary=Adversary.MALICIOUS), CLIENTS, 4)
STORAGE: Final = Secret(b"the key that snapshots are under")


def at(number: int, where: Setting = WHERE) -> MaliciousServer:
    run = MaliciousServer(where)
    run.to_step(number)
    return run


# Survivor sets.


def test_every_bitmap_is_a_survivor_set_and_the_rest_is_dropped() -> None:
    """The server tries to name a client as both survivor and dropped, twice, or not at all.

    One bitmap cannot say that; any other length or stray bit is refused as malformed.
    """
    session = WHERE.session
    seen = set()
    for value in range(2**8):
        data = bytes([value])
        if value >= 2 ** len(CLIENTS):
            with pytest.raises(MalformedMessage, match="bitmap of clients: expected"):
                decode_clients(data, session)
            continue
        survivors = decode_clients(data, session)
        dropped = set(CLIENTS) - survivors
        assert survivors == {client for client in CLIENTS if value >> client & 1}
        assert survivors | dropped == set(CLIENTS)
        assert encode_clients(survivors, session) == data
        seen.add(survivors)
    assert len(seen) == 2 ** len(CLIENTS)
    for data in (b"", b"\x0f\x00", bytes(2)):
        with pytest.raises(MalformedMessage, match="bitmap of clients: expected"):
            decode_clients(data, session)


@pytest.mark.parametrize("body", [[b"\x0f", b"\x30"], [b"\x0f", [4, 5]], [[0, 1, 2, 3]], [[0, 0, 1, 2]], [], b"\x0f"])
def test_client_refuses_a_survivor_set_of_another_form(body: object) -> None:
    """The server sends survivors as two lists, as ids or in another structure.

    The codec must refuse (MalformedMessage), and no secret may have been sent.
    """
    run = at(CONFIRM)
    version, digest, number, _ = msgspec.msgpack.decode(run.requests[0])
    with pytest.raises(MalformedMessage):
        run.answer(0, msgspec.msgpack.encode([version, digest, number, body]))
    run.check_closed_without_a_leak(0)


def resumed(run: MaliciousServer, client: int, data: bytes, record: SessionRecord) -> Client:
    """A client started again from a snapshot, with the record that it kept."""
    who = dataclasses.replace(member(client, run.scenario.session), sessions=record)
    return Client.restore(
        run.scenario.protocol, run.scenario.session, data, key=STORAGE, entropy=repeatable_entropy(b"again"), terms=who
    )


def test_client_confirms_just_the_survivor_sets_it_may() -> None:
    """The server shows a client every possible bitmap.

    It must confirm only sets with itself, at least a threshold, and nobody who has shared nothing; it refuses all
    others.
    """
    run = at(SHARE)
    replies = run.replies()
    del replies[5]
    run.deliver(replies)
    run.deliver(run.replies())
    snapshot = run.clients[0].snapshot(STORAGE)
    for value in range(2**8):
        record = MemoryRecord()
        for number in range(CONFIRM):
            record.record(fixed_identity(0).public, WHERE.session.session_id, number)
        machine = resumed(run, 0, snapshot, record)
        members = [client for client in range(8) if value >> client & 1]
        request = run.codec.encode(CONFIRM, Survivors(bytes([value])))
        if 0 in members and len(members) >= 4 and max(members) <= 4:
            machine.handle(request)
            continue
        with pytest.raises(RemoteError) as caught:
            machine.handle(request)
        assert isinstance(caught.value, MalformedMessage) is (max(members, default=0) > 5)
        assert machine.closed


@pytest.mark.parametrize(
    ("survivors", "match"),
    [
        ((1, 2, 3, 4, 5), "survivor set lacks this client"),
        ((), "survivor set lacks this client"),
        ((0, 1, 2), "3 clients survive: expected at least the session's threshold, 4"),
        ((0,), "at least the session's threshold, 4"),
    ],
    ids=["all others", "nobody", "one below the threshold", "the client alone"],
)
def test_client_refuses_survivor_sets_without_itself_or_below_the_threshold(
    survivors: tuple[int, ...], match: str
) -> None:
    """The server names a survivor set without this client, or one below the threshold, to get shares for a sum of few.

    The client must refuse (RemoteError).
    """
    run = at(CONFIRM)
    run.refuses(0, Survivors(run.bitmap(*survivors)), match)


@pytest.mark.parametrize("number", [0, SHARE])
def test_client_refuses_a_survivor_that_it_never_met(number: int) -> None:
    """The server names client 5 as a survivor, which has advertised nothing, or keys only.

    The client must refuse: client 5 has not shared, so it has no mask in the sum.
    """
    run = at(number)
    replies = run.replies()
    del replies[5]
    run.deliver(replies)
    while run.number < CONFIRM:
        run.deliver(run.replies())
    run.refuses(0, Survivors(run.bitmap(0, 1, 2, 3, 5)), "has not shared")


def test_client_refuses_sharers_that_it_never_met() -> None:
    """The server names a client as a sharer that is not in the key directory.

    The client must refuse before it masks its input.
    """
    run = at(0)
    replies = run.replies()
    del replies[5]
    run.deliver(replies)
    run.deliver(run.replies())
    honest = run.request(0, DeliveredShares)
    run.refuses(0, msgspec.structs.replace(honest, members=run.bitmap(*CLIENTS)), "one outside the key directory")


def test_client_refuses_a_second_survivor_set() -> None:
    """The server asks a client that has confirmed one survivor set for a second one.

    The step number in the message must stop it (MalformedMessage).
    """
    run = at(CONFIRM)
    run.ask(0, Survivors(run.bitmap(0, 1, 2, 3)))
    with pytest.raises(MalformedMessage, match=r"step: expected 4, found a message of step 3"):
        run.ask(0, Survivors(run.bitmap(0, 1, 2, 4)))
    run.check_closed_without_a_leak(0)


def test_client_refuses_a_second_survivor_set_after_a_restart_from_an_old_snapshot() -> None:
    """A client is restored from a snapshot older than its confirmation, and the server shows it another survivor set.

    The record of answered steps must refuse (SessionReused).
    """
    run = at(CONFIRM)
    record = MemoryRecord()
    for number in range(CONFIRM):
        record.record(fixed_identity(0).public, WHERE.session.session_id, number)
    snapshot = run.clients[0].snapshot(STORAGE)
    first = resumed(run, 0, snapshot, record)
    first.handle(run.codec.encode(CONFIRM, Survivors(run.bitmap(0, 1, 2, 3))))
    second = resumed(run, 0, snapshot, record)
    with pytest.raises(SessionReused, match="expected a step after 3, found step 3"):
        second.handle(run.codec.encode(CONFIRM, Survivors(run.bitmap(0, 1, 2, 4))))
    assert second.closed


@pytest.mark.parametrize("number", range(5))
def test_client_restarted_from_an_old_snapshot_answers_no_round_twice(number: int) -> None:
    """A client is restored from a snapshot older than its answer in any step, and asked again.

    The record of answered steps must refuse (SessionReused).
    """
    run, record = MaliciousServer(WHERE), MemoryRecord()
    run.clients[0] = WHERE.client(0, run.inputs[0], repeatable_entropy(b"run0"), record)
    run.to_step(number)
    snapshot = run.clients[0].snapshot(STORAGE)
    run.answer(0, run.requests[0])
    again = resumed(run, 0, snapshot, record)
    with pytest.raises(SessionReused):
        again.handle(run.requests[0])
    assert again.closed


def test_client_resumed_without_its_record_answers_nothing() -> None:
    """A client is restored in the middle of a session without its record of answered steps.

    It cannot know what it has answered, and must refuse (SessionReused).
    """
    run = at(CONFIRM)
    again = resumed(run, 0, run.clients[0].snapshot(STORAGE), MemoryRecord())
    with pytest.raises(SessionReused, match="expected step 0 first, found step 3"):
        again.handle(run.requests[0])
    assert again.closed


# Confirmations.


def confirmed(run: MaliciousServer) -> dict[int, bytes]:
    """Everyone's honest signature over the one survivor set, by client."""
    run.deliver(run.replies())
    return dict(state_of(run.server).confirmations)


def joined(run: MaliciousServer, signatures: dict[int, bytes]) -> Confirmations:
    return Confirmations(run.bitmap(*signatures), b"".join(signatures[client] for client in sorted(signatures)))


def test_client_refuses_too_few_confirmations() -> None:
    """The server passes on fewer signatures than the threshold.

    The client must refuse, since another survivor set may have been confirmed by the others.
    """
    for signers in ((), (0,), (0, 1, 2), (3, 4, 5)):
        run = at(CONFIRM)
        found = confirmed(run)
        message = joined(run, {signer: found[signer] for signer in signers})
        run.refuses(0, message, f"confirmations: expected at least 4, found {len(signers)}")


def test_client_takes_any_confirmations_of_enough_survivors() -> None:
    """Signatures by any threshold of survivors are accepted, so the refusals around are due to what is wrong with the
    others.
    """
    for signers in ((0, 1, 2, 3), (2, 3, 4, 5), CLIENTS):
        run = at(CONFIRM)
        found = confirmed(run)
        run.ask(0, joined(run, {signer: found[signer] for signer in signers}))
        assert run.clients_that_leaked() == {0}


def by_another(run: MaliciousServer, signer: int, client: int, **changes: bytes) -> bytes:
    """A signature over the survivors as `client` would make it, by the identity of `signer`."""
    state = state_of(run.server)
    agreed = {
        "root": state.root,
        "members": run.bitmap(*state.members),
        "survivors": run.bitmap(*state.survivors),
    }
    agreed |= {name: value for name, value in changes.items() if name in agreed}
    who = dataclasses.replace(member(client, run.scenario.session), identity=fixed_identity(signer))
    made = Signatures(changes.get("digest", run.setup.digest), run.scenario.session.roster)
    purpose = changes.get("purpose", SURVIVORS)
    return made.sign(who.identity, client=client, purpose=purpose, payload=b"".join(agreed.values()))


@pytest.mark.parametrize(
    "forge",
    [
        lambda run, f: bytes(64),
        lambda run, f: bytes([f[1][0] ^ 1]) + f[1][1:],
        lambda run, f: f[1][:-1] + bytes([f[1][-1] ^ 1]),
        lambda run, f: f[2],
        lambda run, f: by_another(run, 99, 1),
        lambda run, f: by_another(run, 2, 1),
        lambda run, f: by_another(run, 1, 2),
        lambda run, f: by_another(run, 1, 1, survivors=run.bitmap(0, 1, 2, 3)),
        lambda run, f: by_another(run, 1, 1, members=run.bitmap(0, 1, 2, 3)),
        lambda run, f: by_another(run, 1, 1, root=bytes(32)),
        lambda run, f: by_another(run, 1, 1, digest=bytes(32)),
        lambda run, f: by_another(run, 1, 1, purpose=SHARES),
        lambda run, f: by_another(run, 1, 1, purpose=KEYS),
    ],
    ids=[
        "zeros",
        "first bit flipped",
        "last bit flipped",
        "confirmation of client 2",
        "by a stranger",
        "by client 2",
        "as client 2",
        "of another survivor set",
        "of other sharers",
        "of another directory",
        "of another session",
        "as shares",
        "as keys",
    ],
)
def test_client_refuses_confirmations_that_their_signers_have_not_made(
    forge: Callable[[MaliciousServer, dict[int, bytes]], bytes],
) -> None:
    """The server forges client 1's confirmation: altered, by another identity, or for another set, root, session or
    purpose. Verifying the signature must stop it.
    """
    run = at(CONFIRM)
    found = confirmed(run)
    assert by_another(run, 1, 1) == found[1]
    found[1] = forge(run, found)
    run.refuses(0, joined(run, found), "not signed by client 1")


def test_client_refuses_confirmations_from_another_session() -> None:
    """The server replays confirmations of an earlier session with the same clients and survivors.

    The session's digest is part of what is signed, and must stop it.
    """
    session = dataclasses.replace(WHERE.session, session_id=b"the session before this one")
    other = at(CONFIRM, Setting(label="before", protocol=WHERE.protocol, session=session))
    replayed = confirmed(other)
    run = at(CONFIRM)
    confirmed(run)
    run.refuses(0, joined(run, replayed), "not signed by client 0")


def test_client_refuses_confirmations_by_clients_that_are_no_survivors() -> None:
    """The server counts a confirmation by a client that has dropped.

    The client must refuse: signers are expected from the survivor set.
    """
    run = at(MASK)
    replies = run.replies()
    del replies[5]
    run.deliver(replies)
    found = confirmed(run)
    found[5] = by_another(run, 5, 5)
    run.refuses(0, joined(run, found), "expected signers from the survivor set")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda c: msgspec.structs.replace(c, signatures=c.signatures[:-64]), "expected one signature for each of"),
        (
            lambda c: msgspec.structs.replace(c, signatures=c.signatures + bytes(64)),
            "expected one signature for each of",
        ),
        (lambda c: msgspec.structs.replace(c, signatures=c.signatures[1:]), "expected one signature for each of"),
        (lambda c: msgspec.structs.replace(c, signatures=b""), "expected one signature for each of"),
        (lambda c: msgspec.structs.replace(c, signatures=c.signatures[64:] + c.signatures[:64]), "not signed by"),
        (lambda c: msgspec.structs.replace(c, signers=b"\xff"), "bitmap of clients: expected"),
        (lambda c: msgspec.structs.replace(c, signers=b""), "bitmap of clients: expected"),
    ],
    ids=[
        "one signature too few",
        "one too many",
        "a byte too few",
        "no signatures",
        "in another order",
        "too many signers",
        "no signers",
    ],
)
def test_client_refuses_confirmations_of_another_form(
    change: Callable[[Confirmations], Confirmations], match: str
) -> None:
    """The server sends signatures that are cut, too long, in another order, or with another set of signers.

    The client must refuse before it reveals a share.
    """
    run = at(CONFIRM)
    run.refuses(0, change(joined(run, confirmed(run))), match)
