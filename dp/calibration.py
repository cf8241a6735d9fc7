"""The least noise for a target (epsilon, delta), by bisection over the accountant itself.

What is returned was accounted, not extrapolated: the same call to `dp.accounting.guarantee` that the ledger makes
found it within the target.
"""

from collections.abc import Callable
from typing import Final

from dp.accounting import guarantee
from dp.checks import integer_at_least, positive_real, probability
from dp.distributed import MAXIMUM_LOCAL_SIGMA, MINIMUM_LOCAL_SIGMA, DistributedDiscreteGaussian
from dp.errors import InfeasibleTarget
from dp.events import GaussianEvent, NeighbouringRelation

RELATIVE_TOLERANCE: Final = 1e-4
MINIMUM_NOISE_MULTIPLIER: Final = 1e-3
MAXIMUM_NOISE_MULTIPLIER: Final = 1e12


def calibrate_distributed(
    *,
    epsilon: float,
    delta: float,
    releases: int,
    l2_sensitivity: float,
    dimension: int,
    minimum_contributors: int,
) -> DistributedDiscreteGaussian:
    """Return the distributed discrete Gaussian with the least noise that stays within a budget.

    Args:
        epsilon: the budget for all releases together, above 0.
        delta: strictly between 0 and 1.
        releases: how many sums will be released, at least 1.
        l2_sensitivity: the most, in L2 and lattice units, that one client's vector can be away from zero.
        dimension: number of coordinates.
        minimum_contributors: the least number of clients whose shares are in every released sum.

    Formal guarantees:
        `releases` sums, each with `minimum_contributors` shares or more, are (`epsilon`, `delta`)-differentially
        private together, under relation zero-out, for one client. `local_sigma` is within 1e-4 of the least that the
        accountant accepts, on the safe side, and never below 2.

    Raises:
        InfeasibleTarget: the noise needed is above 2**40 lattice units a client.
        InvalidParameter: an argument is out of range.
    """

    def mechanism(local_sigma: float) -> DistributedDiscreteGaussian:
        return DistributedDiscreteGaussian(
            local_sigma=local_sigma,
            minimum_contributors=minimum_contributors,
            l2_sensitivity=l2_sensitivity,
            dimension=dimension,
        )

    def spent(local_sigma: float) -> float:
        return guarantee({mechanism(local_sigma).event: releases}, delta=delta).epsilon

    _check_target(epsilon, delta, releases)
    local_sigma = _least(spent, epsilon, MINIMUM_LOCAL_SIGMA, MAXIMUM_LOCAL_SIGMA)
    if local_sigma is None:
        raise InfeasibleTarget(
            f"epsilon {epsilon} at delta {delta} over {releases} releases needs a local sigma above "
            f"{MAXIMUM_LOCAL_SIGMA:.6g} lattice units at an L2 sensitivity of {l2_sensitivity} with "
            f"{minimum_contributors} contributors (which reaches epsilon {spent(MAXIMUM_LOCAL_SIGMA):.4g}); a coarser "
            "lattice (smaller L2 sensitivity), fewer releases, more contributors or a larger epsilon would do"
        )
    return mechanism(local_sigma)


def calibrate_gaussian(
    *,
    epsilon: float,
    delta: float,
    releases: int,
    relation: NeighbouringRelation = NeighbouringRelation.ZERO_OUT,
) -> float:
    """Return the least noise multiplier of the continuous Gaussian that stays within a budget.

    Args:
        epsilon: the budget for all releases together, above 0.
        delta: strictly between 0 and 1.
        releases: how many queries will be released, at least 1.
        relation: the neighbouring relation that the sensitivity is measured under.

    Formal guarantees:
        `releases` queries, each with Gaussian noise of this many times its L2 sensitivity under `relation`, are
        (`epsilon`, `delta`)-differentially private together for one client. Within 1e-4 of the least that the
        accountant accepts, on the safe side, and never below 0.001.

    Raises:
        InfeasibleTarget: the noise multiplier needed is above 1e12.
        InvalidParameter: an argument is out of range.
    """

    def spent(noise_multiplier: float) -> float:
        event = GaussianEvent(noise_multiplier=noise_multiplier, relation=relation)
        return guarantee({event: releases}, delta=delta, relation=relation).epsilon

    _check_target(epsilon, delta, releases)
    noise_multiplier = _least(spent, epsilon, MINIMUM_NOISE_MULTIPLIER, MAXIMUM_NOISE_MULTIPLIER)
    if noise_multiplier is None:
        raise InfeasibleTarget(
            f"epsilon {epsilon} at delta {delta} over {releases} releases needs a noise multiplier above "
            f"{MAXIMUM_NOISE_MULTIPLIER:.6g}; fewer releases or a larger epsilon would do"
        )
    return noise_multiplier


def _check_target(epsilon: float, delta: float, releases: int) -> None:
    positive_real("epsilon", epsilon)
    probability("delta", delta)
    integer_at_least("releases", releases, 1)


def _least(spent: Callable[[float], float], epsilon: float, low: float, high: float) -> float | None:
    """Return the least argument in `[low, high]` whose `spent` is within `epsilon`, or None; `spent` must fall."""
    if spent(low) <= epsilon:
        return low
    reached = low
    while spent(reached) > epsilon:
        if reached == high:
            return None
        low, reached = reached, min(4 * reached, high)
    while reached > low * (1 + RELATIVE_TOLERANCE):
        middle = (low * reached) ** 0.5
        if spent(middle) <= epsilon:
            reached = middle
        else:
            low = middle
    return reached
