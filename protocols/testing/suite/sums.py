"""Sums are exact, for every input and every order of messages, with what is random fixed or drawn anew."""

import os

import numpy as np
import pytest

from protocols.secure_sum import Finish, Role
from protocols.simulate import Transmission
from protocols.testing.run import ProtocolRun, exact_sum
from protocols.testing.scenario import Scenario
from protocols.testing.suite.base import Suite


class SumTests(Suite):
    """Tests of sums in which nobody misbehaves and no party that is asked drops out."""

    def test_sum_is_exact_when_nobody_drops(self, scenario: Scenario) -> None:
        run = ProtocolRun(scenario)
        outcome = run.finish()
        assert outcome.contributors == tuple(sorted(scenario.session.clients))
        assert run.is_exact(outcome)

    def test_sum_is_exact_with_the_operating_systems_entropy(self, scenario: Scenario) -> None:
        inputs = scenario.inputs()
        outcome = scenario.simulate(inputs, entropy=os.urandom)
        assert outcome.dropped == {}
        assert outcome.contributors == tuple(sorted(scenario.session.clients))
        assert outcome.total.tolist() == exact_sum(inputs, outcome.contributors, scenario.session.modulus)

    def test_sum_of_extreme_entries_wraps_at_the_modulus(self, scenario: Scenario) -> None:
        session = scenario.session
        largest = np.full(session.length, session.modulus - 1, dtype=np.uint64)
        outcome = scenario.simulate(dict.fromkeys(session.clients, largest))
        assert outcome.total.tolist() == [-len(session.clients) % session.modulus] * session.length

    @pytest.mark.parametrize("dtype", ["u1", "i1", ">u2", "<i4", ">i8", "u8"])
    def test_every_integer_dtype_is_summed(self, scenario: Scenario, dtype: str) -> None:
        vector = (np.arange(scenario.session.length) % 2).astype(dtype)
        outcome = scenario.simulate(dict.fromkeys(scenario.session.clients, vector))
        assert outcome.total.tolist() == [len(scenario.session.clients) * int(entry) for entry in vector]

    def test_inputs_are_not_changed(self, scenario: Scenario) -> None:
        inputs, before = scenario.inputs(), scenario.inputs()
        scenario.simulate(inputs)
        assert all((inputs[client] == before[client]).all() for client in inputs)

    def test_replies_in_any_order_give_the_same_requests_and_sum(self, scenario: Scenario) -> None:
        forwards, backwards = ProtocolRun(scenario), ProtocolRun(scenario)
        while not isinstance(forwards.progress, Finish):
            forwards.deliver(forwards.replies())
            backwards.deliver(dict(reversed(backwards.replies().items())))
            if not isinstance(forwards.progress, Finish):
                assert forwards.requests == backwards.requests
        assert isinstance(backwards.progress, Finish)
        assert forwards.progress.contributors == backwards.progress.contributors
        assert (forwards.progress.total == backwards.progress.total).all()

    def test_same_entropy_gives_the_same_bytes_and_other_entropy_the_same_sum(self, scenario: Scenario) -> None:
        first, again, other = ProtocolRun(scenario), ProtocolRun(scenario), ProtocolRun(scenario, seed=b"other")
        while not isinstance(first.progress, Finish):
            replies = first.replies()
            assert replies == again.replies()
            for run in (first, again):
                run.deliver(replies)
            other.deliver(other.replies())
        assert isinstance(other.progress, Finish)
        assert (first.progress.total == other.progress.total).all()

    def test_party_that_no_later_step_asks_may_vanish(self, scenario: Scenario) -> None:
        last = scenario.protocol.steps[-1].name
        idle = set(scenario.parties) - set(scenario.asked(len(scenario.protocol.steps) - 1))
        outcome = scenario.simulate(scenario.inputs(), drops={last: idle})
        assert outcome.dropped == {}
        assert outcome.contributors == tuple(sorted(scenario.session.clients))
        if scenario.protocol.steps[-1].role is Role.COMMITTEE and len(scenario.protocol.steps) > 1:
            before = len(scenario.protocol.steps) - 1
            clients = ProtocolRun(scenario).to_step(before).clients
            assert {party for party, machine in clients.items() if machine.closed} == idle

    def test_costs_count_every_byte(self, scenario: Scenario) -> None:
        seen: list[Transmission] = []
        outcome = scenario.simulate(scenario.inputs(), tap=seen.append)
        for client in scenario.parties:
            assert outcome.cost.sent_bytes[client] == sum(len(each.data) for each in seen if each.sender == client)
            assert outcome.cost.received_bytes[client] == sum(
                len(each.data) for each in seen if each.receiver == client
            )
