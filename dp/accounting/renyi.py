r"""Renyi divergences of single releases: for every event, an upper bound at every order of one grid.

Gaussian noise: RDP(a) = a / (2 z^2) for noise multiplier z, exactly (Mironov, arXiv 1702.07476v3, Corollary 3).

Sums of discrete Gaussians: Kairouz, Liu, Steinke, "The Distributed Discrete Gaussian Mechanism for Federated Learning
with Secure Aggregation", arXiv 2102.06387v4, Proposition 14. With n independent noises N_Z(0, sigma^2), sigma >= 1/2,
in each of d coordinates, and a change of the sum by at most D1 in L1 and D2 in L2, for every order a >= 1

    tau = 10 sum_{k=1}^{n-1} exp(-2 pi^2 sigma^2 k / (k + 1)),     s = sqrt(n) sigma,
    RDP(a) <= min { a/2 (D2/s)^2 + tau d,
                    a/2 ((D2/s)^2 + 2 tau D1/s + tau^2 d),
                    a/2 (D2/s + tau sqrt(d))^2 }.

Here tau bounds the distance between the sum of the noises and one discrete Gaussian of the same variance.

Skellam noise of variance m in each coordinate: Agarwal, Kairouz, Liu, "The Skellam Mechanism for Differentially Private
Federated Learning", arXiv 2110.04995v2, Corollary 3.6, for every integer a >= 2

    RDP(a) <= a D2^2 / (2 m) + min { ((2 a - 1) D2^2 + 6 D1) / (4 m^2),  3 D1 / (2 m) }.

An integer vector has D1 <= min(sqrt(d) D2, D2^2), and this bound is used for D1 in both formulas.

Poisson sampling: `dp.accounting.amplification` at integer orders, from the divergences of the release over the units
that take part. It requires them in both directions. All three noises have symmetric laws, and so have sums of symmetric
noises: x -> v - x exchanges the noise and the noise moved by v. So the two directions are equal, and each bound above
holds for both. The expansion grows with every divergence, so upper bounds, such as those with tau, give upper bounds.
Sampling never increases a divergence. Above the highest order that is computed, the divergence without sampling is the
bound.

Between integers, a -> (a - 1) D_a is convex (it is the logarithm of E[r^(a-1)], which is convex by Hoelder's
inequality; van Erven, Harremoes, arXiv 1206.2459), and 0 at a = 1, so its chords bound it from above.
"""

import functools
import math
from typing import Final, assert_never

import numpy as np
from numpy.typing import NDArray

from dp.accounting.amplification import MAXIMUM_ORDER, KnownDivergences, SubsamplingBound, subsampled_divergences
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    LatticeEvent,
    NoisyEvent,
    PoissonSampledEvent,
    PrivacyEvent,
    RepeatedEvent,
    SkellamEvent,
    decompose,
)

EXACT_TAU_TERMS: Final = 10_000
INTEGERS_FROM: Final = 64.0


def _orders() -> tuple[float, ...]:
    orders = 1 + np.geomspace(0.02, 1e6, 896)
    orders = np.where(orders < INTEGERS_FROM, orders, np.round(orders))
    return tuple(np.union1d(orders, np.arange(2.0, INTEGERS_FROM)).tolist())


# Orders from 1.02 to a million, each 2% further from 1 than the one before. If the best order is between two of them,
# the loss is less than a ten-thousandth of epsilon. Chords end at integers, so integers are corners and often best
# orders: all integers below 64 are in the grid, and from 64 on all orders are integers.
ORDERS: Final = _orders()
_ORDERS: Final = np.array(ORDERS)

# The orders for which sampling is computed, and the integers at the ends of their chords. The integer 1 is left out,
# because the chords are 0 there. High orders help only for a small epsilon, and each needs more work than the one
# before: from 4096 on, only every eighth order is an end.
_AMPLIFIED: Final = int(np.searchsorted(_ORDERS, MAXIMUM_ORDER, side="right"))
_DENSE: Final = int(np.searchsorted(_ORDERS, 4096.0, side="right"))
_INTEGERS: Final = np.unique(
    np.concatenate(
        [
            np.floor(_ORDERS[:_DENSE]),
            np.ceil(_ORDERS[:_DENSE]),
            _ORDERS[_DENSE:_AMPLIFIED:8],
            _ORDERS[_AMPLIFIED - 1 : _AMPLIFIED],
        ]
    )
)[1:]

HIGHEST_AMPLIFIED_ORDER: Final = ORDERS[_AMPLIFIED - 1]
"""Above this order of the grid a sampled release has the bound that it has without sampling."""


@functools.lru_cache(maxsize=256)
def renyi_divergences(event: PrivacyEvent) -> NDArray[np.float64]:
    """Return a bound on the Renyi divergences of one event, at the orders of `ORDERS`.

    Formal guarantees:
        If the release is what its event says (noise, sensitivity under the event's relation for one of its units),
        entry k bounds D_a(with || without) and D_a(without || with) for a = `ORDERS[k]`. Under zero-out, the same holds
        for a unit's contribution against zero.

    Returns:
        Shape `(len(ORDERS),)`, float64, above 0, read-only.
    """
    match event:
        case RepeatedEvent():
            divergences = event.times * renyi_divergences(event.event)
        case PoissonSampledEvent():
            divergences = _sampled(event)
        case _:
            divergences = unsampled_divergences(event, _ORDERS)
    divergences.flags.writeable = False
    return divergences


