r"""Privacy loss distributions of releases with Gaussian noise, Poisson-sampled or not: tight epsilon for a delta.

Without sampling there is nothing to approximate. Releases with noise multipliers z_i compose to one with noise
multiplier z, 1/z^2 = sum 1/z_i^2 (Dong, Roth, Su, arXiv 1905.02383; chosen adaptively: Smith, Thakurta, arXiv
2210.17520), and with m = 1/z (Balle, Wang, arXiv 1805.06530v2, Theorem 8)

    delta(epsilon) = Phi(m/2 - epsilon/m) - e^epsilon Phi(-m/2 - epsilon/m)

is exact. With t = epsilon/m - m/2, the density phi and Mills' ratio M(t) = Phi(-t)/phi(t), the integral of
exp(-ts - s^2/2) over s > 0, it is phi(t) (M(t) - M(t + m)), which loses nothing to e^epsilon. Where m is so small that
the difference would be lost, -m M1 - m^2/2 M2 - m^3/6 M3 bounds it from above, since the fourth derivative of M is
positive; M1 = t M - 1, M2 = M + t M1 and M3 = 2 M1 + t M2 are the first three.

With sampling the distributions are dp-accounting's, discretised pessimistically by connecting the dots (Doroshenko,
Ghazi, Kamath, Kumar, Manurangsi, arXiv 2207.04380v1) and composed by FFT, under add-or-remove-one and no other
relation: from its version 0.6 on it doubles the sensitivity under its REPLACE_ONE, before that it does not. A pair of
such distributions dominates every round, whatever was seen before it, so that they compose also where rounds are
chosen adaptively (Zhu, Dong, Wang, arXiv 2106.08567). Rounding is allowed for: against the exact Gaussian, composing by
FFT makes delta too small by less than 1e-13 up to 10,000 rounds and grows with them, so delta is entered less an
allowance.
"""

import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dp.errors import InvalidParameter
from dp.events import GaussianEvent, PoissonSampledEvent, PrivacyEvent

DISCRETISATION: Final = 1e-4
MINIMUM_NOISE_MULTIPLIER: Final = 0.1
MAXIMUM_NOISE_MULTIPLIER: Final = 1e5
MAXIMUM_SAMPLED_RELEASES: Final = 1_000_000
MAXIMUM_DISTINCT_RELEASES: Final = 16
MINIMUM_DELTA: Final = 1e-9
MAXIMUM_EPSILON: Final = 700.0
DELTA_ALLOWANCE: Final = 1e-12
DELTA_ALLOWANCE_PER_RELEASE: Final = 1e-17

# A release's distribution costs some 10 microseconds a point; the noise tails are cut where exp(-50) is left.
POINTS: Final = 300_000
COMPOSED_POINTS: Final = 1_000_000
TAIL_DEVIATIONS: Final = 10.0

# Any delta of float64 below 1 is more than Phi(-40) and less than Phi(40).
_DEVIATIONS: Final = 40.0
_SQRT_2: Final = math.sqrt(2)
_SQRT_HALF_PI: Final = math.sqrt(math.pi / 2)
_SERIES_BELOW: Final = 1e-3
_ROUNDING: Final = 1e-8

_Releases = tuple[tuple[float, float, int], ...]


@dataclass(frozen=True, slots=True)
class LossEpsilon:
    """What releases satisfy together by their privacy loss distributions.

    Attributes:
        epsilon: at least 0, possibly infinite.
        discretisation: the grid of the losses; 0 where there was none because the result is exact.
    """

    epsilon: float
    discretisation: float


