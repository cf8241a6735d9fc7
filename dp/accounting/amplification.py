"""Amplification by Poisson sampling: Renyi divergences of a release that each unit enters with probability q.

With P the law of the release without the unit and Q with it (for noise on Z^d, P shifted by what the unit adds), the
sampled release is M = (1 - q) P + q Q with the unit and P without. `docs/subsampling.md` states and proves, for every
integer order a >= 2,

    exp((a-1) D_a(M || P)) - 1  =  S(a),   S(a) = sum_{j=2}^a C(a,j) (1-q)^(a-j) q^j (exp((j-1) D_j(Q || P)) - 1),

and that exp((a-1) D_a(P || M)) - 1 is at most the larger of S(a) and of S(a) with P and Q exchanged; symmetric noise
makes the two equal. All terms of S grow with D_j, so upper bounds of D_j give upper bounds. If D_j(P || Q) is not
known, D_a(P || M) has a separate bound, called generic here:

    min { -(a-1) log(1-q),  log(1 + ((1-q)^(1-a) - 1 - (a-1) q) (exp(D_2(Q || P)) - 1)) } / (a-1).

The expansion is that of Mironov, Talwar, Zhang, arXiv 1908.10530, for the Gaussian. For arbitrary pairs, Zhu, Wang,
"Poisson Subsampled Renyi Differential Privacy", ICML 2019, Theorem 5, has a bound in which the terms from j = 3 on have
a factor 3. That theorem requires both D_j(Q || P) and D_j(P || Q); with both of them, S(a) is proven without the
factor.
"""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never

import numpy as np
from numpy.typing import NDArray

from dp.checks import member, positive_real
from dp.errors import InvalidParameter

MAXIMUM_ORDER: Final = 65_536
"""The highest order. Order n needs n terms; all orders up to n need n^2 / 2 terms."""

# Every term is the exponential of a sum of a few logarithms, each wrong by a few units in the last place of float64.
_ROUNDING: Final = 2.0**-48


class KnownDivergences(enum.Enum):
    """The Renyi divergences, between the release with a unit (Q) and without it (P), that the given numbers bound."""

    BOTH_DIRECTIONS = "both"
    """D(Q || P) and D(P || Q), as any Renyi guarantee does. For symmetric noise, P(x) = P(-x), the two are equal."""

    WITH_AGAINST_WITHOUT = "with against without"
    """Only D(Q || P)."""


class SubsamplingBound(enum.Enum):
    """The bound that was used; the value is its description in a report."""

    BINOMIAL_EXPANSION = "binomial expansion at integer orders"
    GENERIC = "generic bound for the direction in which the unsampled divergences are not known"


@dataclass(frozen=True, slots=True)
class SubsampledDivergences:
    """Upper bounds on the Renyi divergences of one subsampled release, in both directions.

    Attributes:
        divergences: Entry k is for order k + 2, or for the k-th of the requested orders; shape `(orders,)`, float64, at
            least 0, possibly infinite; read-only.
        bound: The bound that they come from.
    """

    divergences: NDArray[np.float64]
    bound: SubsamplingBound


def subsampled_divergences(
    divergences: Sequence[float] | NDArray[np.float64],
    *,
    sampling_rate: float,
    known: KnownDivergences,
    orders: NDArray[np.int64] | None = None,
) -> SubsampledDivergences:
    """Return bounds on the Renyi divergences of a release under Poisson sampling, at integer orders 2, 3, and so on.

    Args:
        divergences: Entry k bounds the divergences of order k + 2 without sampling from above, for every contribution
            of one unit; shape `(orders,)`, 1 to 65535 numbers of at least 0, infinite if no bound is known.
        sampling_rate: The probability q that a unit takes part, independently of all others; in (0, 1].
        known: The divergences that are given.
        orders: The orders to compute, in any order, from 2 to that of the last entry of `divergences`; shape
            `(orders,)`, int64. All of them by default.

    Formal guarantees:
        Relation: a unit is present or not (add or remove one); its sensitivity is the one behind `divergences`. If the
        sample is drawn afresh for this release, if nobody who sees the release knows the sample, and if `divergences`
        hold for every sample of the other units, the entry for order a bounds both D_a(with || without) and
        D_a(without || with) of the sampled release. Rounding errors are rounded upwards.

    Raises:
        InvalidParameter: An argument is out of range or of the wrong kind.
    """
    given = _checked(divergences)
    rate = positive_real("sampling_rate", sampling_rate)
    if rate > 1:
        raise InvalidParameter(f"sampling_rate: expected a probability in (0, 1], found {rate}. Use 1 or less.")
    member("known", known, KnownDivergences)
    wanted = _checked_orders(orders, len(given) + 1)
    with np.errstate(divide="ignore", over="ignore"):
        amplified = given[wanted - 2] if rate == 1 else _with_against_without(given, rate, wanted)
        match known:
            case KnownDivergences.BOTH_DIRECTIONS:
                bound = SubsamplingBound.BINOMIAL_EXPANSION
            case KnownDivergences.WITH_AGAINST_WITHOUT:
                bound = SubsamplingBound.GENERIC
                amplified = np.maximum(amplified, _without_against_with(given, rate, wanted))
            case _:
                assert_never(known)
        # A value that underflows is not 0.
        amplified = np.where(given[wanted - 2] > 0, np.maximum(amplified, np.finfo(np.float64).tiny), amplified)
    amplified.flags.writeable = False
    return SubsampledDivergences(amplified, bound)