def subsampling_bound(event: PrivacyEvent) -> SubsamplingBound | None:
    """Return the bound on subsampled divergences that `renyi_divergences` uses for an event, None without sampling."""
    _, rate, _ = decompose(event)
    if rate < 1:
        return SubsamplingBound.BINOMIAL_EXPANSION
    return None


@functools.lru_cache(maxsize=1024)
def inflation(local_sigma: float, contributors: int) -> float:
    """Return tau, a bound on the distance between the sum of `contributors` noises and one discrete Gaussian.

    At most the first ten thousand terms are summed. Each later term is bounded by the one that follows them.
    """
    exact = min(contributors - 1, EXACT_TAU_TERMS)
    k = np.arange(1.0, exact + 1.0)
    total = float(np.exp(-2 * (math.pi * local_sigma) ** 2 * k / (k + 1)).sum())
    rest = contributors - 1 - exact
    if rest:
        total += rest * math.exp(-2 * (math.pi * local_sigma) ** 2 * (exact + 1) / (exact + 2))
    return 10 * total


def _sampled(event: PoissonSampledEvent) -> NDArray[np.float64]:
    divergences = unsampled_divergences(event.event, _ORDERS)
    if event.sampling_rate == 1:
        return divergences
    sampled = subsampled_divergences(
        unsampled_divergences(event.event, np.arange(2.0, _INTEGERS[-1] + 1)),
        sampling_rate=event.sampling_rate,
        known=KnownDivergences.BOTH_DIRECTIONS,
        orders=_INTEGERS.astype(np.int64),
    )
    # A chord between any two integers bounds (a - 1) D_a, which is 0 at 1, from above.
    orders = _ORDERS[:_AMPLIFIED]
    ends, heights = np.append(1.0, _INTEGERS), np.append(0.0, (_INTEGERS - 1) * sampled.divergences)
    chords = np.interp(orders, ends, heights) * (1 + 2.0**-50) / (orders - 1)
    divergences[:_AMPLIFIED] = np.minimum(divergences[:_AMPLIFIED], chords)
    return divergences


def unsampled_divergences(event: NoisyEvent, orders: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a bound on the Renyi divergences of one release without sampling, as `renyi_divergences`, at any orders.

    Args:
        event: The release.
        orders: Above 1; shape `(orders,)`, float64.
    """
    match event:
        case GaussianEvent():
            return np.divide(orders, 2 * event.noise_multiplier**2)
        case DistributedDiscreteGaussianEvent():
            return _distributed_discrete_gaussian(event, orders)
        case SkellamEvent():
            lower, upper = (_skellam(event, whole(orders)) for whole in (np.floor, np.ceil))
            return _chords(orders, lower, upper)
        case _:
            assert_never(event)


def _distributed_discrete_gaussian(
    event: DistributedDiscreteGaussianEvent, orders: NDArray[np.float64]
) -> NDArray[np.float64]:
    tau = inflation(event.local_sigma, event.contributors)
    central_sigma = event.local_sigma * math.sqrt(event.contributors)
    l2 = event.l2_sensitivity / central_sigma
    l1 = _l1_sensitivity(event) / central_sigma
    shifted = orders / 2 * l2**2 + tau * event.dimension
    expanded = orders / 2 * (l2**2 + 2 * tau * l1 + tau**2 * event.dimension)
    triangle = orders / 2 * (l2 + tau * math.sqrt(event.dimension)) ** 2
    return np.minimum(shifted, np.minimum(expanded, triangle))


def _skellam(event: SkellamEvent, integers: NDArray[np.float64]) -> NDArray[np.float64]:
    l1, squared_l2, variance = _l1_sensitivity(event), event.l2_sensitivity**2, event.variance
    # The division is made twice, because the square of the variance may be as small as 1e-60.
    quadratic = ((2 * integers - 1) * squared_l2 + 6 * l1) / (4 * variance) / variance
    excess: NDArray[np.float64] = np.minimum(quadratic, 3 * l1 / (2 * variance))
    return integers * squared_l2 / (2 * variance) + excess


def _l1_sensitivity(event: LatticeEvent) -> float:
    return min(math.sqrt(event.dimension) * event.l2_sensitivity, event.l2_sensitivity**2)


def _chords(orders: NDArray[np.float64], lower: NDArray[np.float64], upper: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return bounds on D at `orders` by chords of (a-1) D_a, from D at the next integers below and above.

    The value of D at 1 does not matter.
    """
    below = np.floor(orders)
    part = orders - below
    return np.where(part == 0, lower, ((1 - part) * (below - 1) * lower + part * below * upper) / (orders - 1))
