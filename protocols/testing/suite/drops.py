"""Parties that drop out: the exact sum of the others while the thresholds allow it, and a typed error otherwise."""

from collections.abc import Iterator

import pytest

from protocols.errors import OrderError, TooFewSurvivors
from protocols.secure_sum import Role
from protocols.simulate import Outcome, Transmission
from protocols.testing.repeatable import repeatable_entropy
from protocols.testing.run import ProtocolRun, exact_sum
from protocols.testing.scenario import Scenario
from protocols.testing.suite.base import Suite

_FATES = 2  # The number of random sets of drops that are tried for each scenario.


class DropTests(Suite):
    """Tests of sums in which parties drop out."""

    def test_tolerated_drops_leave_the_exact_sum(self, scenario: Scenario, number: int) -> None:
        """Down to the quorum of each step, unless the scenario says that its parameters tolerate fewer drops."""
        row, session = scenario.protocol.steps[number], scenario.session
        for absent in absences(scenario, number):
            outcome = scenario.simulate(scenario.inputs(), drops={row.name: absent})
            assert set(outcome.contributors) >= set(session.clients) - set(absent)
            assert number or set(outcome.contributors).isdisjoint(absent)
            assert is_exact(scenario, outcome)
            assert outcome.dropped.keys() == set(absent)
            for party in absent:  # A client that is a committee member too is asked, and missed, once more.
                again = row.role is Role.CLIENT and party in session.committee_members
                assert outcome.dropped[party] == row.name or again

    def test_drops_in_every_step_give_the_exact_sum_or_nothing(self, scenario: Scenario) -> None:
        """Each party drops out in a random step or never. A sum is released only if each step has its quorum."""
        names = [row.name for row in scenario.protocol.steps]
        for seed in range(_FATES):
            drawn = repeatable_entropy(b"fates %d" % seed)(len(scenario.parties))
            choices = [*names, *[None] * 9]
            fates = {party: choices[byte % len(choices)] for party, byte in zip(scenario.parties, drawn, strict=True)}
            drops = {name: [party for party, fate in fates.items() if fate == name] for name in names}
            enough = [
                sum(fates[party] not in names[: number + 1] for party in scenario.asked(number))
                >= scenario.quorum(number)
                for number in range(len(names))
            ]
            try:
                outcome = scenario.simulate(scenario.inputs(), drops=drops)
            except TooFewSurvivors:
                assert scenario.tolerated is not None or not all(enough)
                continue
            assert all(enough)
            assert set(outcome.contributors).isdisjoint(drops[names[0]])
            assert is_exact(scenario, outcome)

    def test_fewer_replies_than_the_threshold_close_the_server(self, scenario: Scenario, number: int) -> None:
        run = ProtocolRun(scenario).to_step(number)
        quorum = scenario.quorum(number)
        assert quorum >= (scenario.session.threshold if scenario.protocol.steps[number].role is Role.CLIENT else 1)
        replies = run.replies()
        for client in sorted(replies)[: quorum - 1]:
            run.server.receive(client, replies[client])
        with pytest.raises(TooFewSurvivors):
            run.abandon()
        late = sorted(replies)[-1]
        with pytest.raises(OrderError):
            run.server.receive(late, replies[late])
        with pytest.raises(OrderError):
            run.server.advance()

    def test_simulated_drop_reaches_no_later_step(self, scenario: Scenario) -> None:
        """Except for the committee's first step, whose members are asked even if they have sent no vector."""
        session = scenario.session
        seen: list[Transmission] = []
        first, *later = scenario.protocol.steps
        gone = session.clients[0]
        asked = [first.name]
        try:
            scenario.simulate(scenario.inputs(), drops={first.name: [gone]}, tap=seen.append)
            of_committee = [row.name for row in later if row.role is Role.COMMITTEE]
            asked += of_committee[:1] if gone in session.committee_members else []
        except TooFewSurvivors:
            assert len(session.clients) - 1 < session.threshold or scenario.tolerated == 0
        assert [each.step for each in seen if each.receiver == gone] == asked
        assert all(each.sender != gone for each in seen)


def absences(scenario: Scenario, number: int) -> Iterator[tuple[int, ...]]:
    """Yield sets of parties that may be absent from a step on: the first and the last few, or each party alone."""
    asked = scenario.asked(number)
    allowed = len(asked) - scenario.quorum(number)
    most = allowed if scenario.tolerated is None else min(allowed, scenario.tolerated)
    sets = (
        [(party,) for party in asked]
        if scenario.tolerated == most == 1
        else [asked[:most], asked[-most:]]
        if most
        else []
    )
    later = range(number, len(scenario.protocol.steps))
    for absent in sets:
        if all(len(set(scenario.asked(step)) - set(absent)) >= scenario.quorum(step) for step in later):
            yield absent


def is_exact(scenario: Scenario, outcome: Outcome) -> bool:
    """Return whether an outcome is the exact sum of enough contributors."""
    session = scenario.session
    expected = exact_sum(scenario.inputs(), outcome.contributors, session.modulus)
    return len(outcome.contributors) >= session.threshold and outcome.total.tolist() == expected
