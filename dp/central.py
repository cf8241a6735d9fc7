"""Rounds with Poisson sampling and central continuous Gaussian noise: tight accounting, cross-checked, and calibration.

Every round each unit takes part with the same probability, independently (Poisson sampling), and Gaussian noise is
added to the sum of the contributions of those who do. Both accountants are dp-accounting's:

- privacy loss distributions, discretised pessimistically by connecting the dots (Doroshenko, Ghazi, Kamath, Kumar,
  Manurangsi, arXiv 2207.04380v1), composed by FFT;
- Renyi DP of the sampled Gaussian (Mironov, Talwar, Zhang, arXiv 1908.10530), converted by arXiv
  2004.00010v4, Proposition 12.

Both are upper bounds, so the lesser is the guarantee. That is nearly always the first; the second wins where a round
loses so little that the grid is coarse against it (noise above some hundreds over a million rounds).

Rounding is allowed for. Against the exact Gaussian, composing by FFT makes delta too small by less than 1e-13 up to
10,000 rounds and grows with them, so delta is entered less an allowance. Where the Renyi divergence of one round is
nearly 0 float64 finds it down to -1e-13, so each is entered plus 1e-12.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from dp.checks import integer_at_least, member, positive_real, probability
from dp.errors import InfeasibleTarget, InvalidParameter
from dp.events import NeighbouringRelation, PrivacyUnit

RELATION: Final = NeighbouringRelation.ADD_OR_REMOVE_ONE
DISCRETISATION: Final = 1e-4
MINIMUM_NOISE_MULTIPLIER: Final = 0.1
MAXIMUM_NOISE_MULTIPLIER: Final = 1e5
MAXIMUM_ROUNDS: Final = 1_000_000
MINIMUM_DELTA: Final = 1e-9
RELATIVE_TOLERANCE: Final = 1e-4

# Tenths up to 11, integers to 64, then powers of the fourth root of 2 up to 4096; a sum of as many terms for each.
ORDERS: Final = (
    *(tenths / 10 for tenths in range(11, 110)),
    *(float(order) for order in range(11, 65)),
    *(float(round(64 * 2 ** (quarter / 4))) for quarter in range(1, 25)),
)
SEARCH_ORDERS: Final = ORDERS[::10]
RENYI_ALLOWANCE: Final = 1e-12
DELTA_ALLOWANCE: Final = 1e-12
DELTA_ALLOWANCE_PER_ROUND: Final = 1e-17

# A round's distribution costs some 10 microseconds a point; the noise tails are cut where exp(-50) is left.
POINTS: Final = 300_000
CALIBRATION_POINTS: Final = 20_000
COMPOSED_POINTS: Final = 1_000_000
TAIL_DEVIATIONS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsampledGaussianGuarantee:
    """What rounds of the Poisson-sampled Gaussian satisfy together, by two accountants.

    Attributes:
        pld_epsilon: by privacy loss distributions, at least 0, possibly infinite.
        rdp_epsilon: by Renyi DP, at least 0.
        rdp_order: the Renyi order that gave `rdp_epsilon`.
        rdp_order_at_edge: whether that order is an end of the grid while `rdp_epsilon` is above 0, so that orders
            outside the grid could do better; the guarantee holds nonetheless.
        discretisation: grid of the privacy loss distribution; 1e-4, coarser where epsilon is beyond 100 or the noise
            multiplier below about 0.4, which would take gigabytes otherwise.
        delta: the delta that both were computed for.
        relation: the neighbouring relation, add-or-remove-one.
        unit: the privacy unit: what is sampled, and what the sensitivity is measured for.
    """

    pld_epsilon: float
    rdp_epsilon: float
    rdp_order: float
    rdp_order_at_edge: bool
    discretisation: float
    delta: float
    relation: NeighbouringRelation
    unit: PrivacyUnit

    @property
    def epsilon(self) -> float:
        """The lesser of the two upper bounds."""
        return min(self.pld_epsilon, self.rdp_epsilon)


def subsampled_gaussian_guarantee(
    *, sampling: float, noise_multiplier: float, rounds: int, delta: float, unit: PrivacyUnit = PrivacyUnit.CLIENT
) -> SubsampledGaussianGuarantee:
    """Return the guarantee of Poisson-sampled rounds with Gaussian noise, by two accountants.

    Args:
        sampling: probability of each unit to take part in a round, above 0 and at most 1.
        noise_multiplier: standard deviation of the noise in a round's sum, over the most in L2 that adding or
            removing one unit changes that sum; 0.1 to 1e5.
        rounds: 1 to 1 million.
        delta: 1e-9 to 1, the latter excluded.
        unit: the privacy unit.

    Formal guarantees:
        If units are sampled independently of each other, of all other rounds and in secret, and the sum of a round
        has sensitivity 1 in L2 for one `unit` in units of its noise over `noise_multiplier`, all rounds together,
        chosen adaptively, are (`epsilon`, `delta`)-differentially private under add-or-remove-one for one `unit`.
        The noise is taken for real-valued: what floating-point noise leaks is not covered.

    Raises:
        InvalidParameter: an argument is out of range.
    """
    probability_sampled, count, delta = _check(sampling, rounds, delta)
    noise = _noise(noise_multiplier)
    member("unit", unit, PrivacyUnit)
    rdp_epsilon, order = _renyi(probability_sampled, noise, count, delta, ORDERS)
    grid = _grid(noise, rdp_epsilon, POINTS)
    return SubsampledGaussianGuarantee(
        pld_epsilon=_loss_distribution(probability_sampled, noise, count, delta, grid),
        rdp_epsilon=rdp_epsilon,
        rdp_order=order,
        rdp_order_at_edge=rdp_epsilon > 0 and order in (ORDERS[0], ORDERS[-1]),
        discretisation=grid,
        delta=delta,
        relation=RELATION,
        unit=unit,
    )


def subsampled_gaussian_epsilon(*, sampling: float, noise_multiplier: float, rounds: int, delta: float) -> float:
    """Return the epsilon of `subsampled_gaussian_guarantee`, with its arguments, formal guarantees and errors.

    Raises:
        InvalidParameter: an argument is out of range.
    """
    return subsampled_gaussian_guarantee(
        sampling=sampling, noise_multiplier=noise_multiplier, rounds=rounds, delta=delta
    ).epsilon


def subsampled_gaussian_noise(*, epsilon: float, sampling: float, rounds: int, delta: float) -> float:
    """Return the least noise multiplier with which Poisson-sampled rounds stay within a budget.

    Args:
        epsilon: the budget for all rounds together, above 0.
        sampling: probability of each unit to take part in a round, above 0 and at most 1.
        rounds: 1 to 1 million.
        delta: 1e-9 to 1, the latter excluded.

    Formal guarantees:
        `rounds` rounds with this noise multiplier are (`epsilon`, `delta`)-differentially private as said at
        `subsampled_gaussian_guarantee`. Within 1e-4 of the least that the accountant accepts on its grid, on the
        safe side, and never below 0.1. For noise multipliers below 6 that grid is coarser than 1e-4, to be quick; it
        bounds epsilon from above all the same.

    Raises:
        InfeasibleTarget: the noise multiplier needed is above 1e5.
        InvalidParameter: an argument is out of range.
    """
    target = positive_real("epsilon", epsilon)
    probability_sampled, count, delta = _check(sampling, rounds, delta)

    def by_renyi(noise: float, orders: tuple[float, ...] = SEARCH_ORDERS) -> float:
        return _renyi(probability_sampled, noise, count, delta, orders)[0]

    def by_loss_distribution(noise: float) -> float:
        grid = _grid(noise, target, CALIBRATION_POINTS)
        return _loss_distribution(probability_sampled, noise, count, delta, grid)

    # Renyi DP is quick at any noise and bounds from above, so the answer is at most a little below what it needs.
    if by_renyi(MAXIMUM_NOISE_MULTIPLIER) > target:
        raise InfeasibleTarget(
            f"epsilon {target} at delta {delta} over {count} rounds needs a noise multiplier above "
            f"{MAXIMUM_NOISE_MULTIPLIER:g}; fewer rounds, less sampling or a larger epsilon would do"
        )
    by_renyi_low, high = _bracket(by_renyi, target, MINIMUM_NOISE_MULTIPLIER, MAXIMUM_NOISE_MULTIPLIER, 1.05)
    if by_loss_distribution(high) > target:
        low = max(by_renyi_low / 1.2, MINIMUM_NOISE_MULTIPLIER)  # all orders do a little better than those searched
        return _bracket(lambda noise: by_renyi(noise, ORDERS), target, low, high, 1 + RELATIVE_TOLERANCE)[1]
    low = max(high / 1.2, MINIMUM_NOISE_MULTIPLIER)
    while by_loss_distribution(low) <= target:
        if low == MINIMUM_NOISE_MULTIPLIER:
            return low
        low, high = max(low / 1.2, MINIMUM_NOISE_MULTIPLIER), low
    return _root(by_loss_distribution, target, low, high)


def _bracket(
    spent: Callable[[float], float], target: float, low: float, high: float, ratio: float
) -> tuple[float, float]:
    """Bisect `[low, high]`, whose upper end is within `target`, until its ends are at most `ratio` apart."""
    while high > low * ratio:
        middle = math.sqrt(low * high)
        if spent(middle) <= target:
            high = middle
        else:
            low = middle
    return low, high


def _root(spent: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Return a noise in `(low, high]` within `target`, 1e-4 above the least: Brent's method, then the safe side."""
    import scipy.optimize

    step = RELATIVE_TOLERANCE / 2
    noise = float(scipy.optimize.brentq(lambda one: spent(one) - target, low, high, xtol=low * step / 2))
    while spent(noise) > target:
        noise = min(noise * (1 + step), high)
    return noise