def _with_against_without(given: NDArray[np.float64], rate: float, orders: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return log(1 + S(a)) / (a - 1), or the divergence without sampling if that is less."""
    log_factorials = np.array([math.lgamma(k + 1) for k in range(len(given) + 2)])
    exponents = np.arange(1, len(given) + 1) * given
    log_excesses = exponents + np.log(-np.expm1(-exponents))
    amplified = np.empty(len(orders))
    for index, order in enumerate(orders.tolist()):
        j = np.arange(2, order + 1)
        log_weights = log_factorials[order] - log_factorials[j] - log_factorials[order - j]
        log_weights += (order - j) * math.log1p(-rate) + j * math.log(rate)
        log_sum = _log_sum(log_weights + log_excesses[: order - 1])
        magnitudes = exponents[order - 2] + order * (math.log(order) - math.log(rate) - math.log1p(-rate))
        amplified[index] = np.logaddexp(0, log_sum + _ROUNDING * magnitudes) / (order - 1)
    return np.minimum(amplified, given[orders - 2])


def _without_against_with(given: NDArray[np.float64], rate: float, orders: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the generic bound, computed without cancellation.

    It uses (1-q)^(1-a) - 1 - (a-1) q = q^2 sum_{l=1}^{a-1} (a-l) (1-q)^-l.
    """
    if rate == 1:
        return np.full(len(orders), math.inf)
    log_excess = given[0] + np.log(-np.expm1(-given[0]))
    amplified = np.empty(len(orders))
    for index, order in enumerate(orders.tolist()):
        powers = np.arange(1, order)
        log_factor = 2 * math.log(rate) + _log_sum(np.log(order - powers) - powers * math.log1p(-rate))
        magnitudes = given[0] + order * (math.log(order) - math.log(rate) - math.log1p(-rate))
        amplified[index] = np.logaddexp(0, log_factor + log_excess + _ROUNDING * magnitudes) / (order - 1)
    return np.minimum(amplified, -math.log1p(-rate) * (1 + _ROUNDING))


def _log_sum(logarithms: NDArray[np.float64]) -> float:
    """Return log(sum(exp(logarithms))), or -inf if there are none."""
    highest = float(logarithms.max(initial=-math.inf))
    return highest + math.log(np.exp(logarithms - highest).sum()) if math.isfinite(highest) else highest


def _checked(divergences: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    try:
        given = np.array(divergences)
    except ValueError:
        raise InvalidParameter("divergences: expected one sequence of numbers, found a ragged one") from None
    if given.ndim != 1 or not 1 <= len(given) < MAXIMUM_ORDER:
        raise InvalidParameter(
            f"divergences: expected 1 to {MAXIMUM_ORDER - 1} numbers, one for each order from 2 on, found shape "
            f"{given.shape}"
        )
    if given.dtype.kind not in "fiu" or any(isinstance(one, (bool, np.bool_)) for one in divergences):
        raise InvalidParameter(f"divergences: expected real numbers, found {given.dtype}")
    if not (given >= 0).all():
        raise InvalidParameter("divergences: expected numbers of at least 0, found a negative one or NaN")
    return given.astype(np.float64)


def _checked_orders(orders: object, highest: int) -> NDArray[np.int64]:
    if orders is None:
        return np.arange(2, highest + 1)
    if not isinstance(orders, np.ndarray) or orders.dtype != np.int64 or orders.ndim != 1 or not len(orders):
        raise InvalidParameter("orders: expected integers in a non-empty int64 array of one dimension")
    if orders.min() < 2 or orders.max() > highest:
        raise InvalidParameter(
            f"orders: expected 2 to {highest}, up to which divergences are given, found {orders.min()} to "
            f"{orders.max()}"
        )
    return orders
