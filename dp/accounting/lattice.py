r"""Integer noise, accounted as the continuous Gaussian noise that dominates it.

Let X be integer noise in d independent coordinates, and v an integer vector with an L2 norm of at most D. Then the pair
(X + v, X) is a post-processing of the pair (N(v, s^2 I), N(0, s^2 I)), with the deviation s below. So a release with
integer noise costs at most what one with continuous Gaussian noise of noise multiplier s / D costs, by any accountant,
with or without Poisson sampling, and composed with any other releases. `docs/lattice-gaussian.md` has the statement,
the proofs, and what is not covered. The result is this project's own.

Let B bound the curvature -log(p(k-1) p(k+1) / p(k)^2) of the noise's law p for all k >= 1. By Theorem 2 there,

    s^2 = (1 + sqrt(1 - B/3)) / (2 B),     the larger solution of     1/s^2 - 1/(12 s^4) = B,

if B < 3, and if either the curvature at 0 is at most B too, or p(0) <= Phi(1/(2 s)) - Phi(-1/(2 s)).

One discrete Gaussian N_Z(0, sigma^2): B = 1 / sigma^2, at every k.

The sum of n of them, sigma >= 1/2: B = 1 / (n sigma^2) + 2 L, at every k, with

    L = sum_{k=1}^{n-1} log((1 + e_k) / (1 - e_k)),     e_k = 2 sum_{i>=1} exp(-2 pi^2 sigma^2 i^2 k / (k + 1)).

Skellam noise of variance m: B = -log(1 - 1 / sqrt(m^2 + 3/4)) for k >= 1, and p(0) = exp(-m) I_0(m).
"""

import functools
import math
from typing import Final, assert_never

from dp.checks import MINIMUM_MAGNITUDE
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    LatticeEvent,
    NoisyEvent,
    PrivacyEvent,
    SkellamEvent,
    decompose,
)

LEAST_SKELLAM_VARIANCE: Final = 0.6
LEAST_SUMMED_SIGMA: Final = 0.5
_MOST_CURVATURE: Final = 3.0
_DOWN: Final = 1 - 2.0**-40  # The difference from 1 is far above the rounding errors of what it multiplies.
_UP: Final = 1 + 2.0**-38
_LEAST_SQUARE: Final = 1 / 6  # Below it the bound on the curvature falls with the deviation.
_EXACT_TERMS: Final = 1000
_HARMONICS: Final = 7  # Those beyond are below 1e-68.


@functools.lru_cache(maxsize=4096)
def dominating_gaussian(event: NoisyEvent) -> GaussianEvent | None:
    """Return the release with continuous Gaussian noise that dominates a release; None if none is known.

    A release with Gaussian noise dominates itself. `no_gaussian_reason` says why there is none.

    Formal guarantees:
        If the release is what its event says, it is a post-processing of the returned one, for each pair of neighbours
        under the event's relation, and in both directions. So whatever is proven of the returned release, composed
        with any others and sampled or not, holds for this one.
    """
    if isinstance(event, GaussianEvent):
        return event
    deviation = dominating_deviation(event)
    multiplier = 0.0 if deviation is None else deviation / event.l2_sensitivity * _DOWN
    if multiplier < MINIMUM_MAGNITUDE:
        return None
    return GaussianEvent(noise_multiplier=multiplier, relation=event.relation, unit=event.unit)


def no_gaussian_reason(event: PrivacyEvent) -> str:
    """Return why no Gaussian noise is known to dominate the noise of an event, as a phrase."""
    _, _, noisy = decompose(event)
    match noisy:
        case GaussianEvent():
            raise TypeError("event: expected one that `dominating_gaussian` returns None for, found Gaussian noise")
        case SkellamEvent():
            return f"Skellam noise of a variance below {LEAST_SKELLAM_VARIANCE}"
        case DistributedDiscreteGaussianEvent(contributors=1):
            return "a discrete Gaussian of a parameter of 0.58 or less"
        case DistributedDiscreteGaussianEvent():
            return "too many discrete Gaussian noise shares of too small a parameter"
        case _:
            assert_never(noisy)


