r"""Composition of discretised privacy losses: the epsilon of many releases together.

At every delta, the bound is at least the exact epsilon. If delta is small compared with the mass that a discretisation
puts at infinity (`dp.accounting.discretisation`, below 1e-23 for each release), the bound is far too large, or
infinite.

A release's loss is l_i = i h with mass p_i on a grid of h, and infinite with mass p_inf. The losses of independent
releases add up, and with the masses u_i of their sum (Sommer, Meiser, Mohammadi, PoPETs 2019(2))

    delta(epsilon) = u_inf + sum_{l_i > epsilon} u_i (1 - exp(epsilon - l_i)).

The error of a composition by FFT is about 1e-16 of all mass, which may be larger than a small delta. So the masses are
tilted first, p_i exp(theta l_i) / M(theta), then composed, and tilted back (Gerber, Shiu, "Option pricing by Esscher
transforms", 1994, has the transform; the choice of theta is that of a saddlepoint). With K(theta) = sum log M(theta)
over all releases, Markov's inequality gives delta(epsilon) <= exp(K(theta) - theta epsilon). Theta is chosen to make
the epsilon of this bound least: K'(theta) is that epsilon, so the tilted sum is centred there. Errors are then relative
to delta. The largest rounding error of the FFT, as measured, is added to every mass.

An FFT over N points adds the mass outside its window to the mass inside, N points away. The window is chosen by
Chernoff's bound so that at most `OUTSIDE` of the tilted mass is beyond either end. The mass beyond the upper end is at
most that part of exp(K - theta K'), which is delta for the theta of the least bound. The allowance for rounding is a
thousand times as large and covers it. For a smaller theta, exp(K - theta K') is above delta. That the allowance covers
the mass beyond the end then too was checked numerically and is not proven. The mass below the lower end adds nothing to
delta(epsilon) within the window.

If the largest loss has a mass above delta, no theta is best. Then theta is limited (`_MOST_TILT_OF_A_STEP`), and the
rounding of losses may be more than the allowance: delta is lowered further by a bound on it, and epsilon is rounded
upwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

OUTSIDE: Final = 1e-13
"""The largest part of the tilted mass that is beyond either end of the window."""

ALLOWANCE: Final = 1e-10
ALLOWANCE_PER_RELEASE: Final = 1e-13
"""The part of delta by which it is lowered for rounding. It is a hundred times the error that was measured against the
exact Gaussian, from 1 to 10^8 releases."""

_LEAST_TILT: Final = 1e-12
_MOST_TILT: Final = 1e12
_LESS_TILT: Final = 4.0
_MOST_TILT_OF_A_STEP: Final = 30.0
"""The largest tilt times grid: with more, the tilted masses of all losses but the largest would be lost in float64."""
_FAR: Final = 12.0  # The distance between epsilon and the centre, times the tilt.
# The rounding error in every mass is this part of the masses' L2 norm; each further release adds a part of that.
_FFT_ROUNDING: Final = 1e-15
_POWER_ROUNDING: Final = 0.25
# The rounding error in the logarithm of a tilted mass is at most this part of the tilted loss, that of epsilon at most
# this part of epsilon.
_LOSS_ROUNDING: Final = 2.0**-50
_LARGE: Final = 700.0  # The exponential of this is within the range of float64.
_DEVIATIONS: Final = (2.0, 4.0, 6.0, 8.0, 12.0, 20.0)
"""The window is chosen by the least of Chernoff's bounds for tilts by these numbers of deviations."""


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """The losses of one release, on a grid.

    Attributes:
        lowest: The number of the first loss, in steps of the grid.
        logarithms: The logarithms of the masses of the losses from there on, -inf for a mass of 0; shape `(losses,)`,
            float64.
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
    """An epsilon, and the number of points of the grid that it needs.

    Attributes:
        epsilon: At least 0, possibly infinite; infinite if it needs more points than are allowed.
        points: The points of the FFT, 0 if no FFT is needed.
    """

    epsilon: float
    points: int


def composed_epsilon(
    releases: Sequence[tuple[Losses, int]], *, grid: float, delta: float, most_points: int
) -> Composed:
    """Return the epsilon of all releases together, rounded upwards.

    Args:
        releases: The losses of each release, and how often it took place, at least once; at least one release.
        grid: The grid h of the losses, above 0.
        delta: Strictly between 0 and 1.
        most_points: The most points of the FFT.
    """
    times = sum(count for _, count in releases)
    infinite = sum(count * losses.infinite for losses, count in releases)
    wanted = delta * (1 - _allowance(times)) - infinite
    if wanted <= 0:
        return Composed(math.inf, 0)
    tilt = _least_tilt(releases, grid, wanted)
    cumulant, centre, _ = _cumulants(releases, tilt, grid)
    if centre <= 0 and cumulant - tilt * centre <= math.log(wanted) - _further_rounding(releases, tilt, grid):
        return Composed(0.0, 0)
    best = _at_tilt(releases, tilt, grid, wanted, most_points)
    # If Markov's inequality is far from tight, epsilon is far below the centre and may be below the window.
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
    log_delta = math.log(wanted) - cumulant + tilt * centre - _further_rounding(releases, tilt, grid)
    return Composed(_epsilon(masses, low, grid, tilt, centre, log_delta), points)


def _allowance(times: int) -> float:
    return ALLOWANCE + times * ALLOWANCE_PER_RELEASE


def _further_rounding(releases: Sequence[tuple[Losses, int]], tilt: float, grid: float) -> float:
    """Return the part of delta that rounding of the tilted losses may change and the allowance does not cover.

    It is 0 unless tilt times loss is above about a hundred for each release, as for losses of many steps whose largest
    has a mass above delta.
    """
    each = [(count, losses.cumulants(tilt, grid)) for losses, count in releases]
    tilted = tilt * math.fsum(count * math.hypot(mean, math.sqrt(variance)) for count, (_, mean, variance) in each)
    return max(0.0, _LOSS_ROUNDING * tilted - _allowance(sum(count for _, count in releases)))


def _cumulants(releases: Sequence[tuple[Losses, int]], tilt: float, grid: float) -> tuple[float, float, float]:
    """Return K, K' and K'' at a tilt."""
    each = [(count, losses.cumulants(tilt, grid)) for losses, count in releases]
    cumulant, mean, variance = (math.fsum(count * found[place] for count, found in each) for place in range(3))
    return cumulant, mean, variance


