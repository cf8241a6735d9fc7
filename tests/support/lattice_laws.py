"""Exact laws of integer noise, and what tells them from the same law moved by integers: the oracle of lattice noise.

Nothing here uses `dp`. Laws are enumerated in float64 without differences, so that every probability is right to about
1e-13 of itself, however small it is.
"""

import functools
import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

Vector = NDArray[np.float64]

_DEVIATIONS: Final = 30
"""How far laws are enumerated, in standard deviations."""

_LEAST: Final = 1e-250
_LEAST_TAIL: Final = 1e-100  # Below it, what is not enumerated would count.
_LEAST_OF_A_PRODUCT: Final = 1e-40


class Shares(NamedTuple):
    """A sum of `number` discrete Gaussians of one parameter."""

    sigma: float
    number: int = 1


class Skellam(NamedTuple):
    """The difference of two Poisson variables of the same mean, half of `variance`."""

    variance: float


Noise = Shares | Skellam


@functools.cache
def law(noise: Noise) -> Vector:
    """Return the probabilities of -K to K, where those of larger values are below 1e-100 or so."""
    match noise:
        case Shares(sigma, number):
            reach = math.ceil(_DEVIATIONS * max(sigma, 1.0))
            one = normalised(np.exp(-(np.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2)))
            found = one
            for _ in range(number - 1):
                found = trimmed(np.convolve(found, one))
            return trimmed(found)
        case Skellam(variance):
            return trimmed(_skellam(variance))


def _skellam(variance: float) -> Vector:
    """Return exp(-m) I_k(m): the ratios I_k / I_(k-1) = 1 / (2 k / m + I_(k+1) / I_k), from far outside inwards."""
    reach = math.ceil(_DEVIATIONS * math.sqrt(variance)) + 60
    ratios, ratio = np.empty(reach + 1), 0.0
    for k in range(reach + 60, 0, -1):
        ratio = 1 / (2 * k / variance + ratio)
        if k <= reach:
            ratios[k] = ratio
    ratios[0] = 1.0
    half = np.cumprod(ratios)
    return normalised(np.concatenate([half[:0:-1], half]))


def normalised(weights: Vector) -> Vector:
    """Return the weights over their sum."""
    return weights / math.fsum(weights)


def trimmed(probabilities: Vector) -> Vector:
    """Return the inner part of a symmetric law, where float64 has all digits."""
    outside = int(np.argmax(probabilities > _LEAST))
    return probabilities[outside : len(probabilities) - outside]


def pair(noise: Noise, shift: int) -> tuple[Vector, Vector]:
    """Return the laws of X and of X + `shift` on a range that has all of both but the least tails."""
    still = law(noise)
    reach = len(still) - abs(shift)
    return (still[shift:], still[:reach]) if shift > 0 else (still[:reach], still[-shift:])


def pair_of_vectors(noise: Noise, shifts: tuple[int, ...]) -> tuple[Vector, Vector]:
    """Return the laws of X and of X + `shifts` for noise that is independent in each coordinate, as flat arrays."""
    still = moved = np.ones(1)
    for shift in shifts:
        one, other = pair(noise, shift)
        kept = one + other > _LEAST_OF_A_PRODUCT
        still, moved = np.outer(still, one[kept]).ravel(), np.outer(moved, other[kept]).ravel()
    return still, moved


def sampled(still: Vector, moved: Vector, rate: float) -> tuple[Vector, Vector]:
    """Return the laws of X and of a sample: X + v with probability `rate`, and X otherwise."""
    return still, (1 - rate) * still + rate * moved


def hockey_stick(first: Vector, second: Vector, epsilon: float) -> float:
    """Return the least delta for which the first law is within a factor exp(`epsilon`) of the second."""
    return float(np.maximum(first - math.exp(epsilon) * second, 0.0).sum())


def gaussian_hockey_stick(change: float, epsilon: float) -> float:
    """Return the hockey stick of N(`change`, 1) against N(0, 1), by Mills' ratio."""
    at = epsilon / change - change / 2
    if at < -5:
        return float(special.ndtr(-at) - math.exp(epsilon) * special.ndtr(-at - change))
    mills = special.erfcx(at / math.sqrt(2)) - special.erfcx((at + change) / math.sqrt(2))
    return float(math.exp(-(at**2) / 2) / 2 * mills)


def sampled_gaussian_hockey_stick(change: float, epsilon: float, rate: float) -> tuple[float, float]:
    """Return the hockey sticks of (1 - q) N(0) + q N(`change`) against N(0), and of N(0) against that mixture."""
    factor = math.exp(epsilon)
    if factor > 1 - rate:
        added = rate * gaussian_hockey_stick(change, math.log1p(math.expm1(epsilon) / rate))
    else:
        added = 1 - factor
    left = 1 - factor * (1 - rate)
    removed = left * gaussian_hockey_stick(change, math.log(factor * rate / left)) if left > 0 else 0.0
    return added, removed


def spacings(noise: Noise) -> Vector:
    """Return z(k+1) - z(k) for k = 0, 1, ..., where P(X < k) = Phi(z(k)), to about 1e-15 of z(k)."""
    half = law(noise)[len(law(noise)) // 2 + 1 :]
    tails = np.cumsum(half[::-1])[::-1]
    edges = -special.ndtri(tails[tails > _LEAST_TAIL])
    return np.concatenate([[2 * edges[0]], np.diff(edges)])


def losses(noise: Noise, shift: int) -> tuple[Vector, Vector]:
    """Return the privacy losses of X + `shift` against X, and their probabilities."""
    still, moved = pair(noise, shift)
    kept = moved > _LEAST_OF_A_PRODUCT
    return np.log(moved[kept] / still[kept]), moved[kept]


def epsilon(noise: Noise, *, shift: int, times: int, delta: float, parts: int = 500) -> float:
    """Return the epsilon of `times` independent copies of the pair (X + `shift`, X) together, from above.

    Losses are put on a grid so that hockey sticks at its points are exact, and lines in exp(epsilon) between them
    (Doroshenko, Ghazi, Kamath, Kumar, Manurangsi, arXiv 2207.04380v1). One step of the grid is the standard deviation
    of a loss over `parts`; epsilon is too large by a fraction of about 1 / (12 parts^2).
    """
    values, masses = losses(noise, shift)
    mean = float(masses @ values)
    deviation = math.sqrt(float(masses @ (values - mean) ** 2))
    grid = deviation / parts
    below = np.floor(values / grid)
    upper = np.expm1(below * grid - values) / np.expm1(-grid)
    first = int(below.min())
    indices = (below - first).astype(np.int64)
    one = np.zeros(int(indices.max()) + 2)
    np.add.at(one, indices, masses * (1 - upper))
    np.add.at(one, indices + 1, masses * upper)

    size = 1 << math.ceil(math.log2(len(one) + 2 * _DEVIATIONS * parts * math.sqrt(times)))
    start = round(times * (mean / grid - first)) - size // 2
    composed = np.roll(np.fft.irfft(np.fft.rfft(one, size) ** times, size), -(start % size))
    points = (times * first + start + np.arange(size)) * grid
    low, high = 0.0, float(points[-1])
    for _ in range(60):
        middle = (low + high) / 2
        above = points > middle
        found = float(-(composed[above] @ np.expm1(middle - points[above])))
        low, high = (low, middle) if found <= delta else (middle, high)
    return high