def why_not(events: Mapping[PrivacyEvent, int], *, delta: float, at_most: float) -> str | None:
    """Return why privacy loss distributions are not used, or None where they are.

    Args:
        events: single releases, none of them repeated, and how often each took place, at least once; may be empty.
        delta: strictly between 0 and 1.
        at_most: an epsilon known to hold.
    """
    if not events:
        return "nothing was released"
    sampled, unsampled, others = _split(events)
    if others:
        return "noise other than Gaussian"
    multipliers = [event.noise_multiplier for event in sampled]
    if sampled and unsampled:
        multipliers.append(_composed_multiplier(unsampled))
    if not sampled:
        return None
    if delta < MINIMUM_DELTA:
        return f"delta below {MINIMUM_DELTA:g}, where float64 cannot tell it from rounding"
    if not all(MINIMUM_NOISE_MULTIPLIER <= one <= MAXIMUM_NOISE_MULTIPLIER for one in multipliers):
        return f"a noise multiplier outside {MINIMUM_NOISE_MULTIPLIER:g} to {MAXIMUM_NOISE_MULTIPLIER:g}"
    if sum(sampled.values()) > MAXIMUM_SAMPLED_RELEASES:
        return f"more than {MAXIMUM_SAMPLED_RELEASES} sampled releases"
    if len(multipliers) > MAXIMUM_DISTINCT_RELEASES:
        return f"more than {MAXIMUM_DISTINCT_RELEASES} different releases"
    if at_most > MAXIMUM_EPSILON:
        return f"epsilon beyond {MAXIMUM_EPSILON:g}"
    return None


def loss_epsilon(
    events: Mapping[PrivacyEvent, int], *, delta: float, at_most: float, points: int = POINTS
) -> LossEpsilon:
    """Return the epsilon of releases that `why_not` has nothing against, with its arguments.

    Args:
        events: single releases, none of them repeated, and how often each took place, at least once.
        delta: strictly between 0 and 1, from 1e-9 on where a release is sampled.
        at_most: an epsilon known to hold; beyond 100 the grid is coarser than 1e-4.
        points: the most for one release's distribution; where it would take more the grid is coarser than 1e-4. That is
            for noise multipliers below 0.4 by default.

    Formal guarantees:
        If every release is what its event says, all of them together are (`epsilon`, `delta`)-differentially private
        under the events' relation for one of their units. What is asked may depend on earlier releases, the events may
        not. Exact but for rounding where no release is sampled, an upper bound otherwise. The noise is taken for
        real-valued: what floating-point noise leaks is not covered.

    Raises:
        InvalidParameter: there is nothing in `events`, or noise other than Gaussian.
    """
    releases = _releases(events)
    if not _is_sampled(releases):
        return LossEpsilon(gaussian_epsilon(releases[0][1], delta), 0.0)
    grid = _grid(releases, at_most, points)
    return LossEpsilon(_composed_epsilon(releases, delta, grid), grid)


def loss_epsilons(
    events: Mapping[PrivacyEvent, int], *, deltas: Sequence[float], at_most: float, points: int = POINTS
) -> tuple[float, ...]:
    """Return the epsilon of the same releases at each of many deltas, for little more than that at one.

    Args:
        events: as for `loss_epsilon`.
        deltas: strictly between 0 and 1, from 1e-9 on where a release is sampled.
        at_most: an epsilon known to hold at one of them; it does no more than make the grid coarser beyond 100.
        points: as for `loss_epsilon`.

    Returns:
        An epsilon for each delta, at least 0, possibly infinite. Formal guarantees: those of `loss_epsilon`, each.

    Raises:
        InvalidParameter: there is nothing in `events`, or noise other than Gaussian.
    """
    releases = _releases(events)
    if not _is_sampled(releases):
        return tuple(gaussian_epsilon(releases[0][1], delta) for delta in deltas)
    composed = _composed(releases, _grid(releases, at_most, points))
    return tuple(_epsilon_at(composed, releases, delta) for delta in deltas)


