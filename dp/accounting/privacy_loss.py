r"""Privacy loss distributions of releases with Gaussian noise, Poisson-sampled or not: tight epsilon for a delta.

A release with integer noise counts as the release with Gaussian noise that dominates it (`dp.accounting.lattice`).

Without sampling nothing is approximated. Releases with noise multipliers z_i compose to one with noise
multiplier z, 1/z^2 = sum 1/z_i^2 (Dong, Roth, Su, arXiv 1905.02383; chosen adaptively: Smith, Thakurta, arXiv
2210.17520), and with m = 1/z (Balle, Wang, arXiv 1805.06530v2, Theorem 8)

    delta(epsilon) = Phi(m/2 - epsilon/m) - e^epsilon Phi(-m/2 - epsilon/m)

is exact. `dp.accounting.gaussian_curve` says how it is computed.

With sampling the losses are discretised pessimistically by `dp.accounting.discretisation` (Doroshenko, Ghazi, Kamath,
Kumar, Manurangsi, arXiv 2207.04380v1) and composed by `dp.accounting.composition`, only under add-or-remove-one. A pair
of such distributions dominates every round, whatever was seen before it. So they also compose if rounds are chosen
adaptively (Zhu, Dong, Wang, arXiv 2106.08567).

The grid h follows the losses. Moving a loss to the two points of the grid beside it adds at most h^2/4 to its variance,
and h^2/6 on average. With s the standard deviation of a release's loss, epsilon grows by a fraction of about
(h/s)^2 / 12. Here s^2 is at most q^2 (exp(1/z^2) - 1), the chi-square divergence at sampling rate q.
"""

import functools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dp.accounting.composition import Losses, composed_epsilon
from dp.accounting.discretisation import discretised, reach
from dp.accounting.gaussian_curve import log_delta
from dp.accounting.lattice import dominating_gaussian
from dp.errors import InvalidParameter
from dp.events import GaussianEvent, PoissonSampledEvent, PrivacyEvent, decompose

DISCRETISATION: Final = 1e-4
MAXIMUM_DISTINCT_RELEASES: Final = 16

# A release's distribution takes less than a microsecond for each point, and composing takes as much again.
POINTS: Final = 300_000
COMPOSED_POINTS: Final = 2_000_000

# The grid may be this part of the standard deviation of a loss, or a little more.
PART_OF_DEVIATION: Final = 0.01

# Any delta of float64 below 1 is more than Phi(-40) and less than Phi(40).
_DEVIATIONS: Final = 40.0
_ROUNDING: Final = 1e-8
_LARGE: Final = 700.0  # The exponential of this is within the range of float64.
_TINY: Final = 1e-40

_Releases = tuple[tuple[float, float, int], ...]


@dataclass(frozen=True, slots=True)
class LossEpsilon:
    """The epsilon of releases together, by their privacy loss distributions.

    Attributes:
        epsilon: At least 0, possibly infinite.
        discretisation: The grid of the losses; 0 if the result is exact and needed no grid.
    """

    epsilon: float
    discretisation: float


def loss_epsilon(events: Mapping[PrivacyEvent, int], *, delta: float, points: int = POINTS) -> LossEpsilon:
    """Return the epsilon of releases that `PrivacyLossAccountant` supports.

    Args:
        events: Single releases, none of them repeated, and how often each took place, at least once.
        delta: Strictly between 0 and 1.
        points: The most points of one release's distribution. If it needs more, the grid is made coarser. By default
            this happens for noise multipliers below about 0.4 at sampling rates from 0.01, below about 0.73 at 0.001,
            and below about 1.3 at rates of at most 1e-4. The bound is then less tight. At rates of 1e-5 or less and
            noise multipliers below 0.7, it was thirty times too large in one computed case.

    Formal guarantees:
        If every release is what its event says, all of them together are (`epsilon`, `delta`)-differentially private
        under the events' relation for one of their units. What is asked may depend on earlier releases; the events may
        not. The epsilon is exact except for rounding if no release is sampled, and an upper bound otherwise. The noise
        is assumed to be real-valued: what floating-point noise leaks is not covered.

    Raises:
        InvalidParameter: `events` is empty, or contains noise other than Gaussian.
    """
    return _loss_epsilon(_releases(events), delta, points)


