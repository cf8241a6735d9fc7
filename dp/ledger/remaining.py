"""How many more releases a budget has room for, and quick figures of what releases cost.

Every figure is the lesser of what the accountants of `dp.accounting` give. Where Gaussian noise is sampled, privacy
loss distributions are on a coarser grid here: an upper bound by some ten-thousandths more, in hundredths of a second.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.accounting.guarantee import composed_divergences, is_within, renyi_epsilon, single_release_counts
from dp.accounting.privacy_loss import loss_epsilon, unsupported_reason
from dp.accounting.renyi import renyi_divergences
from dp.events import GaussianEvent, PrivacyEvent, decompose
from dp.ledger.records import Budget

MAXIMUM_REMAINING: Final = 1 << 40
POINTS: Final = 10_000
"""Of a release's distribution of losses."""
SECANTS: Final = 6


def remaining(events: Mapping[PrivacyEvent, int], event: PrivacyEvent, *, budget: Budget) -> int:
    """Return how many further releases of `event` the ledger would admit, at most 2**40.

    Renyi divergences tell where to begin, losses on a coarser grid where to go on; whether so many fit is asked as the
    ledger does before each of them.

    Args:
        events: how often each was released.
        event: of the releases to come.
        budget: the ledger's.

    Raises:
        IncompatibleEvent: an event has not the budget's relation and unit.
        InvalidParameter: an event is not one.
    """

    def admitted(count: int) -> bool:
        return is_within(
            {**events, event: events.get(event, 0) + count},
            epsilon=budget.epsilon,
            delta=budget.delta,
            relation=budget.relation,
            unit=budget.unit,
        )

    admitted(0)  # checks the events
    made = single_release_counts(events)
    spent, one = composed_divergences(made), renyi_divergences(event)

    def by_losses(count: int) -> float:
        return quick_epsilon(made + single_release_counts({event: count}), spent + count * one, budget.delta)

    found = _most(lambda count: renyi_epsilon(spent + count * one, budget.delta)[0] <= budget.epsilon, 0)
    if any(map(is_sampled_gaussian, (*made, event))):
        found = _crossing(by_losses, budget.epsilon, found)
    return _most(admitted, found)


def quick_epsilon(releases: Mapping[PrivacyEvent, int], divergences: NDArray[np.float64], delta: float) -> float:
    """Return the lesser of what the accountants give for single releases and their composed divergences.

    Args:
        releases: how often each took place, none of them repeated.
        divergences: of all of them, at the orders of `dp.accounting.renyi.ORDERS`; shape `(len(ORDERS),)`, float64.
        delta: strictly between 0 and 1.
    """
    renyi, _ = renyi_epsilon(divergences, delta)
    if unsupported_reason(releases):
        return renyi
    return min(renyi, loss_epsilon(releases, delta=delta, points=POINTS).epsilon)


def is_sampled_gaussian(event: PrivacyEvent) -> bool:
    """Return whether an event is of Gaussian noise with sampling, whose losses take time."""
    _, rate, noisy = decompose(event)
    return rate < 1 and isinstance(noisy, GaussianEvent)


def _most(fits: Callable[[int], bool], guess: int) -> int:
    """Return the greatest count that fits, 0 to 2**40, near a guess; where one does not fit, no greater one does."""
    low, high, step = guess, guess + 1, 1
    while low and not fits(low):
        low, high, step = max(0, low - step), low, 2 * step
    if low == guess:
        while high <= MAXIMUM_REMAINING and fits(high):
            low, step = high, 2 * step
            high = min(low + step, MAXIMUM_REMAINING + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _crossing(cost: Callable[[int], float], limit: float, known: int) -> int:
    """Return about the greatest count of at most this cost, by some secants from a count of no more than that."""
    before, at = known, known + 1
    for _ in range(SECANTS):
        less, more = cost(before), cost(at)
        if at == before or not less < more < math.inf:
            break
        ahead = (limit - more) / (more - less) * (at - before)
        before, at = at, at + max(-at, math.floor(min(ahead, MAXIMUM_REMAINING - at)))
    return at
