r"""The losses of one release with sampled Gaussian noise, on a grid that can only make them larger.

With noise N(0, z^2), a unit that adds one and takes part with probability q, the release has the law
M = (1 - q) N(0, z^2) + q N(1, z^2) with the unit and P = N(0, z^2) without. In t = x / z the loss of M against P is

    l(t) = log(1 - q + q exp(u(t))),     u(t) = t / z - 1 / (2 z^2),

which grows with t; that of P against M is -l(t). Between two points of the grid, l_i and l_{i+1} = l_i + h, there is a
cell of t with the masses A under M and B under P. Its mass is moved to the two points, a to l_i and b to l_{i+1}, so
that both masses stay (connecting the dots: Doroshenko, Ghazi, Kamath, Kumar, Manurangsi, arXiv 2207.04380v1):

    a + b = A,     a exp(-l_i) + b exp(-l_{i+1}) = B,     b (1 - exp(-h)) = A - B exp(l_i).

That is pessimistic: the law of the cell follows from the two points by forgetting the position of t within the cell. It
also holds in the other direction, where the mass at -l_i is that at l_i times exp(-l_i). Beyond the grid, which ends
after `TAIL_DEVIATIONS`, losses are infinite at the upper end, and are moved to the lowest point at the lower end.

A - B exp(l_i) is small compared with A. If a cell is narrow, it is computed as an integral,

    A - B exp(l_i) = exp(l_i) k_i integral (exp((t - t_i) / z) - 1) phi(t) dt,     k_i = 1 - (1 - q) exp(-l_i),

by five Gauss-Legendre points, whose error is below 1e-15 of it for cells of at most `NARROW` over max(1, |t_i|). For
wider cells it is computed as the difference, rounded upwards.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.accounting.composition import Losses

TAIL_DEVIATIONS: Final = 10.0
NARROW: Final = 0.2

_NODES: Final = 5
_ROUNDING: Final = 2.0**-48  # The logarithms are wrong by a few units in the last place.
_LARGE: Final = 30.0  # Above this x, exp(x) and exp(x) - 1 are nearly equal in float64.
_Floats = NDArray[np.float64]


def reach(sampling_rate: float, noise_multiplier: float) -> tuple[float, float]:
    """Return the least and the greatest loss within the grid: l(t) at `TAIL_DEVIATIONS` below 0 and above 1 / z."""
    return _loss(-TAIL_DEVIATIONS, sampling_rate, noise_multiplier), _loss(
        TAIL_DEVIATIONS + 1 / noise_multiplier, sampling_rate, noise_multiplier
    )


def discretised(sampling_rate: float, noise_multiplier: float, grid: float) -> tuple[Losses, Losses]:
    """Return the losses of M against P, for the removal of a unit, and of P against M, for the addition of one.

    Args:
        sampling_rate: The rate q, in (0, 1].
        noise_multiplier: The noise multiplier z, above 0.
        grid: The grid h, above 0.

    Formal guarantees:
        The hockey-stick divergences of the returned masses bound those of the release from above, at every epsilon.
    """
    least, most = reach(sampling_rate, noise_multiplier)
    lowest, highest = math.floor(least / grid), math.ceil(most / grid) + 1
    losses = np.arange(lowest, highest + 1) * grid
    at = noise_multiplier * _exponent(losses, sampling_rate) + 1 / (2 * noise_multiplier)
    logarithm, part = _cells(at, losses, sampling_rate, noise_multiplier, grid)
    with np.errstate(divide="ignore"):
        lower, upper = logarithm + np.log1p(-part), logarithm + np.log(part)
    nothing = np.full(1, -np.inf)
    cells = np.logaddexp(np.concatenate([lower, nothing]), np.concatenate([nothing, upper]))
    below, above, removed_above = (float(_log_cdf(end)) for end in (at[0], -at[-1], 1 / noise_multiplier - at[-1]))
    removed, added = cells.copy(), (cells - losses)[::-1].copy()
    removed[0] = np.logaddexp(removed[0], below)
    added[0] = np.logaddexp(added[0], above)
    return Losses(lowest, removed, math.exp(removed_above)), Losses(-highest, added, math.exp(below))


def _loss(at: float, rate: float, noise: float) -> float:
    exponent = at / noise - 1 / (2 * noise**2)
    if rate == 1:
        return exponent
    return float(np.logaddexp(math.log1p(-rate), math.log(rate) + exponent))


def _exponent(losses: _Floats, rate: float) -> _Floats:
    """Return u with log(1 - q + q exp(u)) = l, or -inf if no u is small enough."""
    if rate == 1:
        return losses
    small = np.minimum(losses, _LARGE)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log1p(np.maximum(np.expm1(small) / rate, -1.0))
        large = losses - math.log(rate) + np.log1p(-(1 - rate) * np.exp(-np.maximum(losses, _LARGE)))
    return np.where(losses > _LARGE, large, found)


def _cells(at: _Floats, losses: _Floats, rate: float, noise: float, grid: float) -> tuple[_Floats, _Floats]:
    """Return log A of each cell, and the part of A that is moved to the upper point."""
    start, end = at[:-1], at[1:]
    log_without, log_shifted = _log_between(start, end), _log_between(start - 1 / noise, end - 1 / noise)
    log_with = math.log(rate) + log_shifted
    if rate < 1:
        log_with = np.logaddexp(math.log1p(-rate) + log_without, log_with)
    with np.errstate(invalid="ignore", over="ignore"):
        part = (_ROUNDING - np.expm1(np.minimum(log_without + losses[:-1] - log_with, 0.0))) / -math.expm1(-grid)
        steep = (end - start) * np.maximum(1.0, np.maximum(abs(start), abs(start - 1 / noise)))
    part = np.nan_to_num(part, nan=1.0)
    narrow = np.flatnonzero(steep <= NARROW)
    log_with[narrow], part[narrow] = _narrow_cells(start[narrow], end[narrow], losses[:-1][narrow], rate, noise, grid)
    return log_with, np.clip(part, 0.0, 1.0)


def _narrow_cells(
    start: _Floats, end: _Floats, losses: _Floats, rate: float, noise: float, grid: float
) -> tuple[_Floats, _Floats]:
    import scipy.special

    nodes, weights = scipy.special.roots_legendre(_NODES)
    width = end - start
    factor = 1.0 if rate == 1 else -np.expm1(math.log1p(-rate) - losses)
    mass, excess = np.zeros(len(start)), np.zeros(len(start))
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        step = node * width
        density = weight * np.exp(-step * (start + step / 2))
        mass += density
        excess += density * factor * np.expm1(step / noise)
    total = mass + excess
    logarithm = losses - start**2 / 2 - math.log(2 * math.pi) / 2 + np.log(width * total)
    return logarithm, excess / total / -math.expm1(-grid)


def _log_cdf(at: _Floats) -> _Floats:
    import scipy.special

    found: _Floats = scipy.special.log_ndtr(at)
    return found


def _log_between(start: _Floats, end: _Floats) -> _Floats:
    """Return the logarithms of the standard normal's masses between `start` and `end`."""
    upper = start > 0
    more, less = np.where(upper, -start, end), np.where(upper, -end, start)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_more, log_less = _log_cdf(more), _log_cdf(less)
        found = log_more + np.log(-np.expm1(np.minimum(log_less - log_more, 0.0)))
    return np.where(np.isneginf(log_more), -np.inf, found)