@functools.lru_cache(maxsize=1024)
def gaussian_epsilon(noise_multiplier: float, delta: float) -> float:
    """Return the exact epsilon of one release with Gaussian noise, rounded upwards.

    Args:
        noise_multiplier: z, above 0.
        delta: strictly between 0 and 1.
    """
    from scipy.special import erfcx

    change = 1 / noise_multiplier

    def log_delta(deviations: float) -> float:
        mills, after = (_SQRT_HALF_PI * float(erfcx(at / _SQRT_2)) for at in (deviations, deviations + change))
        if change >= _SERIES_BELOW:
            difference = mills - after
        else:
            first = deviations * mills - 1
            second = mills + deviations * first
            third = 2 * first + deviations * second
            difference = -change * (first + change / 2 * (second + change / 3 * third))
        return math.log(difference) - deviations**2 / 2 - math.log(2 * math.pi) / 2 + _ROUNDING

    low, high = max(-change / 2, -_DEVIATIONS), _DEVIATIONS
    if low > -_DEVIATIONS and log_delta(low) <= math.log(delta):
        return 0.0
    for _ in range(100):
        middle = (low + high) / 2
        if log_delta(middle) <= math.log(delta):
            high = middle
        else:
            low = middle
    return math.nextafter(change * (high + change / 2), math.inf)


def _split(
    events: Mapping[PrivacyEvent, int],
) -> tuple[Counter[PoissonSampledEvent], Counter[GaussianEvent], Counter[PrivacyEvent]]:
    """Return the sampled Gaussian releases, the unsampled ones, a sampling rate of 1 among them, and all others."""
    sampled: Counter[PoissonSampledEvent] = Counter()
    unsampled: Counter[GaussianEvent] = Counter()
    others: Counter[PrivacyEvent] = Counter()
    for event, times in events.items():
        match event:
            case (GaussianEvent() as noisy) | PoissonSampledEvent(sampling_rate=1, event=GaussianEvent() as noisy):
                unsampled[noisy] += times
            case PoissonSampledEvent(event=GaussianEvent()):
                sampled[event] += times
            case _:
                others[event] += times
    return sampled, unsampled, others


def _releases(events: Mapping[PrivacyEvent, int]) -> _Releases:
    """Return sampling rate, noise multiplier and times of all releases; unsampled ones, rate 1, are composed to one."""
    sampled, unsampled, others = _split(events)
    if others or not events:
        raise InvalidParameter("events: expected releases with Gaussian noise, found none or other noise")
    found = [(event.sampling_rate, event.noise_multiplier, times) for event, times in sampled.items()]
    if unsampled:
        found.append((1.0, _composed_multiplier(unsampled), 1))
    return tuple(sorted(found))


def _is_sampled(releases: _Releases) -> bool:
    return releases[0][0] < 1


def _grid(releases: _Releases, at_most: float, points: int) -> float:
    spans = (1 / (2 * noise**2) + TAIL_DEVIATIONS / noise for _, noise, _ in releases)
    return max(DISCRETISATION, max(spans) / points, at_most / COMPOSED_POINTS)


def _composed_multiplier(events: Mapping[GaussianEvent, int]) -> float:
    return 1 / math.sqrt(math.fsum(times / event.noise_multiplier**2 for event, times in events.items()))


@functools.lru_cache(maxsize=256)
def _composed_epsilon(releases: _Releases, delta: float, grid: float) -> float:
    return _epsilon_at(_composed(releases, grid), releases, delta)


def _composed(releases: _Releases, grid: float) -> Any:
    composed: Any = None
    for sampling_rate, noise_multiplier, times in releases:
        repeated = _distribution(sampling_rate, noise_multiplier, grid).self_compose(times)
        composed = repeated if composed is None else composed.compose(repeated)
    return composed


def _epsilon_at(composed: Any, releases: _Releases, delta: float) -> float:
    rounds = sum(times for *_, times in releases)
    allowance = len(releases) * DELTA_ALLOWANCE + rounds * DELTA_ALLOWANCE_PER_RELEASE
    try:
        return max(0.0, float(composed.get_epsilon_for_delta(delta - allowance)))
    except OverflowError:  # beyond exp(700); infinity is an upper bound, and Renyi DP gives the figure
        return math.inf


@functools.lru_cache(maxsize=2 * MAXIMUM_DISTINCT_RELEASES)  # on a fine grid and on a coarse one
def _distribution(sampling_rate: float, noise_multiplier: float, grid: float) -> Any:
    from dp_accounting.pld import privacy_loss_distribution

    return privacy_loss_distribution.from_gaussian_mechanism(
        standard_deviation=noise_multiplier, value_discretization_interval=grid, sampling_prob=sampling_rate
    )
