"""Explicit-state search: every state that a model can reach, breadth-first, with the shortest trace to each violation.

States are visited in a fixed order, so two searches of one model find the same numbers and the same traces. Two states
that differ only in the names of equal parties have one canonical form, and only the first of them is explored.
"""

import time
from collections import deque
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)
A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)


class Model(Protocol[S, A_co]):
    """A model: its first state, and what can happen in a state."""

    def start(self) -> S:
        """Return the first state."""

    def moves(self, state: S) -> tuple[Sequence[tuple[A_co, S]], int]:
        """Return each action that is accepted, with the state after it, and the number of actions that are refused."""

    def canonical(self, state: S) -> Hashable:
        """Return a value that two states share if and only if they differ in nothing but the names of equal parties."""

    def violations(self, state: S) -> Collection[str]:
        """Return the names of the invariants that do not hold in a state."""


@dataclass(frozen=True, kw_only=True)
class Exploration(Generic[A]):
    """What a search found.

    Attributes:
        states: Number of states, counted up to the names of equal parties.
        transitions: Number of accepted actions, counted from each of these states.
        refused: Number of refused actions, counted from each of these states.
        depth: Number of actions that the last state found is away from the first.
        complete: Whether every state was visited.
        traces: By violated invariant, a shortest sequence of actions that violates it.
        seconds: CPU time of the search.
    """

    states: int
    transitions: int
    refused: int
    depth: int
    complete: bool
    traces: dict[str, tuple[A, ...]]
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.states:,} states, {self.transitions:,} transitions, {self.refused:,} refused messages, "
            f"depth {self.depth}, {self.seconds:.1f} s" + ("" if self.complete else " (stopped)")
        )


def explore(model: Model[S, A], *, until: Collection[str] = ()) -> Exploration[A]:
    """Visit the states of a model, breadth-first.

    Args:
        model: The model.
        until: Names of invariants. The search stops once it has a trace to a violation of each; if there are none, it
            visits every state.
    """
    began = time.process_time()
    first = model.start()
    parents: dict[S, tuple[S, A] | None] = {first: None}
    seen: set[Hashable] = {model.canonical(first)}
    queue: deque[tuple[S, int]] = deque([(first, 0)])
    traces: dict[str, tuple[A, ...]] = {}
    visited = transitions = refused = depth = 0
    stopped = False
    while queue and not stopped:
        state, depth = queue.popleft()
        visited += 1
        for name in model.violations(state):
            if name not in traces:
                traces[name] = _trace(parents, state)
        stopped = bool(until) and set(until) <= traces.keys()
        accepted, others = model.moves(state)
        transitions += len(accepted)
        refused += others
        for action, after in accepted:
            form = model.canonical(after)
            if form not in seen:
                seen.add(form)
                parents[after] = (state, action)
                queue.append((after, depth + 1))
    return Exploration(
        states=visited,
        transitions=transitions,
        refused=refused,
        depth=depth,
        complete=not queue,
        traces=traces,
        seconds=time.process_time() - began,
    )


def _trace(parents: dict[S, tuple[S, A] | None], state: S) -> tuple[A, ...]:
    actions: list[A] = []
    while (step := parents[state]) is not None:
        state, action = step
        actions.append(action)
    return tuple(reversed(actions))