def _check(sampling: object, rounds: object, delta: object) -> tuple[float, int, float]:
    probability_sampled = positive_real("sampling", sampling)
    if probability_sampled > 1:
        raise InvalidParameter(f"sampling: expected a rate above 0 and at most 1, found {probability_sampled}")
    count = integer_at_least("rounds", rounds, 1, maximum=MAXIMUM_ROUNDS)
    checked_delta = probability("delta", delta)
    if checked_delta < MINIMUM_DELTA:
        raise InvalidParameter(
            f"delta: expected at least {MINIMUM_DELTA:g}, below which float64 cannot tell it from the rounding of the "
            f"composition, found {checked_delta}"
        )
    return probability_sampled, count, checked_delta


def _noise(noise_multiplier: object) -> float:
    noise = positive_real("noise_multiplier", noise_multiplier)
    if not MINIMUM_NOISE_MULTIPLIER <= noise <= MAXIMUM_NOISE_MULTIPLIER:
        raise InvalidParameter(
            f"noise_multiplier: expected a number from {MINIMUM_NOISE_MULTIPLIER:g} to {MAXIMUM_NOISE_MULTIPLIER:g}, "
            f"found {noise}"
        )
    return noise


def _grid(noise: float, rdp_epsilon: float, points: int) -> float:
    """Return the finest grid, 1e-4 or coarser, that holds a round's and the composed losses in bounded memory."""
    span = 1 / (2 * noise**2) + TAIL_DEVIATIONS / noise
    return max(DISCRETISATION, span / points, rdp_epsilon / COMPOSED_POINTS)


