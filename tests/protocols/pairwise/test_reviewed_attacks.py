"""Attacks that reviewers found, each against the defence that was added for it."""

import copy
import dataclasses
import traceback
from typing import Final

import pytest

from protocols import (
    Adversary,
    Client,
    ClientTerms,
    LightSecAgg,
    MemoryRecord,
    ParameterError,
    RemoteError,
    Roster,
    SecAgg,
    SecAggPlus,
    UnsafeSession,
)
from protocols.crypto.secret import Secret
from protocols.pairwise.messages import DeliveredShares
from protocols.testing import ProtocolRun, fixed_identity, repeatable_entropy, state_of
from tests.conformance.cohorts import SNAPSHOT_KEY, Setting, setting
from tests.support.malicious_server import MaliciousServer

MASK, REVEAL = "mask_input", "reveal_shares"
DEALING: Final = [
    setting(SecAgg(), tuple(range(5)), 3),
    setting(SecAggPlus(neighbours=4, share_threshold=3), tuple(range(7)), 4),
    setting(SecAgg(adversary=Adversary.MALICIOUS), tuple(range(5)), 4),
    setting(LightSecAgg(privacy=1, responders=3), tuple(range(5)), 4),
]


def terms(clients: int, adversarial: float) -> ClientTerms:
    return ClientTerms(
        identity=fixed_identity(0),
        roster=Roster({client: fixed_identity(client).public for client in range(clients)}),
        sessions=MemoryRecord(),
        adversarial=adversarial,
        minimum_contributors=5,
    )


@pytest.mark.parametrize("threshold", [5, 6])
def test_server_cannot_invite_few_to_make_the_corrupt_ones_count_less(threshold: int) -> None:
    """The server invites 9 of 30 clients, among them all three corrupt ones.

    The client must count a tenth of all that it has pinned, and refuse thresholds below 7 (UnsafeSession).
    """
    where = setting(SecAgg(adversary=Adversary.MALICIOUS), tuple(range(9)), threshold)
    with pytest.raises(UnsafeSession, match="threshold: expected at least 7 "):
        Client(where.protocol, where.session, 0, [0] * 40, entropy=bytes, terms=terms(30, 0.1))


def test_client_takes_part_where_even_all_corrupt_ones_are_too_few() -> None:
    """With a threshold of 7 even three corrupt clients are too few, so the client takes part.

    If more of its roster may be corrupt than are honest in the session, it must refuse.
    """
    where = setting(SecAgg(adversary=Adversary.MALICIOUS), tuple(range(9)), 7)
    assert not Client(where.protocol, where.session, 0, [0] * 40, entropy=bytes, terms=terms(30, 0.1)).closed
    with pytest.raises(UnsafeSession, match="the only honest input"):
        Client(where.protocol, where.session, 0, [0] * 40, entropy=bytes, terms=terms(80, 0.1))


@pytest.mark.parametrize("where", DEALING[:3], ids=lambda each: each.label)
def test_input_masked_for_fewer_sharers_than_there_are_is_not_summed(where: Setting) -> None:
    """An attacker on the way to client 0 takes a neighbour out of what it is delivered, consistently.

    The server must refuse its masked input, which names another set of sharers.
    """
    run = MaliciousServer(where)
    run.to_step(run.names.index(MASK))
    honest = run.request(0, DeliveredShares)
    victim = min(run.neighbours(0))
    members = [client for client in where.session.clients if client != victim]
    fewer = DeliveredShares(run.bitmap(*members), honest.fingerprints[1:], honest.ciphertexts[1:])
    reply = run.clients[0].handle(run.codec.encode(run.number, fewer))
    with pytest.raises(RemoteError, match="set of sharers, found another"):
        run.server.receive(0, reply)
    for client in set(where.session.clients) - {0}:
        run.server.receive(client, run.answer(client, run.requests[client]))
    run.progress = run.server.advance()
    outcome = run.finish()
    assert 0 not in outcome.contributors
    assert run.is_exact(outcome)


@pytest.mark.parametrize("where", [DEALING[0], DEALING[1], DEALING[3]], ids=lambda each: each.label)
def test_client_restored_before_it_dealt_deals_the_same_again(where: Setting) -> None:
    """A client is restored from a snapshot older than its dealing, and asked again.

    Whatever its randomness then is, it must deal the same shares, so that nobody holds shares of two polynomials.
    """
    run = ProtocolRun(where).to_step(1)
    kept = run.clients[0].snapshot(SNAPSHOT_KEY)
    first = run.clients[0].handle(run.requests[0])
    for seed in (b"other", b"entropy"):
        again = Client.restore(where.protocol, where.session, kept, key=SNAPSHOT_KEY, entropy=repeatable_entropy(seed))
        assert again.handle(run.requests[0]) == first


class Interrupted(BaseException):
    """As a signal handler may raise it, anywhere."""


@pytest.mark.parametrize("where", DEALING[:3], ids=lambda each: each.label)
def test_interruption_leaves_no_secret_in_the_frames_of_its_traceback(
    where: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler interrupts a client while it seals shares, and keeps the traceback.

    No frame of the traceback may hold a secret: `handle` clears them.
    """
    run = MaliciousServer(where)
    run.to_step(1)

    def interrupt(*arguments: object, **named: object) -> bytes:
        raise Interrupted

    monkeypatch.setattr("protocols.crypto.sealing.seal", interrupt)
    with pytest.raises(Interrupted) as caught:
        run.clients[0].handle(run.requests[0])
    frames = [frame for frame, _ in traceback.walk_tb(caught.tb)]
    inside = [frame for frame in frames if "protocols" in frame.f_code.co_filename and "tests" not in str(frame)]
    assert {frame.f_code.co_name for frame in inside} >= {"handle", "share_keys"}
    for frame in inside:
        for value in frame.f_locals.values():
            assert not isinstance(value, bytes | Secret | list | dict) or frame.f_code.co_name == "handle"


def test_state_refuses_copies() -> None:
    """Code beside a client copies its state, to go on from it twice. The state must refuse (TypeError)."""
    run = MaliciousServer(DEALING[0])
    for attempt in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(state_of(run.clients[0]))


@pytest.mark.parametrize(
    "change",
    [
        {"identity": None},
        {"roster": {}},
        {"roster": None},
        {"sessions": None},
        {"adversarial": float("nan")},
        {"adversarial": 1.0},
        {"adversarial": None},
        {"minimum_contributors": float("nan")},
        {"minimum_contributors": 1},
        {"minimum_contributors": True},
        {"minimum_contributors": "37"},
    ],
)
def test_member_with_terms_that_are_none_is_refused(change: dict[str, object]) -> None:
    """Terms with no identity, roster, record or numbers would leave checks out.

    They must be refused when they are made (ParameterError).
    """
    with pytest.raises(ParameterError):
        dataclasses.replace(terms(9, 0.1), **change)  # type: ignore[arg-type]  # that is the test


def test_machines_say_whose_and_where_they_are() -> None:
    """The server of the attacks steps through a session; each machine must say whose it is and where it stands."""
    run = MaliciousServer(DEALING[0])
    assert [machine.client for machine in run.clients.values()] == list(range(5))
    for name in run.names:
        assert run.server.step == name
        assert {machine.step for machine in run.clients.values()} == {name}
        run.deliver(run.replies())
    assert run.server.step is None
    assert {machine.step for machine in run.clients.values()} == {None}