def _least_tilt(releases: Sequence[tuple[Losses, int]], grid: float, delta: float) -> float:
    """Return about the theta at which (K(theta) + log(1/delta)) / theta is least.

    The derivative has the sign of theta K'(theta) - K(theta) - log(1/delta), which grows with theta. If the largest
    loss has a mass above delta, no theta is least; then the result is the largest theta that float64 allows.
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
    return min(math.exp(low), _MOST_TILT_OF_A_STEP / grid)


def _window(
    releases: Sequence[tuple[Losses, int]], tilt: float, grid: float, cumulant: float, centre: float, deviation: float
) -> tuple[int, int]:
    """Return the first and the last number of the grid between which all but `OUTSIDE` of the tilted sum lies."""
    least = sum(count * losses.lowest for losses, count in releases)
    most = least + sum(count * (len(losses.logarithms) - 1) for losses, count in releases)
    scale = max(deviation, grid)
    high, low = most * grid, least * grid
    for deviations in _DEVIATIONS:
        further = deviations / scale
        above, below = (_cumulants(releases, tilt + step, grid)[0] - cumulant for step in (further, -further))
        high = min(high, (above - math.log(OUTSIDE)) / further)
        low = max(low, -(below - math.log(OUTSIDE)) / further)
    # Rounding may move an end of a narrow window beyond the centre; then the window is widened to the centre.
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

    With U_j the mass from l_j on, untilted, S_j = delta(l_j) follows from S_{j+1} without loss of precision:
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
    loss += _LOSS_ROUNDING * abs(loss)
    if place == 0:
        return max(0.0, loss)
    left = math.exp(min(log_delta + float(heights[place]), _LARGE)) - float(excess[place])
    return max(0.0, loss + math.log1p(-min(left / float(above[place] - excess[place]), step)))