def _event(sampling: float, noise: float) -> Any:
    import dp_accounting

    gaussian = dp_accounting.GaussianDpEvent(noise)
    return gaussian if sampling == 1 else dp_accounting.PoissonSampledDpEvent(sampling, gaussian)


def _loss_distribution(sampling: float, noise: float, rounds: int, delta: float, grid: float) -> float:
    import dp_accounting.pld

    # Never REPLACE_ONE: from 0.6 on it doubles the sensitivity, before that it does not.
    accountant = dp_accounting.pld.PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, grid)
    accountant.compose(_event(sampling, noise), rounds)
    allowance = DELTA_ALLOWANCE + rounds * DELTA_ALLOWANCE_PER_ROUND
    try:
        return float(accountant.get_epsilon(delta - allowance))
    except OverflowError:  # beyond exp(700); infinity is an upper bound, and Renyi DP gives the figure
        return math.inf


def _renyi(sampling: float, noise: float, rounds: int, delta: float, orders: tuple[float, ...]) -> tuple[float, float]:
    import dp_accounting.rdp

    accountant = dp_accounting.rdp.RdpAccountant(orders, dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    accountant.compose(_event(sampling, noise))
    divergences = np.maximum(np.array(accountant.rdp, dtype=np.float64), 0) + RENYI_ALLOWANCE
    epsilon, order = dp_accounting.rdp.compute_epsilon(orders, (rounds * divergences).tolist(), delta)
    return float(epsilon), float(order)
