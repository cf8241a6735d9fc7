"""How the epsilon of a ledger grew, what is left of it, and what it is at other deltas: curves for a report.

Every figure is the lesser of what the accountants of `dp.accounting` give, as the total that is enforced is; where
Gaussian noise is sampled, quickly (`dp.accounting.quick`) and of fewer releases. What is not computed is left out.
Epsilon never falls as releases are added, so that the total bounds what was spent before its last release.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from dp.accounting.quick import QuickTotal
from dp.events import PrivacyEvent, single_release_counts
from dp.ledger.records import Budget
from dp.reporting.spacing import evenly_spaced

PROJECTED: Final = 40

# What curves take in compositions of one kind of sampled Gaussian noise.
COMPOSITIONS: Final = 40
PROJECTED_COMPOSITIONS: Final = 10
LEAST_COMPOSITIONS: Final = 5


def epsilons_after(events: Sequence[PrivacyEvent], *, delta: float, total: float) -> dict[int, float]:
    """Return what all releases up to and with each accounted one cost.

    Args:
        events: Of the releases, in order.
        delta: Strictly between 0 and 1.
        total: Epsilon of all of them, by the accountants of the ledger.

    Returns:
        Epsilon by position, where it was computed: at the positions of `accounted`, or, with sampled Gaussian noise, at
        up to 40 of them. The last one is `total`.
    """
    found: dict[int, float] = {}
    so_far, done = QuickTotal.of({}), 0
    positions = evenly_spaced(len(events))
    for position in (positions[index] for index in evenly_spaced(len(positions), _figures(events, len(positions)))):
        so_far = so_far.plus(Counter(events[done : position + 1]))
        done = position + 1
        # On its coarser grid a figure may come out above a later total, which bounds it, too.
        found[position] = total if done == len(events) else min(total, so_far.epsilon(delta))
    return found


def projected(
    events: Iterable[PrivacyEvent], event: PrivacyEvent, *, further: int, budget: Budget
) -> tuple[tuple[int, float], ...]:
    """Return what all would cost after some of `further` more releases of `event`: pairs of how many, and epsilon.

    Args:
        events: Of the releases made.
        event: Of those to come.
        further: So many, which the ledger would admit: they cost the budget's epsilon at most.
        budget: The ledger's.
    """
    made = QuickTotal.of(Counter(events))
    figures = PROJECTED_COMPOSITIONS if made.plus({event: 1}).takes_long else PROJECTED

    def cost(more: int) -> float:
        return min(budget.epsilon, made.plus({event: more}).epsilon(budget.delta))

    return tuple((position + 1, cost(position + 1)) for position in evenly_spaced(further, figures))


def epsilons_at(events: Iterable[PrivacyEvent], deltas: Sequence[float]) -> dict[float, float]:
    """Return what all releases cost at each delta.

    Args:
        events: Of the releases.
        deltas: Strictly between 0 and 1.

    Returns:
        Epsilon by delta.
    """
    total = QuickTotal.of(Counter(events))
    return {at: total.epsilon(at) for at in deltas}


def _figures(events: Sequence[PrivacyEvent], most: int) -> int:
    """Return of how many releases a curve is computed, `most` where that is quick."""
    counts = Counter(events)
    if not QuickTotal.of(counts).takes_long:
        return most
    return max(LEAST_COMPOSITIONS, COMPOSITIONS // len(single_release_counts(counts)))
