"""How the epsilon of a ledger grew, what is left of it, and what it is at other deltas: curves for a report.

Every figure is the lesser of what the accountants of `dp.accounting` give, as the total that is enforced is; where
Gaussian noise is sampled, quickly (`dp.ledger.remaining`) and of fewer releases. What is not computed is left out.
Epsilon never falls as releases are added, so that the total bounds what was spent before its last release.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from dp.accounting.guarantee import composed_divergences, renyi_epsilon, single_release_counts
from dp.accounting.privacy_loss import loss_epsilons, unsupported_reason
from dp.accounting.renyi import ORDERS, renyi_divergences
from dp.events import PrivacyEvent
from dp.ledger.records import Budget
from dp.ledger.remaining import POINTS, is_sampled_gaussian, quick_epsilon
from dp.reporting.spacing import evenly_spaced

PROJECTED: Final = 40

# What curves take in compositions of one kind of sampled Gaussian noise.
COMPOSITIONS: Final = 40
PROJECTED_COMPOSITIONS: Final = 10
LEAST_COMPOSITIONS: Final = 5


def epsilons_after(events: Sequence[PrivacyEvent], *, delta: float, total: float) -> dict[int, float]:
    """Return what all releases up to and with each accounted one cost.

    Args:
        events: of the releases, in order.
        delta: strictly between 0 and 1.
        total: epsilon of all of them, by the accountants of the ledger.

    Returns:
        Epsilon by position, where it was computed: at the positions of `accounted`, or, with sampled Gaussian noise, at
        up to 40 of them. The last one is `total`.
    """
    found: dict[int, float] = {}
    releases: Counter[PrivacyEvent] = Counter()
    divergences, done = np.zeros(len(ORDERS)), 0
    positions = evenly_spaced(len(events))
    for position in (positions[index] for index in evenly_spaced(len(positions), _figures(events, len(positions)))):
        further = single_release_counts(Counter(events[done : position + 1]))
        divergences += composed_divergences(further)
        releases += further
        done = position + 1
        # On its coarser grid a figure may come out above a later total, which bounds it, too.
        found[position] = total if done == len(events) else min(total, quick_epsilon(releases, divergences, delta))
    return found


def projected(
    events: Iterable[PrivacyEvent], event: PrivacyEvent, *, further: int, budget: Budget
) -> tuple[tuple[int, float], ...]:
    """Return what all would cost after some of `further` more releases of `event`: pairs of how many, and epsilon.

    Args:
        events: of the releases made.
        event: of those to come.
        further: so many, which the ledger would admit: they cost the budget's epsilon at most.
        budget: the ledger's.
    """
    made = single_release_counts(Counter(events))
    spent, one = composed_divergences(made), renyi_divergences(event)
    figures = PROJECTED_COMPOSITIONS if any(map(is_sampled_gaussian, (*made, event))) else PROJECTED
    return tuple(
        (
            position + 1,
            min(
                budget.epsilon,
                quick_epsilon(
                    made + single_release_counts({event: position + 1}), spent + (position + 1) * one, budget.delta
                ),
            ),
        )
        for position in evenly_spaced(further, figures)
    )


def epsilons_at(events: Iterable[PrivacyEvent], deltas: Sequence[float]) -> dict[float, float]:
    """Return what all releases cost at each delta.

    Args:
        events: of the releases.
        deltas: strictly between 0 and 1.

    Returns:
        Epsilon by delta.
    """
    releases = single_release_counts(Counter(events))
    divergences = composed_divergences(releases)
    renyi = {at: renyi_epsilon(divergences, at)[0] for at in deltas}
    if unsupported_reason(releases):
        return renyi
    losses = loss_epsilons(releases, deltas=deltas, points=POINTS)
    return {at: min(loss, renyi[at]) for at, loss in zip(deltas, losses, strict=True)}


def _figures(events: Sequence[PrivacyEvent], most: int) -> int:
    """Return of how many releases a curve is computed, `most` where that is quick."""
    kinds = set(single_release_counts(Counter(events)))
    if not any(map(is_sampled_gaussian, kinds)):
        return most
    return max(LEAST_COMPOSITIONS, COMPOSITIONS // len(kinds))
