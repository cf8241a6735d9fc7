"""Snapshots: every machine can be restored in every step, and a snapshot is of no use to others."""

from dataclasses import replace

import pytest

from protocols.crypto.secret import Secret
from protocols.errors import DamagedSnapshot, OrderError, ParameterError, TooFewSurvivors
from protocols.machine import Client, Continue, Server
from protocols.secure_sum import Finish
from protocols.snapshot import write_state
from protocols.testing.hook import state_of
from protocols.testing.repeatable import SNAPSHOT_KEY, repeatable_entropy
from protocols.testing.run import ProtocolRun
from protocols.testing.scenario import Scenario
from protocols.testing.suite.base import STRANGER, Suite
from protocols.testing.suite.reachable import outliving, secrets_in, windows
from protocols.testing.suite.restarts import client_again, damaged, finish_restoring, finish_without, server_again


class SnapshotTests(Suite):
    """Tests of machines that are restored, and of snapshots that must be refused."""

    def test_machines_that_are_restored_all_the_time_sum_exactly(self, scenario: Scenario) -> None:
        run = ProtocolRun(scenario)
        outcome = finish_restoring(run)
        assert outcome.contributors == tuple(sorted(scenario.session.clients))
        assert run.is_exact(outcome)
        untouched = ProtocolRun(scenario).finish()
        assert outcome.attached == untouched.attached

    def test_machines_restored_in_one_step_sum_exactly(self, scenario: Scenario, number: int) -> None:
        """The server after half of the replies; half of the clients before they answer, and half after."""
        run = ProtocolRun(scenario).to_step(number)
        requests = dict(run.requests)
        before = set(list(requests)[::2])
        replies = {}
        for client, request in requests.items():
            if client in before:
                run.clients[client] = client_again(run, client)
            replies[client] = run.clients[client].handle(request)
            if client not in before and not run.clients[client].closed:
                run.clients[client] = client_again(run, client)
        for index, (client, reply) in enumerate(replies.items()):
            if index == len(replies) // 2:
                missing = run.server.missing
                run.server = server_again(run)
                assert run.server.missing == missing == set(list(replies)[index:])
            run.server.receive(client, reply)
        run.progress = run.server.advance()
        assert run.is_exact(run.finish())

    def test_restored_machines_end_as_the_first_ones_when_one_vanishes(self, scenario: Scenario, number: int) -> None:
        """The exact sum of the others if the parameters allow it, and the same refusal if they do not."""
        gone = scenario.asked(number)[1]
        ends: list[tuple[str, tuple[int, ...]]] = []
        for restoring in (False, True):
            run = ProtocolRun(scenario).to_step(number)
            try:
                outcome = finish_restoring(run, gone=gone) if restoring else finish_without(run, gone)
            except TooFewSurvivors as error:
                ends.append((str(error), ()))
                continue
            assert run.is_exact(outcome)
            assert set(outcome.contributors) >= set(scenario.session.clients) - {gone}
            ends.append((str(outcome.total.tolist()), outcome.contributors))
        assert ends[0] == ends[1]

    def test_server_restored_before_it_advances_makes_the_same_requests(self, scenario: Scenario, number: int) -> None:
        run = ProtocolRun(scenario).to_step(number)
        for client, reply in run.replies().items():
            run.server.receive(client, reply)
        once, twice = server_again(run), server_again(run)
        outcomes = [machine.advance() for machine in (run.server, once, twice)]
        if isinstance(outcomes[0], Finish):
            totals = [each.total.tolist() for each in outcomes if isinstance(each, Finish)]
            assert totals == [totals[0]] * 3
            return
        for each in outcomes[1:]:
            assert isinstance(each, Continue)
            assert each.step == outcomes[0].step
            assert dict(each.requests) == dict(outcomes[0].requests)

    def test_restored_server_refuses_what_the_first_one_refuses(self, scenario: Scenario, number: int) -> None:
        run = ProtocolRun(scenario).to_step(number)
        replies = run.replies()
        sender = min(replies)
        run.server.receive(sender, replies[sender])
        machine = server_again(run)
        with pytest.raises(OrderError):
            machine.start()
        with pytest.raises(Exception, match="has answered this step already"):
            machine.receive(sender, replies[sender])
        with pytest.raises(Exception, match="was not asked"):
            machine.receive(STRANGER, replies[sender])

    def test_snapshot_that_is_none_of_this_machine_is_refused(self, scenario: Scenario, number: int) -> None:
        """Damaged bytes, another machine's snapshot, another key, another session."""
        session, protocol = scenario.session, scenario.protocol
        run = ProtocolRun(scenario).to_step(number)
        for client, reply in list(run.replies().items())[::2]:
            run.server.receive(client, reply)
        of_server = run.server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"nonce"))
        fresh = ProtocolRun(scenario).to_step(number)
        client = scenario.asked(number)[0]
        of_client = fresh.clients[client].snapshot(SNAPSHOT_KEY)
        other = replace(scenario, session=replace(session, context=b"another"))

        def server(data: object, *, key: Secret = SNAPSHOT_KEY, whose: Scenario = scenario) -> Server:
            return Server.restore(whose.protocol, whose.session, data, key=key)  # type: ignore[arg-type]  # that is the test

        def restored(data: object, *, whose: Scenario = scenario) -> Client:
            return whose.restored(client, data, repeatable_entropy(b"x"))  # type: ignore[arg-type]  # that is the test

        server(of_server)  # These are taken, so the refusals below mean something.
        restored(of_client)
        for bad in (*damaged(of_server), of_client):
            with pytest.raises(DamagedSnapshot):
                server(bad)
        for bad in (*damaged(of_client), of_server):
            with pytest.raises(DamagedSnapshot):
                restored(bad)
        for key in (Secret(bytes(32)), Secret(b"\xff" * 32)):
            with pytest.raises(DamagedSnapshot):
                server(of_server, key=key)
        with pytest.raises(DamagedSnapshot):
            server(of_server, whose=other)
        with pytest.raises(DamagedSnapshot):
            restored(of_client, whose=other)
        longer = replace(session, session_id=session.session_id + b"x")
        with pytest.raises(DamagedSnapshot):
            Server.restore(protocol, longer, of_server, key=SNAPSHOT_KEY)

    @pytest.mark.parametrize(
        "key", [Secret(b""), Secret(bytes(16)), Secret(bytes(31)), Secret(bytes(33)), bytes(32), None]
    )
    def test_snapshot_under_something_that_is_no_key_is_refused(self, scenario: Scenario, key: object) -> None:
        run = ProtocolRun(scenario)
        run.replies()
        with pytest.raises(ParameterError):
            run.server.snapshot(key, entropy=repeatable_entropy(b"nonce"))  # type: ignore[arg-type]  # that is the test
        with pytest.raises(ParameterError):
            ProtocolRun(scenario).clients[scenario.session.clients[0]].snapshot(key)  # type: ignore[arg-type]  # that is the test

    def test_machine_that_has_closed_or_not_begun_keeps_nothing(self, scenario: Scenario) -> None:
        with pytest.raises(OrderError):
            Server(scenario.protocol, scenario.session).snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"nonce"))
        run = ProtocolRun(scenario)
        run.finish()
        with pytest.raises(OrderError):
            run.server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"nonce"))
        for party, machine in run.clients.items():
            if scenario.ends(party):
                with pytest.raises(OrderError):
                    machine.snapshot(SNAPSHOT_KEY)

    def test_snapshots_show_no_secret_and_no_input(self, scenario: Scenario, number: int) -> None:
        run = ProtocolRun(scenario).to_step(number)
        lasting = outliving(scenario)
        for client in run.requests:
            machine = run.clients[client]
            data = machine.snapshot(SNAPSHOT_KEY)
            again = machine.snapshot(SNAPSHOT_KEY)
            assert data[:12] != again[:12], "a nonce that repeats"
            vectors = [run.inputs[client]] if client in run.inputs else []
            secrets = secrets_in(machine)
            assert not any(secret in data for secret in secrets)
            assert not any(window in data for each in vectors for window in windows(each, scenario.session.modulus))
            # The same bytes unsealed do hold the secrets that the machine still needs. Its identity is not among them,
            # and no share of a key.
            state = bytes(write_state(state_of(machine)))
            assert all(secret in state for secret in secrets - lasting)
            assert not any(secret in state for secret in lasting)
        for client, reply in run.replies().items():
            run.server.receive(client, reply)
        secrets = secrets_in(run.server)
        data = run.server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"nonce"))
        assert not any(secret in data for secret in secrets)
