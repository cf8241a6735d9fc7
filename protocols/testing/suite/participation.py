"""A client counts from the first reply that depends on its vector, and at its cap sends no such reply."""

from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest

from protocols.errors import OrderError, ParameterError, ParticipationRefused
from protocols.machine import Client
from protocols.replay import MemoryRecord, SessionRecord
from protocols.secure_sum import Role
from protocols.snapshot import write_state
from protocols.testing.hook import state_of
from protocols.testing.repeatable import SNAPSHOT_KEY, repeatable_entropy
from protocols.testing.run import ProtocolRun
from protocols.testing.scenario import Scenario
from protocols.testing.suite.base import Suite
from protocols.testing.suite.openings import check_nothing_is_left

_SECOND: Final = b"conformance of a second sum"


class ParticipationTests(Suite):
    """Tests of `Step.sends_vector`, and of clients that keep a record of sessions with a cap.

    Two honest runs are compared, so a reply that depends on the vector only if the server sends something else is not
    found.
    """

    def test_declared_step_is_the_first_whose_reply_depends_on_the_vector(self, scenario: Scenario) -> None:
        """Every client answers alike before that step with two vectors and one entropy, and not alike in it."""
        run, other = ProtocolRun(scenario), ProtocolRun(scenario, vectors=scenario.inputs(seed=1))
        for row in scenario.protocol.steps:
            replies, others = run.replies(), other.replies()
            if row.role is Role.CLIENT:
                alike = {client for client in replies if replies[client] == others[client]}
                assert alike == (set() if row.sends_vector else set(replies)), row.name
            if row.sends_vector:
                return
            run.deliver(replies)
            other.deliver(others)
        pytest.fail("no step sends the vector")

    def test_client_counts_from_the_step_that_sends_its_vector_and_once(self, scenario: Scenario) -> None:
        run, sending = ProtocolRun(scenario), sending_step(scenario)
        for number, row in enumerate(scenario.protocol.steps):
            if row.role is not Role.CLIENT:
                return
            run.deliver(run.replies())
            counts = {run.records[client].participations(scenario.counted_as(client)) for client in run.inputs}
            assert counts == {int(number >= sending)}

    def test_vector_is_not_sent_before_it_is_counted(self, scenario: Scenario) -> None:
        """The record fails, as on a full disk: the party's state is untouched, and no reply is made."""
        number, client = sending_step(scenario), scenario.session.clients[0]
        run, record = ProtocolRun(scenario).to_step(number), _Failing()
        machine = again(run, client, record)
        state = state_of(machine)
        before = bytes(write_state(state))
        with pytest.raises(OSError, match="disk") as caught:
            machine.handle(run.requests[client])
        assert record.told == [(number, True)]
        assert bytes(write_state(state)) == before
        assert machine.closed
        check_nothing_is_left(machine, caught.value, run, number)

    def test_client_at_its_cap_sends_nothing(self, scenario: Scenario) -> None:
        """Not even keys. The session is not used up: with a larger cap, the client takes part in it."""
        client, run = scenario.session.clients[0], ProtocolRun(scenario)
        run.to_step(sending_step(scenario) + 1)
        record, identity = run.records[client], scenario.counted_as(client)
        second = replace(scenario, session=replace(scenario.session, session_id=_SECOND))
        asked = ProtocolRun(second)
        for cap in (1, 2):
            machine = second.client(client, run.inputs[client], repeatable_entropy(b"at its cap"), record, cap=cap)
            if cap == 2:
                machine.handle(asked.requests[client])
                break
            with pytest.raises(ParticipationRefused, match="cap of 1, found 1") as caught:
                machine.handle(asked.requests[client])
            assert machine.closed
            check_nothing_is_left(machine, caught.value, run, 0)
            with pytest.raises(OrderError):
                machine.handle(asked.requests[client])
            assert record.participations(identity) == 1

    def test_client_that_reaches_its_cap_meanwhile_does_not_send_its_vector(self, scenario: Scenario) -> None:
        """It is in two sessions with one record, in each just before it sends its vector, and is restored there."""
        number, client = sending_step(scenario), scenario.session.clients[0]
        record, identity = MemoryRecord(), scenario.counted_as(client)
        second = replace(scenario, session=replace(scenario.session, session_id=_SECOND))
        runs = [ProtocolRun(each) for each in (scenario, second)]
        for run in runs:
            run.clients[client] = run.scenario.client(
                client, run.inputs[client], repeatable_entropy(b"twice"), record, run.openings[client], cap=1
            )
            run.to_step(number)
        if number:
            for run in runs:
                run.clients[client] = again(run, client, record, cap=1)
        first, later = runs
        reply = first.clients[client].handle(first.requests[client])
        with pytest.raises(ParticipationRefused) as caught:
            later.clients[client].handle(later.requests[client])
        assert later.clients[client].closed
        check_nothing_is_left(later.clients[client], caught.value, later, number)
        assert record.participations(identity) == 1
        others = {
            party: first.clients[party].handle(asked) for party, asked in first.requests.items() if party != client
        }
        first.deliver({client: reply, **others})
        if not first.clients[client].closed:  # The session counts, so its own participation does not end it.
            first.clients[client] = again(first, client, record, cap=1)
            assert first.is_exact(first.finish())

    def test_cap_and_record_that_do_not_fit_are_refused(self, scenario: Scenario) -> None:
        session, entropy = scenario.session, repeatable_entropy(b"x")
        client, protocol = session.clients[0], scenario.protocol
        vector, data = scenario.inputs()[client], ProtocolRun(scenario).clients[client].snapshot(SNAPSHOT_KEY)
        given = {"terms": scenario.terms(client), "keyholder": scenario.keyholder(client)}
        extra = {"attached": scenario.attached()[client], "entropy": entropy}
        wrong: list[dict[str, object]] = [{"cap": 3}, {"cap": 0, "sessions": MemoryRecord()}, {"sessions": object()}]
        if session.roster is not None:
            wrong.append({"sessions": MemoryRecord()})
        for each in wrong:
            with pytest.raises(ParameterError, match=r"sessions|cap"):
                Client(protocol, session, client, vector, **extra, **given, **each)  # type: ignore[arg-type]  # That is the test.
            with pytest.raises(ParameterError, match=r"sessions|cap"):
                Client.restore(protocol, session, data, key=SNAPSHOT_KEY, entropy=entropy, **given, **each)  # type: ignore[arg-type]  # That is the test.


@dataclass(slots=True)
class _Failing:
    """A record of sessions that cannot write, and that keeps what it was told."""

    told: list[tuple[int, bool]] = field(default_factory=list)

    def record(self, *row: Any, vector: bool = False, **_: object) -> None:
        """See `SessionRecord.record`."""
        self.told.append((row[-1], vector))
        raise OSError("the disk is full")


def sending_step(scenario: Scenario) -> int:
    """Return the number of the step that says that it sends the vector; there is exactly one."""
    (number,) = (number for number, row in enumerate(scenario.protocol.steps) if row.sends_vector)
    return number


def again(run: ProtocolRun, client: int, record: SessionRecord, *, cap: int | None = None) -> Client:
    """Return a client as another process would go on with it, with a record of sessions and a cap."""
    data = run.clients[client].snapshot(SNAPSHOT_KEY)
    return run.scenario.restored(client, data, repeatable_entropy(b"later"), record, run.openings[client], cap)
