"""The search visits every state of a model, up to the names of equal parties, and finds shortest traces."""

from collections.abc import Hashable
from dataclasses import dataclass

import pytest

from tests.exploration.learned import learned_sums
from tests.exploration.search import explore


@dataclass(frozen=True)
class Counters:
    """Two counters that count to a limit, one step at a time, and a rule that their sum must not break."""

    limit: int
    forbidden: int
    equal: bool

    def start(self) -> tuple[int, int]:
        return 0, 0

    def moves(self, state: tuple[int, int]) -> tuple[list[tuple[str, tuple[int, int]]], int]:
        left, right = state
        found = [("left", (left + 1, right)), ("right", (left, right + 1))]
        accepted = [each for each in found if max(each[1]) <= self.limit]
        return accepted, len(found) - len(accepted)

    def canonical(self, state: tuple[int, int]) -> Hashable:
        return tuple(sorted(state)) if self.equal else state

    def violations(self, state: tuple[int, int]) -> list[str]:
        return ["the sum is forbidden"] if sum(state) == self.forbidden else []


def test_search_counts_states_transitions_and_refusals() -> None:
    found = explore(Counters(3, 100, equal=False))
    assert (found.states, found.transitions, found.refused, found.depth) == (16, 24, 8, 6)
    assert found.complete
    assert found.traces == {}
    assert "16 states" in str(found)


def test_search_counts_equal_states_once() -> None:
    assert explore(Counters(3, 100, equal=True)).states == 10


@pytest.mark.parametrize("equal", [False, True])
def test_search_finds_a_shortest_trace_and_stops(equal: bool) -> None:
    model = Counters(3, 4, equal=equal)
    found = explore(model, until=["the sum is forbidden"])
    (trace,) = found.traces.values()
    assert len(trace) == 4
    assert trace.count("left") <= 3
    assert not found.complete
    assert "stopped" in str(found)


def test_search_goes_on_after_a_violation_unless_told_to_stop() -> None:
    found = explore(Counters(3, 1, equal=False))
    assert found.complete
    assert found.states == 16
    assert len(found.traces["the sum is forbidden"]) == 1


def test_masks_that_cancel_leave_a_sum() -> None:
    rows = [{"x": 1, "mask": 1}, {"y": 1, "mask": -1}]
    (found,) = learned_sums(rows, ["x", "y"])
    assert dict(found.inputs) == {"x": 1, "y": 1}
    assert dict(found.weights) == {0: 1, 1: 1}


def test_masks_that_stay_leave_nothing() -> None:
    assert learned_sums([{"x": 1, "one": 1}, {"y": 1, "two": 1}], ["x", "y"]) == ()
    assert learned_sums([{"x": 1, "one": 1}, {"x": 1, "one": 1}], ["x"]) == ()


def test_three_sums_of_two_give_each_input() -> None:
    rows = [{"x": 1, "y": 1}, {"y": 1, "z": 1}, {"x": 1, "z": 1}]
    assert [dict(each.inputs) for each in learned_sums(rows, ["x", "y", "z"])] == [{"x": 1}, {"y": 1}, {"z": 1}]
