"""Records of sessions and of openings: a party that keeps one answers no step for a second time."""

from dataclasses import replace

import pytest

from protocols.errors import OrderError, SessionReused
from protocols.secure_sum import Role
from protocols.testing.repeatable import SNAPSHOT_KEY, repeatable_entropy
from protocols.testing.run import ProtocolRun
from protocols.testing.scenario import Scenario
from protocols.testing.suite.base import Suite
from protocols.testing.suite.openings import records_roots
from protocols.testing.suite.reachable import identities, secrets_in


class ReplayTests(Suite):
    """Tests of parties that keep records: clients of a session with a roster, and committee members."""

    def test_party_with_a_record_answers_no_step_twice(self, scenario: Scenario, number: int) -> None:
        """A crash, and a restart from a snapshot of before the last answers: the record has survived."""
        if scenario.session.roster is None and scenario.protocol.steps[number].role is Role.CLIENT:
            return  # Such a client trusts its server, and keeps no record.
        party = scenario.asked(number)[0]
        run, kept, requests, replies = ProtocolRun(scenario), list[bytes](), list[bytes](), list[bytes]()
        roles = list[Role]()
        repeatable = scenario.protocol.steps[number].role is Role.COMMITTEE and records_roots(scenario)
        for row in scenario.protocol.steps[: number + 1]:
            if party in run.requests:
                kept.append(run.clients[party].snapshot(SNAPSHOT_KEY))
                requests.append(run.requests[party])
                roles.append(row.role)
            answers = run.replies()
            replies += [answers[party]] if party in answers else []
            run.deliver(answers)
        assert kept
        for data, request, reply, role in zip(kept, requests, replies, roles, strict=True):
            entropy = repeatable_entropy(b"another life")
            machine = scenario.restored(party, data, entropy, run.records[party], run.openings[party])
            if role is Role.COMMITTEE and repeatable:
                assert machine.handle(request) == reply  # It may repeat what it has said, and say nothing else.
                continue
            with pytest.raises(SessionReused):
                machine.handle(request)
            assert machine.closed
            assert secrets_in(machine) <= identities(scenario)
            with pytest.raises(OrderError):
                machine.handle(request)

    def test_client_without_its_record_resumes_no_session(self, scenario: Scenario, number: int) -> None:
        if scenario.session.roster is None or number == 0 or scenario.protocol.steps[number].role is Role.COMMITTEE:
            return  # There is no record, nothing to resume, or a record of openings instead.
        client = next(party for party in scenario.asked(number) if party in scenario.session.clients)
        run = ProtocolRun(scenario).to_step(number)
        data = run.clients[client].snapshot(SNAPSHOT_KEY)
        machine = scenario.restored(client, data, repeatable_entropy(b"another life"))
        with pytest.raises(SessionReused):
            machine.handle(run.requests[client])
        assert machine.closed

    def test_session_id_that_was_used_before_is_refused(self, scenario: Scenario) -> None:
        if scenario.session.roster is None:
            return
        client = scenario.session.clients[0]
        run = ProtocolRun(scenario)
        vector, request = run.inputs[client], run.requests[client]
        run.deliver(run.replies())
        again = scenario.client(client, vector, repeatable_entropy(b"another"), run.records[client])
        with pytest.raises(SessionReused):
            again.handle(request)
        assert again.closed
        # Another context makes it another session to everyone else, but not to this record.
        other = replace(scenario, session=replace(scenario.session, context=b"another round of training"))
        machine = other.client(client, vector, repeatable_entropy(b"another"), run.records[client])
        with pytest.raises(SessionReused):
            machine.handle(ProtocolRun(other).requests[client])
        fresh = replace(scenario, session=replace(scenario.session, session_id=b"a session of its own"))
        machine = fresh.client(client, vector, repeatable_entropy(b"another"), run.records[client])
        assert machine.handle(ProtocolRun(fresh).requests[client])
