r"""Renyi DP at one order that is fixed beforehand: the budget B(a), and a bound on the divergence D_a of each event.

If the divergences of order a of all releases, in both directions, add up to at most

    B(a) = epsilon - log((a - 1)/a) + (log delta + log a)/(a - 1),

the releases are together (epsilon, delta)-differentially private (arXiv 2004.00010v4, Proposition 12), also if they are
chosen adaptively (`docs/participation.md`, Theorem C). The order may not be chosen afterwards.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from dp.accounting.amplification import MAXIMUM_ORDER, KnownDivergences, subsampled_divergences
from dp.accounting.lattice import dominating_gaussian
from dp.accounting.renyi import unsampled_divergences
from dp.accounting.sampled_gaussian import sampled_gaussian_divergence
from dp.checks import magnitude, positive_real, probability
from dp.errors import InvalidParameter
from dp.events import NoisyEvent, PrivacyEvent, decompose

LOWEST_ORDER: Final = 1.01
HIGHEST_ORDER: Final = 1e6
_UP: Final = 1 + 2.0**-40
_ROUNDING: Final = 2.0**-48
_DIGITS: Final = 6
_GOLDEN: Final = (math.sqrt(5) - 1) / 2
_LEAST_ABOVE_ONE: Final = 0.02
_MOST_ABOVE_ONE: Final = 1e5
_GRID: Final = 64
_TOLERANCE: Final = 1e-6


def checked_order(order: object) -> float:
    """Return a Renyi order as a float.

    Raises:
        InvalidParameter: It is not a number from 1.01 to 1e6.
    """
    number = positive_real("order", order)
    if not LOWEST_ORDER <= number <= HIGHEST_ORDER:
        raise InvalidParameter(
            f"order: expected a number from {LOWEST_ORDER} to {HIGHEST_ORDER:.0f}, found {number:g}. Use `best_order`."
        )
    return number


def renyi_budget(order: float, *, epsilon: float, delta: float) -> float:
    """Return B(a), rounded down.

    Args:
        order: The Renyi order a.
        epsilon: 1e-30 to 1e30.
        delta: Strictly between 0 and 1.

    Returns:
        The budget; at most 0 if this order reaches it with no release.

    Raises:
        InvalidParameter: An argument is out of range.
    """
    order, epsilon, delta = checked_order(order), magnitude("epsilon", epsilon), probability("delta", delta)
    terms = (epsilon, -math.log1p(-1 / order), (math.log(delta) + math.log(order)) / (order - 1))
    size = epsilon + abs(terms[1]) + (abs(math.log(delta)) + math.log(order)) / (order - 1)
    return math.fsum(terms) - _ROUNDING * size


@functools.lru_cache(maxsize=4096)
def divergence_at(event: PrivacyEvent, order: float) -> float:
    """Return a bound on the Renyi divergence of one event at one order, the least of those that are proven.

    Args:
        event: A release, or a repeated one.
        order: 1.01 to 1e6; any real number.

    Formal guarantees:
        If the release is what its event says (noise, sensitivity under the event's relation for one of its units), the
        result bounds D_a(with || without) and D_a(without || with). Under zero-out, the same holds for a unit's
        contribution against zero.

    Returns:
        Above 0, possibly infinite, rounded up.
    """
    times, rate, noisy = decompose(event)
    gaussian = dominating_gaussian(noisy)
    known = [noisy] if gaussian is None or gaussian == noisy else [noisy, gaussian]
    if rate == 1:
        return times * _least(known, order) * _UP
    bounds = [_least(known, order), _chord(known, order, rate)]
    if gaussian is not None:
        bounds.append(sampled_gaussian_divergence(rate, gaussian.noise_multiplier, order))
    return times * min(bounds) * _UP


def best_order(*, epsilon: float, delta: float, events: Mapping[PrivacyEvent, int] | None = None) -> float:
    """Return the order for a Renyi filter, to six digits.

    Args:
        epsilon: The budget, 1e-30 to 1e30.
        delta: Strictly between 0 and 1.
        events: How often each event is planned; None: no plan, but unsampled Gaussian noise that uses the budget up.

    Returns:
        The order at which the planned events have the least epsilon; without a plan, the one at which B(a) / a is
        greatest.

    Raises:
        InvalidParameter: An argument is out of range, or no order reaches the budget. With a plan, the best order for
            it does not.
    """
    epsilon, delta = magnitude("epsilon", epsilon), probability("delta", delta)
    planned = {} if events is None else dict(events)

    def cost(position: float) -> float:
        order = 1 + math.exp(position)
        budget = renyi_budget(order, epsilon=epsilon, delta=delta)
        if not planned:
            return -budget / order
        return math.fsum(times * divergence_at(event, order) for event, times in planned.items()) - budget

    position = _minimum(cost, math.log(_LEAST_ABOVE_ONE), math.log(_MOST_ABOVE_ONE))
    order = float(f"{1 + math.exp(position):.{_DIGITS}g}")
    if renyi_budget(order, epsilon=epsilon, delta=delta) <= 0:
        if planned:
            raise InvalidParameter(
                f"events: expected planned releases that fit epsilon {epsilon:g} at delta {delta:g}, found that they "
                "do not at the best order for them. Plan more noise or fewer releases."
            )
        raise InvalidParameter(
            f"epsilon: expected a budget that some Renyi order reaches at delta {delta:g}, found {epsilon:g}. Use "
            "another way of accounting, or a larger epsilon, which weakens the guarantee."
        )
    return order


def _minimum(cost: Callable[[float], float], low: float, high: float) -> float:
    """Return about where a function is least: the best of a grid, and a golden section beside it."""
    grid = np.linspace(low, high, _GRID).tolist()
    costs = [cost(position) for position in grid]
    best = int(np.argmin(costs))
    low, high = grid[max(0, best - 1)], grid[min(_GRID - 1, best + 1)]
    while high - low > _TOLERANCE:
        one, other = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, other) if cost(one) <= cost(other) else (one, high)
    return (low + high) / 2


def _least(noises: list[NoisyEvent], order: float) -> float:
    return min(float(unsampled_divergences(noise, np.array([order]))[0]) for noise in noises)


def _chord(noises: list[NoisyEvent], order: float, rate: float) -> float:
    """Return the bound under Poisson sampling by a chord of (a - 1) D_a between the integers beside an order."""
    ends = (math.floor(order), math.ceil(order))
    if ends[1] > MAXIMUM_ORDER:
        return math.inf
    lower, upper = (0.0 if end == 1 else (end - 1) * _amplified(noises, end, rate) for end in ends)
    part = order - ends[0]
    return ((1 - part) * lower + part * upper) / (order - 1)


def _amplified(noises: list[NoisyEvent], order: int, rate: float) -> float:
    orders = np.arange(2.0, order + 1)
    known = np.min([unsampled_divergences(noise, orders) for noise in noises], axis=0)
    found = subsampled_divergences(
        known, sampling_rate=rate, known=KnownDivergences.BOTH_DIRECTIONS, orders=np.array([order], dtype=np.int64)
    )
    return float(found.divergences[0])
