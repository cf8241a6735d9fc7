"""The record of openings: no party helps to open two sums of one context whose contributors differ in few clients."""

import traceback
from dataclasses import dataclass, field, replace
from typing import Final

import pytest

from protocols.errors import OrderError, SessionReused, TooFewSurvivors, UnsafeOpening
from protocols.machine import Continue
from protocols.secure_sum import Finish, Role
from protocols.testing.repeatable import SNAPSHOT_KEY, repeatable_entropy
from protocols.testing.run import ProtocolRun
from protocols.testing.scenario import Scenario
from protocols.testing.suite.base import Suite
from protocols.testing.suite.reachable import identities, secrets_in

_SECOND: Final = b"conformance of a second sum"


class OpeningTests(Suite):
    """Tests of parties that keep a record of openings: committee members, and clients that were given one.

    A protocol that protects nobody may lack a step that reveals. Any other protocol has one.
    """

    def test_protocol_that_protects_says_which_step_reveals(self, scenario: Scenario) -> None:
        protocol = scenario.protocol
        assert any(row.reveals is not None for row in protocol.steps) or not protocol.protects

    def test_contributors_are_recorded_in_the_step_that_reveals_and_in_no_other(
        self, scenario: Scenario, number: int
    ) -> None:
        """One client is absent from a step on, so that the sets of clients in the steps are not all the same."""
        gone, notes = scenario.session.clients[0], {party: Notes() for party in scenario.parties}
        run, noted = ProtocolRun(scenario, openings=notes), list[dict[int, list[Note]]]()
        for step, row in enumerate(scenario.protocol.steps):
            answering = set(run.requests)
            if step >= number and row.role is Role.CLIENT:
                answering -= {gone}
            if not delivered(run, gone if step >= number else None):
                return
            noted.append({party: notes[party].taken() for party in scenario.parties})
            revealing = answering if row.reveals is not None else set()
            assert {party for party, told in noted[-1].items() if told} == revealing
        outcome, session, keys = run.finish(), scenario.session, list[bytes]()
        for told in noted:
            for note in (each for notes in told.values() for each in notes):
                assert (note.session_id, note.context) == (session.session_id, session.context)
                assert (note.contributors, note.minimum) == (outcome.contributors, session.threshold)
                keys.append(note.key)
        assert all(len(key) == 32 for key in keys)
        assert len(set(keys)) == len(keys), "two parties have the same key, or one reveals in two steps"

    @pytest.mark.parametrize("fewer_first", [False, True])
    def test_two_sums_that_differ_in_one_client_are_not_both_opened(
        self, scenario: Scenario, number: int, *, fewer_first: bool
    ) -> None:
        """In one of them, a client is absent from a step on, before any step that reveals.

        Without the records both are opened, and their difference is that client's vector.
        """
        if not scenario.protocol.protects or number >= revealing_step(scenario):
            return
        second = replace(scenario, session=replace(scenario.session, session_id=_SECOND))
        gone = scenario.session.clients[0]
        absent = (gone, None) if fewer_first else (None, gone)
        before = ProtocolRun(scenario)
        first, unrecorded = finished(before, absent[0], number), finished(ProtocolRun(second), absent[1], number)
        if first is None or unrecorded is None:
            return  # Such a cohort gives no sum without that client.
        more, fewer = (unrecorded, first) if fewer_first else (first, unrecorded)
        if gone in fewer.contributors:
            return  # Its vector had arrived before.
        assert difference(more, fewer, scenario) == before.inputs[gone].tolist()
        run, revealing, refused = ProtocolRun(second, openings=before.openings), revealing_step(scenario), set[int]()
        assert all(delivered(run, absent[1] if step >= number else None) for step in range(revealing))
        asked = set(run.requests)
        if scenario.protocol.steps[revealing].role is Role.CLIENT:
            asked -= {gone}  # It has not opened the sum without it, so it may reveal for the other one.
        assert not delivered(run, absent[1], refused)
        assert refused == asked

    def test_same_contributors_are_summed_again_and_others_under_another_context(self, scenario: Scenario) -> None:
        run, gone = ProtocolRun(scenario), scenario.session.clients[0]
        total = run.finish()
        second = replace(scenario, session=replace(scenario.session, session_id=_SECOND))
        again = ProtocolRun(second, openings=run.openings).finish()
        assert again.contributors == total.contributors
        assert again.total.tolist() == total.total.tolist()
        session = replace(scenario.session, session_id=b"conformance of a third sum", context=b"other inputs")
        other = replace(scenario, session=session)
        fewer = finished(ProtocolRun(other), gone, 0)
        remembered = finished(ProtocolRun(other, openings=run.openings), gone, 0)
        assert (fewer is None) == (remembered is None)

    def test_restored_party_opens_no_second_sum(self, scenario: Scenario) -> None:
        """It is restored right before it reveals, in the same session and in another one, with its record of openings.

        Its records of sessions are new, so that nothing else refuses. A party that tells its record a root may open the
        same sum again, with the same reply.
        """
        if not scenario.protocol.protects:
            return
        number, first = revealing_step(scenario), ProtocolRun(scenario)
        first.to_step(number)
        kept = {party: first.clients[party].snapshot(SNAPSHOT_KEY) for party in first.requests}
        requests, replies = dict(first.requests), first.replies()
        first.deliver(replies)
        first.finish()
        for party, data in kept.items():
            again = first.openings[party]
            machine = scenario.restored(party, data, repeatable_entropy(b"again"), _Steps(), again)
            if records_roots(scenario):
                assert machine.handle(requests[party]) == replies[party]
                continue
            with pytest.raises(SessionReused):
                machine.handle(requests[party])
            assert machine.closed
        gone = scenario.session.clients[0]
        run = ProtocolRun(replace(scenario, session=replace(scenario.session, session_id=_SECOND)))
        if not all(delivered(run, gone) for _ in range(number)):
            return
        for party in run.requests:
            data = run.clients[party].snapshot(SNAPSHOT_KEY)
            machine = run.scenario.restored(
                party, data, repeatable_entropy(b"later"), run.records[party], first.openings[party]
            )
            with pytest.raises(UnsafeOpening) as caught:
                machine.handle(run.requests[party])
            assert machine.closed
            check_nothing_is_left(machine, caught.value, run, number)
            with pytest.raises(OrderError):
                machine.handle(run.requests[party])


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a record of openings was told."""

    key: bytes
    session_id: bytes
    context: bytes
    contributors: tuple[int, ...]
    minimum: int
    root: bytes


@dataclass(slots=True)
class Notes:
    """A record of openings that takes everything, and shows what it was told since it was last asked."""

    notes: list[Note] = field(default_factory=list)

    def record(
        self,
        *,
        key: bytes,
        session_id: bytes,
        context: bytes,
        contributors: tuple[int, ...],
        minimum: int,
        root: bytes = b"",
        weights: tuple[int, ...] = (),  # noqa: ARG002  # See `record`.
        batches: bool = False,  # noqa: ARG002  # See `record`.
    ) -> None:
        """See `OpeningRecord.record`."""
        self.notes.append(
            Note(
                key=key,
                session_id=session_id,
                context=context,
                contributors=contributors,
                minimum=minimum,
                root=root,
            )
        )

    def taken(self) -> list[Note]:
        """Return what was noted since the last call."""
        notes, self.notes = self.notes, []
        return notes


class _Steps:
    """A record of sessions that lets everything pass."""

    def record(
        self,
        identity: bytes,
        session_id: bytes,
        number: int,
        *,
        vector: bool = False,
        cap: int | None = None,
        context: bytes = b"",
        committee: bytes = b"",
    ) -> None:
        """See `SessionRecord.record`."""


def records_roots(scenario: Scenario) -> bool:
    """Return whether the parties tell their records of openings a root, and so may open the same sum again."""
    notes = {party: Notes() for party in scenario.parties}
    ProtocolRun(scenario, openings=notes).finish()
    return any(note.root for each in notes.values() for note in each.notes)


def revealing_step(scenario: Scenario) -> int:
    """Return the number of the first step that reveals, of a protocol that protects."""
    numbers = [number for number, row in enumerate(scenario.protocol.steps) if row.reveals is not None]
    assert numbers, "no step reveals"
    return numbers[0]


def delivered(run: ProtocolRun, gone: int | None, refused: set[int] | None = None) -> bool:
    """Run one step without one client, as far as it is a client; return False if the sum ends there.

    Args:
        run: The run.
        gone: The client that does not answer if the step asks the clients.
        refused: The parties that refuse to open the sum are added to it; without it, a refusal is an error.
    """
    open_step = run.progress.step if isinstance(run.progress, Continue) else None
    role = next(row.role for row in run.scenario.protocol.steps if row.name == open_step)
    replies = {}
    for party, request in run.requests.items():
        if party == gone and role is Role.CLIENT:
            continue
        try:
            replies[party] = run.clients[party].handle(request)
        except UnsafeOpening:
            if refused is None:
                raise
            refused.add(party)
    try:
        run.deliver(replies)
    except TooFewSurvivors:
        return False
    return True


def finished(run: ProtocolRun, gone: int | None, number: int, *, refused: set[int] | None = None) -> Finish | None:
    """Finish a run without one client from a step on; return None if it ends without a sum. See `delivered`."""
    for step in range(len(run.scenario.protocol.steps)):
        if not delivered(run, gone if step >= number else None, refused):
            return None
    return run.finish()


def difference(more: Finish, fewer: Finish, scenario: Scenario) -> list[int]:
    """Return the difference of two sums modulo the session's modulus, with Python's own integers."""
    pairs = zip(more.total.tolist(), fewer.total.tolist(), strict=True)
    return [(one - other) % scenario.session.modulus for one, other in pairs]


def check_nothing_is_left(machine: object, error: BaseException, run: ProtocolRun, number: int) -> None:
    """Check that neither a closed machine nor the error that closed it leads to a secret or to the refused reply."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][1:]
    held = [value for frame in frames for value in frame.f_locals.values()]
    assert secrets_in([machine, held]) <= identities(run.scenario)
    assert not any(isinstance(value, run.scenario.protocol.steps[number].reply) for value in held)
