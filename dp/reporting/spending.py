"""How the epsilon of a ledger grew, what is left of it, and what it is at other deltas: curves for a report.

These are Renyi figures, which take a millisecond each; the total, which is enforced, may be tighter (`dp.accounting`).
Epsilon never falls as releases are added, so the total bounds what was spent before its last release, too.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.events import PrivacyEvent
from dp.renyi import ORDERS, renyi_divergences

MAXIMUM_ACCOUNTED: Final = 200
MAXIMUM_REMAINING: Final = 1 << 40
PROJECTED: Final = 40


def accounted(releases: int) -> tuple[int, ...]:
    """Return the positions, from 0, of the releases that curves have: all, or 200 evenly spread ones with the last."""
    if releases <= MAXIMUM_ACCOUNTED:
        return tuple(range(releases))
    return tuple((position + 1) * releases // MAXIMUM_ACCOUNTED - 1 for position in range(MAXIMUM_ACCOUNTED))


def epsilons_after(events: Sequence[PrivacyEvent], *, delta: float, total: float) -> dict[int, float]:
    """Return what all releases up to and with each accounted one cost.

    Args:
        events: of the releases, in order.
        delta: strictly between 0 and 1.
        total: epsilon of all of them, which no figure exceeds.

    Returns:
        Epsilon by position; the last one is `total`.
    """
    found, divergences, done = {}, np.zeros(len(ORDERS)), 0
    for position in accounted(len(events)):
        divergences += composed(events[done : position + 1])
        done = position + 1
        found[position] = total if done == len(events) else min(total, epsilon_of(divergences, delta))
    return found


def remaining(events: Iterable[PrivacyEvent], event: PrivacyEvent, *, epsilon: float, delta: float) -> int:
    """Return a number of further releases of `event` that fit into a budget for sure, at most 2**40."""
    spent, one = composed(events), renyi_divergences(event)

    def fits(count: int) -> bool:
        return epsilon_of(spent + count * one, delta) <= epsilon

    low, high = 0, 1
    while high <= MAXIMUM_REMAINING and fits(high):
        low, high = high, 2 * high
    while high - low > 1 and low < MAXIMUM_REMAINING:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def projected(
    events: Iterable[PrivacyEvent], event: PrivacyEvent, *, further: int, delta: float
) -> tuple[tuple[int, float], ...]:
    """Return what all would cost after some of `further` more releases of `event`: pairs of how many, and epsilon."""
    spent, one = composed(events), renyi_divergences(event)
    counts = sorted({further * step // PROJECTED for step in range(1, PROJECTED + 1)} - {0})
    return tuple((count, epsilon_of(spent + count * one, delta)) for count in counts)


def composed(events: Iterable[PrivacyEvent]) -> NDArray[np.float64]:
    """Return the divergences of all events together, at every order of the grid; shape `(len(ORDERS),)`, float64."""
    total = np.zeros(len(ORDERS))
    for event in events:
        total += renyi_divergences(event)
    return total


def epsilon_of(divergences: NDArray[np.float64], delta: float) -> float:
    """Return the epsilon of composed divergences, converted by arXiv 2004.00010v4, Proposition 12."""
    import dp_accounting.rdp

    return float(dp_accounting.rdp.compute_epsilon(ORDERS, divergences.tolist(), delta)[0])