def dominating_deviation(event: LatticeEvent) -> float | None:
    """Return the deviation s of the Gaussian noise that dominates the noise of an event, in steps of the integer grid.

    Returns:
        The deviation, rounded down; None if none is known.
    """
    match event:
        case SkellamEvent():
            return _skellam_deviation(event.variance)
        case DistributedDiscreteGaussianEvent():
            curvature = 1 / (event.contributors * event.local_sigma**2)
            return _deviation(curvature + 2 * ripple(event.local_sigma, event.contributors))
        case _:
            assert_never(event)


def needed_curvature(deviation: float) -> float | None:
    """Return the largest bound B on the curvature that a dominating Gaussian of this deviation allows.

    Args:
        deviation: In steps of the integer grid, above 0.

    Returns:
        The bound, rounded down; None if the deviation is so small that no bound is enough.
    """
    square = (deviation * _UP) ** 2
    if square <= _LEAST_SQUARE:
        return None
    return (1 - 1 / (12 * square)) / square / _UP


def least_local_sigma(deviation: float, contributors: int) -> float | None:
    """Return the least parameter of equal discrete Gaussian noise shares whose sum a Gaussian of a deviation dominates.

    Args:
        deviation: In steps of the integer grid, above 0.
        contributors: The number of noise shares, at least 1.

    Returns:
        The parameter, rounded up; None if this method finds none.
    """
    bound = needed_curvature(deviation)
    if bound is None:
        return None
    # The ripple falls with the parameter, so that of a smaller one is a bound on it.
    smaller = 1 / math.sqrt(contributors * bound)
    left = bound - 2 * ripple(smaller, contributors) if contributors == 1 or smaller >= LEAST_SUMMED_SIGMA else 0.0
    return _UP / math.sqrt(contributors * left) if left > 0 else None


def least_skellam_variance(deviation: float) -> float | None:
    """Return the least variance of Skellam noise that a Gaussian of a deviation dominates, by the bound for k >= 1.

    Args:
        deviation: In steps of the integer grid, above 0.

    Returns:
        The variance, in squared steps, rounded up; None if this method finds none.
    """
    bound = needed_curvature(deviation)
    if bound is None:
        return None
    variance = math.sqrt(1 / math.expm1(-bound) ** 2 - 0.75) * _UP
    return variance if variance >= LEAST_SKELLAM_VARIANCE else None


def _deviation(curvature: float) -> float | None:
    """Return the s of a bound B on the curvature, rounded down; None if B is too large."""
    bound = curvature / _DOWN
    if bound >= _MOST_CURVATURE:
        return None
    return math.sqrt((1 + math.sqrt(1 - bound / _MOST_CURVATURE)) / (2 * bound)) * _DOWN


def _skellam_deviation(variance: float) -> float | None:
    import scipy.special

    if variance < LEAST_SKELLAM_VARIANCE:
        return None
    found = _deviation(-math.log1p(-1 / math.hypot(variance, math.sqrt(0.75))))
    centre = 2 * math.sqrt(2) * float(scipy.special.erfinv(scipy.special.i0e(variance))) / _DOWN
    return None if found is None else min(found, 1 / centre)


@functools.lru_cache(maxsize=1024)
def ripple(local_sigma: float, contributors: int) -> float:
    """Return a bound on L: how far the law of a sum of discrete Gaussians is from a discrete Gaussian, in logarithms.

    The terms fall with k, so those after the first thousand are bounded by the one that follows them.
    """

    def term(k: int) -> float:
        waves = range(1, _HARMONICS + 1)
        e = 2 * math.fsum(math.exp(-2 * (math.pi * local_sigma * i) ** 2 * k / (k + 1)) for i in waves)
        return math.log1p(e) - math.log1p(-e)

    exact = min(contributors - 1, _EXACT_TERMS)
    total = math.fsum(term(k) for k in range(1, exact + 1))
    rest = contributors - 1 - exact
    if rest:
        total += rest * term(exact + 1)
    return total / _DOWN