@functools.lru_cache(maxsize=1024)
def gaussian_epsilon(noise_multiplier: float, delta: float) -> float:
    """Return the exact epsilon of one release with Gaussian noise, rounded upwards.

    Args:
        noise_multiplier: The noise multiplier z, above 0.
        delta: Strictly between 0 and 1.
    """
    change = 1 / noise_multiplier

    def is_enough(deviations: float) -> bool:
        return log_delta(deviations, change) + _ROUNDING <= math.log(delta)

    low, high = max(-change / 2, -_DEVIATIONS), _DEVIATIONS
    if low > -_DEVIATIONS and is_enough(low):
        return 0.0
    for _ in range(100):
        middle = (low + high) / 2
        if is_enough(middle):
            high = middle
        else:
            low = middle
    return math.nextafter(change * (high + change / 2), math.inf)


def split_gaussian(
    events: Mapping[PrivacyEvent, int],
) -> tuple[Counter[PoissonSampledEvent], Counter[GaussianEvent], Counter[PrivacyEvent]]:
    """Return the sampled Gaussian releases, the unsampled ones (also those with sampling rate 1), and all others.

    A release with integer noise is replaced by the Gaussian one that dominates it. Those without one are the others.
    """
    sampled: Counter[PoissonSampledEvent] = Counter()
    unsampled: Counter[GaussianEvent] = Counter()
    others: Counter[PrivacyEvent] = Counter()
    for event, times in events.items():
        _, rate, noisy = decompose(event)
        gaussian = dominating_gaussian(noisy)
        if gaussian is None:
            others[event] += times
        elif rate == 1:
            unsampled[gaussian] += times
        else:
            sampled[PoissonSampledEvent(sampling_rate=rate, event=gaussian)] += times
    return sampled, unsampled, others


def _releases(events: Mapping[PrivacyEvent, int]) -> _Releases:
    """Return sampling rate, noise multiplier and times of all releases; unsampled ones become one of rate 1."""
    sampled, unsampled, others = split_gaussian(events)
    if others or not events:
        raise InvalidParameter(
            "events: expected releases with Gaussian noise, or with noise that Gaussian noise dominates, found none or "
            "others. Use `guarantee` for other noise."
        )
    found = [(event.sampling_rate, event.noise_multiplier, times) for event, times in sampled.items()]
    if unsampled:
        found.append((1.0, composed_multiplier(unsampled), 1))
    return tuple(sorted(found))


def _grid(releases: _Releases, points: int) -> float:
    """Return the grid of the losses: 1e-4 over a power of two, so that it seldom changes, unless points limit it."""
    times = math.fsum(count for *_, count in releases)
    variance = math.fsum(count * _variance(rate, noise) for rate, noise, count in releases) / times
    halvings = max(0, math.floor(-math.log2(PART_OF_DEVIATION * math.sqrt(variance) / DISCRETISATION)))
    return max(math.ldexp(DISCRETISATION, -halvings), max(_span(rate, noise) for rate, noise, _ in releases) / points)


def _variance(sampling_rate: float, noise_multiplier: float) -> float:
    """Return a bound on the variance of a release's loss, at most 1."""
    exponent = min(noise_multiplier**-2, _LARGE)
    return max(min(sampling_rate**2 * math.expm1(exponent), 1.0), _TINY)


def _span(sampling_rate: float, noise_multiplier: float) -> float:
    least, most = reach(sampling_rate, noise_multiplier)
    return most - least


def composed_multiplier(events: Mapping[GaussianEvent, int]) -> float:
    """Return the noise multiplier of the one release that unsampled Gaussian releases compose to."""
    return 1 / math.sqrt(math.fsum(times / event.noise_multiplier**2 for event, times in events.items()))


@functools.lru_cache(maxsize=1024)
def _loss_epsilon(releases: _Releases, delta: float, points: int) -> LossEpsilon:
    if releases[0][0] == 1:
        return LossEpsilon(gaussian_epsilon(releases[0][1], delta), 0.0)
    grid = _grid(releases, points)
    while True:
        distributions = [(_distribution(rate, noise, grid), times) for rate, noise, times in releases]
        both = [
            composed_epsilon(
                [(found[direction], times) for found, times in distributions],
                grid=grid,
                delta=delta,
                most_points=COMPOSED_POINTS,
            )
            for direction in range(2)
        ]
        needed = max(composed.points for composed in both)
        if needed <= COMPOSED_POINTS:
            return LossEpsilon(max(composed.epsilon for composed in both), grid)
        grid *= 2.0 ** math.ceil(math.log2(needed / COMPOSED_POINTS))


@functools.lru_cache(maxsize=2 * MAXIMUM_DISTINCT_RELEASES)  # There is one fine grid and one coarse grid.
def _distribution(sampling_rate: float, noise_multiplier: float, grid: float) -> tuple[Losses, Losses]:
    return discretised(sampling_rate, noise_multiplier, grid)
