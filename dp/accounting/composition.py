r"""Composition of discretised privacy losses: the epsilon of many releases together.

A bound is not below the exact epsilon at any delta. At deltas that are small against the mass that a discretisation
puts at infinity (`dp.accounting.discretisation`, below 1e-23 a release) it is far above, or infinite.

A release's loss is l_i = i h with mass p_i on a grid of h, and infinite with mass p_inf. The losses of independent
releases add up, and with the masses u_i of their sum (Sommer, Meiser, Mohammadi, PoPETs 2019(2))

    delta(epsilon) = u_inf + sum_{l_i > epsilon} u_i (1 - exp(epsilon - l_i)).

Composing by FFT is wrong by some 1e-16 of all mass, which would drown a small delta. So the masses are tilted first,
p_i exp(theta l_i) / M(theta), composed, and tilted back (Gerber, Shiu, "Option pricing by Esscher transforms", 1994,
has the transform; the choice of theta is that of a saddlepoint). With K(theta) = sum log M(theta) over all releases,
Markov's inequality gives delta(epsilon) <= exp(K(theta) - theta epsilon), and theta is where the epsilon of that is
least: K'(theta) is that epsilon, so that the tilted sum is centred there. Errors are then relative to delta. What the
FFT's rounding is at most, as measured, is added to every mass.

An FFT over N points adds what is outside of its window to what is inside, N points away. The window is such that at
most `OUTSIDE` of the tilted mass is beyond either end, by Chernoff's bound. What is beyond the upper end is at most
that part of exp(K - theta K'), which is within a few powers of e of delta; the allowance for rounding is a thousand
times as much, and covers it. What is below the lower end adds nothing to delta(epsilon) within the window.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

OUTSIDE: Final = 1e-13
"""Of the tilted mass, at most, beyond either end of the window."""

ALLOWANCE: Final = 1e-10
ALLOWANCE_PER_RELEASE: Final = 1e-13
"""By what part of it delta is lowered for rounding: a hundred times what was measured against the exact Gaussian, from
1 to 10^8 releases."""

_LEAST_TILT: Final = 1e-12
_MOST_TILT: Final = 1e12
_LESS_TILT: Final = 4.0
_FAR: Final = 12.0  # between epsilon and the centre, times the tilt
_FFT_ROUNDING: Final = 1e-15  # of the masses' l2 norm, in every one; and of that, by how much each release adds to it
_POWER_ROUNDING: Final = 0.25
_LARGE: Final = 700.0  # an exponent that float64 still has
_DEVIATIONS: Final = (2.0, 4.0, 6.0, 8.0, 12.0, 20.0)
"""Chernoff's bound on what lies outside of the window is the least one over tilts by these numbers of deviations."""


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """The losses of one release, on a grid.

    Attributes:
        lowest: The number of the first loss, in grid steps.
        logarithms: Of the masses of the losses from there on, -inf for none; shape `(losses,)`, float64.
        infinite: The mass of infinite loss.
    """

    lowest: int
    logarithms: NDArray[np.float64]
    infinite: float

    def cumulants(self, tilt: float, grid: float) -> tuple[float, float, float]:
        """Return log M, and mean and variance of the tilted loss."""
        losses = self._losses(grid)
        log_moment, masses = self._tilted(tilt * losses)
        mean = float(masses @ losses)
        return log_moment, mean, float(masses @ (losses - mean) ** 2)

    def tilted(self, tilt: float, grid: float) -> NDArray[np.float64]:
        """Return the tilted masses, which sum to one."""
        return self._tilted(tilt * self._losses(grid))[1]

    def _losses(self, grid: float) -> NDArray[np.float64]:
        return (np.arange(len(self.logarithms)) + self.lowest) * grid

    def _tilted(self, exponents: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logarithms = self.logarithms + exponents
        highest = float(logarithms.max())
        masses = np.exp(logarithms - highest)
        total = float(masses.sum())
        return highest + math.log(total), masses / total


@dataclass(frozen=True, slots=True)
class Composed:
    """An epsilon, and how many points of the grid it takes.

    Attributes:
        epsilon: At least 0, possibly infinite; infinite where it takes more points than are allowed.
        points: Those of the FFT, 0 where none is needed.
    """

    epsilon: float
    points: int


def composed_epsilon(
    releases: Sequence[tuple[Losses, int]], *, grid: float, delta: float, most_points: int
) -> Composed:
    """Return the epsilon of all releases together, rounded upwards.

    Args:
        releases: The losses of each, and how often it took place, at least once; at least one.
        grid: H, above 0.
        delta: Strictly between 0 and 1.
        most_points: Of the FFT.
    """
    times = sum(count for _, count in releases)
    infinite = sum(count * losses.infinite for losses, count in releases)
    wanted = delta * (1 - ALLOWANCE - times * ALLOWANCE_PER_RELEASE) - infinite
    if wanted <= 0:
        return Composed(math.inf, 0)
    tilt = _least_tilt(releases, grid, wanted)
    cumulant, centre, _ = _cumulants(releases, tilt, grid)
    if centre <= 0 and cumulant - tilt * centre <= math.log(wanted):
        return Composed(0.0, 0)
    best = _at_tilt(releases, tilt, grid, wanted, most_points)
    # Where Markov's inequality is far from tight, epsilon is far below the centre, and may be below the window.
    while tilt * (centre - best.epsilon) > _FAR and best.epsilon > 0 and tilt > _LEAST_TILT:
        tilt /= _LESS_TILT
        _, centre, _ = _cumulants(releases, tilt, grid)
        found = _at_tilt(releases, tilt, grid, wanted, most_points)
        best = Composed(min(best.epsilon, found.epsilon), max(best.points, found.points))
    return best


def _at_tilt(
    releases: Sequence[tuple[Losses, int]], tilt: float, grid: float, wanted: float, most_points: int
) -> Composed:
    cumulant, centre, variance = _cumulants(releases, tilt, grid)
    low, high = _window(releases, tilt, grid, cumulant, centre, math.sqrt(variance))
    points = _points(max(high - low + 1, *(len(losses.logarithms) for losses, _ in releases)))
    if points > most_points:
        return Composed(math.inf, points)
    masses = _convolved(releases, tilt, grid, points, low)
    # In units of exp(K - theta c), which is about delta.
    log_delta = math.log(wanted) - cumulant + tilt * centre
    return Composed(_epsilon(masses, low, grid, tilt, centre, log_delta), points)


def _cumulants(releases: Sequence[tuple[Losses, int]], tilt: float, grid: float) -> tuple[float, float, float]:
    """Return K, K' and K'' at a tilt."""
    each = [(count, losses.cumulants(tilt, grid)) for losses, count in releases]
    cumulant, mean, variance = (math.fsum(count * found[place] for count, found in each) for place in range(3))
    return cumulant, mean, variance


def _least_tilt(releases: Sequence[tuple[Losses, int]], grid: float, delta: float) -> float:
    """Return about the theta at which (K(theta) + log(1/delta)) / theta is least.

    The derivative has the sign of theta K'(theta) - K(theta) - log(1/delta), which grows with theta.
    """
    log_delta = math.log(delta)

    def beyond(position: float) -> bool:
        tilt = math.exp(position)
        cumulant, mean, _ = _cumulants(releases, tilt, grid)
        return tilt * mean - cumulant + log_delta > 0

    low, high = math.log(_LEAST_TILT), math.log(_MOST_TILT)
    while high - low > 0.05:
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return math.exp(low)


def _window(
    releases: Sequence[tuple[Losses, int]], tilt: float, grid: float, cumulant: float, centre: float, deviation: float
) -> tuple[int, int]:
    """Return between which numbers of the grid all but `OUTSIDE` of the tilted sum is, at either end."""
    least = sum(count * losses.lowest for losses, count in releases)
    most = least + sum(count * (len(losses.logarithms) - 1) for losses, count in releases)
    scale = max(deviation, grid)
    high, low = most * grid, least * grid
    for deviations in _DEVIATIONS:
        further = deviations / scale
        above, below = (_cumulants(releases, tilt + step, grid)[0] - cumulant for step in (further, -further))
        high = min(high, (above - math.log(OUTSIDE)) / further)
        low = max(low, -(below - math.log(OUTSIDE)) / further)
    # Where the window is narrower than rounding tells, it is widened to the centre.
    high, low = max(high, centre), min(low, centre)
    return max(least, math.floor(low / grid) - 1), min(most, math.ceil(high / grid) + 1)


def _points(least: int) -> int:
    import scipy.fft

    return int(scipy.fft.next_fast_len(least, real=True))


def _convolved(
    releases: Sequence[tuple[Losses, int]], tilt: float, grid: float, points: int, low: int
) -> NDArray[np.float64]:
    """Return the masses of the tilted sum from grid number `low` on; shape `(points,)`, float64, at least 0."""
    import scipy.fft

    spectrum = np.ones(points // 2 + 1, dtype=np.complex128)
    for losses, count in releases:
        spectrum *= scipy.fft.rfft(losses.tilted(tilt, grid), points) ** count
    offset = low - sum(count * losses.lowest for losses, count in releases)
    masses: NDArray[np.float64] = np.roll(scipy.fft.irfft(spectrum, points), -(offset % points))
    times = sum(count for _, count in releases)
    rounding = _FFT_ROUNDING * (1 + _POWER_ROUNDING * times) * float(np.linalg.norm(masses))
    return np.maximum(masses, 0.0) + rounding


def _epsilon(masses: NDArray[np.float64], low: int, grid: float, tilt: float, centre: float, log_delta: float) -> float:
    """Return the least epsilon at which the masses of the tilted sum, tilted back, have less than delta; at least 0.

    With U_j the mass from l_j on, untilted, S_j = delta(l_j) follows from S_{j+1} without loss:
    S_j = exp(-h) S_{j+1} + (1 - exp(-h)) U_{j+1}. Both are computed times exp(theta (l_j - c)). Between l_{j-1} and
    l_j, delta(epsilon) = U_j - exp(epsilon - l_j) (U_j - S_j).
    """
    import scipy.signal

    decay, step = math.exp(-tilt * grid), -math.expm1(-grid)
    above = scipy.signal.lfilter([1.0], [1.0, -decay], masses[::-1])
    before = np.concatenate([[0.0], above[:-1]])
    excess = scipy.signal.lfilter([decay * step], [1.0, -decay * (1 - step)], before)[::-1]
    above = above[::-1]
    heights = tilt * ((np.arange(len(masses)) + low) * grid - centre)
    with np.errstate(divide="ignore"):
        beyond = np.flatnonzero(np.log(excess) - heights > log_delta)
    place = int(beyond[-1]) + 1 if len(beyond) else 0
    if place == len(masses):
        return math.inf
    loss = (low + place) * grid
    if place == 0:
        return max(0.0, loss)
    left = math.exp(min(log_delta + float(heights[place]), _LARGE)) - float(excess[place])
    return max(0.0, loss + math.log1p(-min(left / float(above[place] - excess[place]), step)))
