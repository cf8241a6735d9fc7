"""The clock of a party's machine: an expired session is refused when it is joined, restored and answered.

Nothing is recorded then: neither a step nor an opening, nor that the session counts.
"""

from dataclasses import replace
from typing import Any, Final

import pytest

from protocols import SecAgg
from protocols.errors import OrderError, SessionExpired
from protocols.machine import Client
from protocols.replay import MemoryOpenings, MemoryRecord
from protocols.testing import SNAPSHOT_KEY, ProtocolRun, Scenario
from protocols.testing.repeatable import repeatable_entropy
from tests.conformance.cohorts import IDS, setting
from tests.support.seed_members import BEGINS, ENDS, NOW
from tests.support.seed_world import AGREE, CLIENTS, MEMBERS, OPEN, seed_scenario

SCENARIO: Final = seed_scenario(4, 1)
BEFORE: Final = replace(SCENARIO, session=replace(SCENARIO.session, expires=ENDS - 100))
CLIENT: Final = CLIENTS[0]
MEMBER: Final = MEMBERS[0]


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now
        self.read = 0

    def __call__(self) -> float:
        self.read += 1
        return self.now


def machine(
    scenario: Scenario,
    party: int,
    clock: Clock,
    *,
    record: MemoryRecord | None = None,
    openings: MemoryOpenings | None = None,
    kept: bytes | None = None,
) -> Client:
    """Return a party's machine with a clock, from its beginning or from a snapshot."""
    given: dict[str, Any] = {
        "entropy": repeatable_entropy(b"run%d" % party),
        "terms": scenario.terms(party, record),
        "keyholder": scenario.keyholder(party, openings),
        "clock": clock,
    }
    if kept is not None:
        return Client.restore(scenario.protocol, scenario.session, kept, key=SNAPSHOT_KEY, **given)
    return Client(scenario.protocol, scenario.session, party, scenario.inputs().get(party), **given)


PARTIES: Final = pytest.mark.parametrize("party", [CLIENT, MEMBER], ids=["client", "member"])
TOO_LATE: Final = [
    (SCENARIO, ENDS, "when the session expires"),
    (SCENARIO, ENDS + 0.5, "when the session expires"),
    (BEFORE, ENDS - 100, "when the session expires"),
    (SCENARIO, BEGINS - 1, "begins at"),
    (SCENARIO, 0.0, "begins at"),
    (SCENARIO, float("nan"), "when the session expires"),
]
LATE: Final = pytest.mark.parametrize(("scenario", "now", "text"), TOO_LATE)


@PARTIES
@LATE
def test_party_does_not_join_an_expired_session(party: int, scenario: Scenario, now: float, text: str) -> None:
    """Expired, or with a certificate that is not valid yet: the constructor must refuse (SessionExpired)."""
    with pytest.raises(SessionExpired, match=text):
        machine(scenario, party, Clock(now))
    machine(scenario, party, Clock(NOW))
    machine(scenario, party, Clock(scenario.session.expires - 0.5 if scenario.session.expires else 0))


@PARTIES
@LATE
def test_machine_of_an_expired_session_is_not_restored(party: int, scenario: Scenario, now: float, text: str) -> None:
    kept = machine(scenario, party, Clock()).snapshot(SNAPSHOT_KEY)
    with pytest.raises(SessionExpired, match=text):
        machine(scenario, party, Clock(now), kept=kept)
    assert not machine(scenario, party, Clock(NOW), kept=kept).closed


@LATE
def test_client_hands_in_nothing_once_the_session_has_expired(scenario: Scenario, now: float, text: str) -> None:
    """The session expires between joining and answering. Nothing must be recorded, and the machine must be empty."""
    clock, record, run = Clock(), MemoryRecord(), ProtocolRun(scenario)
    late = machine(scenario, CLIENT, clock, record=record)
    clock.now = now
    with pytest.raises(SessionExpired, match=text):
        late.handle(run.requests[CLIENT])
    assert vars(record) == vars(MemoryRecord())
    assert late.closed
    clock.now = NOW
    with pytest.raises(OrderError):
        late.handle(run.requests[CLIENT])
    again = machine(scenario, CLIENT, clock, record=record)
    again.handle(run.requests[CLIENT])
    assert record.participations(scenario.counted_as(CLIENT)) == 1


@pytest.mark.parametrize("step", range(1, 4))
@LATE
def test_member_answers_no_step_once_the_session_has_expired(
    step: int, scenario: Scenario, now: float, text: str
) -> None:
    """The session expires before a step of the committee. The member must sign, record and open nothing."""
    clock, openings = Clock(), MemoryOpenings()
    run = ProtocolRun(scenario)
    run.clients[MEMBER] = machine(scenario, MEMBER, clock, openings=openings)
    run.to_step(step)
    before = repr(vars(openings))
    clock.now = now
    with pytest.raises(SessionExpired, match=text):
        run.clients[MEMBER].handle(run.requests[MEMBER])
    assert repr(vars(openings)) == before
    assert (vars(openings) == vars(MemoryOpenings())) is (step <= AGREE)
    assert run.clients[MEMBER].closed


def test_member_that_opens_again_is_asked_for_the_time_again() -> None:
    """The last step repeats. It must not open a sum a second time once the session has expired."""
    clock = Clock()
    run = ProtocolRun(SCENARIO)
    run.clients[MEMBER] = machine(SCENARIO, MEMBER, clock)
    run.to_step(OPEN)
    first = run.clients[MEMBER].handle(run.requests[MEMBER])
    assert run.clients[MEMBER].handle(run.requests[MEMBER]) == first
    clock.now = ENDS
    with pytest.raises(SessionExpired):
        run.clients[MEMBER].handle(run.requests[MEMBER])


def test_clock_is_read_before_each_answer() -> None:
    clock = Clock()
    run = ProtocolRun(SCENARIO)
    run.clients[MEMBER] = machine(SCENARIO, MEMBER, clock)
    assert clock.read == 1
    run.finish()
    assert clock.read == 4


def test_session_that_never_expires_is_answered_at_any_time() -> None:
    plain = setting(SecAgg(), IDS[:4], 3)
    for now in (0.0, -5.0, 10.0**12, float("nan")):
        run = ProtocolRun(plain)
        run.clients[IDS[0]] = Client(
            plain.protocol,
            plain.session,
            IDS[0],
            plain.inputs()[IDS[0]],
            entropy=repeatable_entropy(b"run%d" % IDS[0]),
            clock=Clock(now),
        )
        assert run.is_exact(run.finish())
