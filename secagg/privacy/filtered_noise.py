"""The noise with which a Renyi filter admits all planned releases: more than fixed events need for the same budget.

A Gaussian filter needs no more noise than fixed events. A Renyi filter of one order does, by about a tenth: it uses no
other order, and no loss distributions (`dp.accounting.renyi_order`).
"""

import math
from typing import Final

from dp.accounting.guarantee import guarantee
from dp.accounting.renyi_order import best_order, divergence_at, renyi_budget
from dp.errors import InfeasibleTarget
from dp.events import GaussianEvent, PrivacyEvent, with_noise

_STEPS: Final = 40
_ORDERS: Final = 3
_MARGIN: Final = 1 + 1e-6  # Charges are rounded up, and the order is the best one to six digits.
_MOST: Final = 64.0


def filtered_multiplier(event: PrivacyEvent, *, releases: int, epsilon: float, delta: float) -> float:
    """Return the noise multiplier with which a Renyi filter admits a number of releases.

    Args:
        event: Each release, with about the noise that fixed events need.
        releases: The number of releases that ask one client, at least 1.
        epsilon: The budget of the filter.
        delta: The delta of the budget.

    Formal guarantees:
        The result is a noise multiplier of Gaussian noise. Releases with as much noise, or with noise that this
        Gaussian noise dominates, are admitted by a filter of the order that is best for them.

    Raises:
        dp.errors.InvalidParameter: No order reaches the budget.
        InfeasibleTarget: Even 64 times the noise is not enough.
    """
    order, multiplier = best_order(epsilon=epsilon, delta=delta), 0.0
    for _ in range(_ORDERS):  # The best order depends on the noise, which depends on the order: both settle at once.
        multiplier = _least(event, order, releases, renyi_budget(order, epsilon=epsilon, delta=delta))
        order = best_order(epsilon=epsilon, delta=delta, events={_gaussian(event, multiplier): releases})
    multiplier = _least(event, order, releases, renyi_budget(order, epsilon=epsilon, delta=delta))
    return multiplier * _MARGIN


def filtered_epsilon(event: PrivacyEvent, *, releases: int, epsilon: float, delta: float) -> float:
    """Return the epsilon to which noise is calibrated so that a Renyi filter admits all planned releases.

    Args:
        event: As for `filtered_multiplier`, like the following three.
        releases: As above.
        epsilon: As above.
        delta: As above.

    Raises:
        dp.errors.InvalidParameter: As above.
        InfeasibleTarget: As above.
    """
    multiplier = filtered_multiplier(event, releases=releases, epsilon=epsilon, delta=delta)
    needed = _gaussian(event, multiplier)
    return guarantee({needed: releases}, delta=delta, relation=needed.relation, unit=needed.unit).epsilon


def _gaussian(event: PrivacyEvent, multiplier: float) -> PrivacyEvent:
    noise = GaussianEvent(noise_multiplier=multiplier, relation=event.relation, unit=event.unit)
    return with_noise(event, noise)


def _least(event: PrivacyEvent, order: float, releases: int, budget: float) -> float:
    """Return the least noise multiplier whose divergences of one order stay within a budget, rounded up."""

    def fits(multiplier: float) -> bool:
        return releases * divergence_at(_gaussian(event, multiplier), order) <= budget

    low = high = event.noise_multiplier
    while not fits(high):
        low, high = high, 2 * high
        if high > _MOST * event.noise_multiplier:
            raise InfeasibleTarget(
                f"renyi-filter: expected noise of at most {_MOST:g} times that of fixed events, found that it is not "
                "enough. Use accounting = gaussian-filter or fixed, or a larger epsilon, which weakens the guarantee."
            )
    if low == high:
        while fits(low):
            low, high = low / 2, low
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
