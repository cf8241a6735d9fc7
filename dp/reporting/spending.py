"""Curves for a report: how the epsilon of a ledger grew, what is left of it, and its value at other deltas.

Every figure is the least bound of the accountants of `dp.accounting`, as is the total that the ledger enforces. If
Gaussian noise is sampled, quick figures (`dp.accounting.quick`) of fewer releases are used. Figures that are not
computed are left out. Epsilon never falls as releases are added, so the total bounds every earlier figure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dp.accounting.quick import QuickTotal
from dp.events import PrivacyEvent, single_release_counts
from dp.ledger.records import Budget
from dp.reporting.spacing import evenly_spaced

PROJECTED: Final = 40

# The most compositions of one kind of sampled Gaussian noise in a curve.
COMPOSITIONS: Final = 40
PROJECTED_COMPOSITIONS: Final = 10
LEAST_COMPOSITIONS: Final = 5


def epsilons_after(events: Sequence[PrivacyEvent | None], *, delta: float, total: float) -> dict[int, float]:
    """Return the cost of all releases up to and including each accounted one.

    Args:
        events: The event that each release adds, in order; None if it adds nothing.
        delta: Strictly between 0 and 1.
        total: The epsilon of all releases, by the accountants of the ledger.

    Returns:
        Epsilon by position, if it was computed: at the positions of `accounted`, or, with sampled Gaussian noise, at up
        to 40 of them. The last one is `total`.
    """
    found: dict[int, float] = {}
    so_far, done = QuickTotal.of({}), 0
    positions = evenly_spaced(len(events))
    for position in (positions[index] for index in evenly_spaced(len(positions), _figures(events, len(positions)))):
        so_far = so_far.plus(event_counts(events[done : position + 1]))
        done = position + 1
        # A figure on the coarser grid may be above the later total, which bounds it too.
        found[position] = total if done == len(events) else min(total, so_far.epsilon(delta))
    return found


def projected(
    events: Mapping[PrivacyEvent, int], event: PrivacyEvent, *, further: int, budget: Budget
) -> tuple[tuple[int, float], ...]:
    """Return the cost of all releases after further releases of `event`, as pairs of their number and epsilon.

    Args:
        events: How often each event was charged.
        event: The event of each further release.
        further: The most further releases. The ledger admits them, so they cost at most the budget's epsilon.
        budget: The budget of the ledger.
    """
    made = QuickTotal.of(events)
    figures = PROJECTED_COMPOSITIONS if made.plus({event: 1}).takes_long else PROJECTED

    def cost(more: int) -> float:
        return min(budget.epsilon, made.plus({event: more}).epsilon(budget.delta))

    return tuple((position + 1, cost(position + 1)) for position in evenly_spaced(further, figures))


def epsilons_at(events: Mapping[PrivacyEvent, int], deltas: Sequence[float]) -> dict[float, float]:
    """Return the cost of all releases at each delta.

    Args:
        events: How often each event was charged.
        deltas: Numbers strictly between 0 and 1.

    Returns:
        Epsilon by delta.
    """
    total = QuickTotal.of(events)
    return {at: total.epsilon(at) for at in deltas}


def event_counts(events: Iterable[PrivacyEvent | None]) -> Counter[PrivacyEvent]:
    """Return how often each event is added."""
    return Counter(event for event in events if event is not None)


def _figures(events: Sequence[PrivacyEvent | None], most: int) -> int:
    """Return the number of releases for which a curve is computed, `most` if that is quick."""
    counts = event_counts(events)
    if not QuickTotal.of(counts).takes_long:
        return most
    return max(LEAST_COMPOSITIONS, COMPOSITIONS // len(single_release_counts(counts)))
