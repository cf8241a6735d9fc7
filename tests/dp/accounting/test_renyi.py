"""Divergences against enumeration in one dimension, an independent computation, and dp-accounting."""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, Final

import mpmath  # type: ignore[import-untyped]  # dp-accounting brings it; it has no type information
import numpy as np
import pytest
from numpy.typing import NDArray

from dp.accounting.amplification import SubsamplingBound
from dp.accounting.renyi import HIGHEST_AMPLIFIED_ORDER, ORDERS, inflation, renyi_divergences, subsampling_bound
from dp.calibration.least_noise import calibrate_gaussian, calibrate_noise
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    NoisyEvent,
    PoissonSampledEvent,
    RepeatedEvent,
    SkellamEvent,
)
from dp.noise.distributed import DistributedDiscreteGaussian

SUMS: Final = [
    (0.5, 2, 1),
    (0.5, 5, 3),
    (0.7, 2, 1),
    (0.7, 10, 2),
    (1.0, 3, 1),
    (1.0, 4, 5),
    (2.0, 2, 1),
    (2.0, 3, 4),
]
ADD_OR_REMOVE: Final = NeighbouringRelation.ADD_OR_REMOVE_ONE


def distributed(local_sigma: float, contributors: int, l2: float, dimension: int) -> DistributedDiscreteGaussianEvent:
    return DistributedDiscreteGaussianEvent(
        local_sigma=local_sigma,
        contributors=contributors,
        l2_sensitivity=l2,
        dimension=dimension,
        relation=ADD_OR_REMOVE,
    )


def skellam(variance: float, l2: float, dimension: int = 1) -> SkellamEvent:
    return SkellamEvent(
        variance=variance, contributors=3, l2_sensitivity=l2, dimension=dimension, relation=ADD_OR_REMOVE
    )


def gaussian(noise_multiplier: float) -> GaussianEvent:
    return GaussianEvent(noise_multiplier=noise_multiplier, relation=ADD_OR_REMOVE)


def bound_by_the_paper(order: float, sigma: float, n: int, l1: float, l2: float, d: int) -> float:
    """Compute Proposition 14 of arXiv 2102.06387v4 anew, term by term."""
    tau = 10 * math.fsum(math.exp(-2 * math.pi**2 * sigma**2 * k / (k + 1)) for k in range(1, n))
    s = math.sqrt(n) * sigma
    return min(
        order / 2 * (l2 / s) ** 2 + tau * d,
        order / 2 * ((l2 / s) ** 2 + 2 * tau * l1 / s + tau**2 * d),
        order / 2 * (l2 / s + tau * math.sqrt(d)) ** 2,
    )


def log_summed_law(sigma: float, n: int) -> NDArray[np.float64]:
    """Return the exact law of the sum of n discrete Gaussians on a symmetric range, up to float64 rounding."""
    x = np.arange(-math.ceil(30 * sigma), math.ceil(30 * sigma) + 1)
    one = np.exp(-(x**2) / (2 * sigma**2))
    one /= math.fsum(one)
    law = one
    for _ in range(n - 1):
        law = np.convolve(law, one)
    logarithms: NDArray[np.float64] = np.log(law[law > 0])
    return logarithms


@functools.cache
def log_skellam_law(variance: float) -> NDArray[np.float64]:
    """Return exp(-v) I_|x|(v) on a range that leaves nothing out, up to float64 rounding."""
    reach = math.ceil(30 * math.sqrt(variance)) + 120
    weights = [float(mpmath.log(mpmath.besseli(k, variance))) - variance for k in range(reach + 1)]
    return np.array(weights[:0:-1] + weights)


def renyi(order: float, log_law: NDArray[np.float64], shift: int, rate: float = 1.0) -> float:
    """Return the larger of the two divergences between a law and its mixture with itself moved by `shift`."""
    still, moved = log_law[shift:], log_law[:-shift]
    mixed = moved if rate == 1 else np.logaddexp(math.log1p(-rate) + still, math.log(rate) + moved)
    return max(
        float(np.logaddexp.reduce(order * one + (1 - order) * other)) / (order - 1)
        for one, other in ((mixed, still), (still, mixed))
    )


def at(order: float) -> int:
    return int(np.argmin(np.abs(np.array(ORDERS) - order)))


@pytest.mark.parametrize(("sigma", "n", "shift"), SUMS)
def test_divergences_bound_the_enumerated_ones(sigma: float, n: int, shift: int) -> None:
    bounds = renyi_divergences(distributed(sigma, n, shift, 1))
    law = log_summed_law(sigma, n)
    for order in (1.02, 1.5, 2.0, 4.0, 8.0):
        index = at(order)
        exact = renyi(ORDERS[index], law, shift)
        assert exact <= bounds[index] * (1 + 1e-9)
        if sigma >= 1:
            assert bounds[index] <= exact * (1 + 1e-2)
        if sigma >= 2:
            assert bounds[index] <= exact * (1 + 1e-9)


def test_sums_of_narrow_discrete_gaussians_are_worse_than_the_gaussian() -> None:
    # This is why the bound has its tau: dropping it would understate the loss.
    law = log_summed_law(0.5, 2)
    assert renyi(4.0, law, 1) > 1.03 * 4.0 / 2 / (2 * 0.5**2)


@pytest.mark.parametrize(
    ("sigma", "n", "l2", "d"),
    [(0.5, 2, 1.0, 1), (0.6, 100, 3.5, 1000), (0.9, 17, 400.0, 64), (2.0, 100, 250.0, 2**20), (50.0, 3, 10.0, 650)],
)
def test_divergences_equal_an_independent_computation(sigma: float, n: int, l2: float, d: int) -> None:
    bounds = renyi_divergences(distributed(sigma, n, l2, d))
    l1 = min(math.sqrt(d) * l2, l2**2)
    expected = [bound_by_the_paper(order, sigma, n, l1, l2, d) for order in ORDERS]
    np.testing.assert_allclose(bounds, expected, rtol=1e-12)


@pytest.mark.parametrize(("n", "sigma"), [(10_002, 0.5), (50_000, 0.7)])
def test_inflation_bounds_long_sums_from_above(n: int, sigma: float) -> None:
    exact = 10 * math.fsum(math.exp(-2 * math.pi**2 * sigma**2 * k / (k + 1)) for k in range(1, n))
    assert exact * (1 - 1e-12) <= inflation(sigma, n) <= exact * (1 + 1e-2)


def test_inflation_of_one_noise_is_nothing() -> None:
    assert inflation(0.5, 1) == 0.0


@pytest.mark.parametrize("multiplier", [0.3, 1.0, 20.0])
def test_divergences_tend_to_the_continuous_gaussian(multiplier: float) -> None:
    continuous = renyi_divergences(gaussian(multiplier))
    np.testing.assert_allclose(continuous, np.array(ORDERS) / (2 * multiplier**2), rtol=1e-12)
    excess = []
    for sigma in (0.7, 1.0, 1.5, 2.0):
        ours = renyi_divergences(distributed(sigma, 100, 10 * sigma / multiplier, 1000))
        excess.append(float(np.max(ours / continuous)) - 1)
    assert excess == sorted(excess, reverse=True)
    assert excess[0] > 1e-3
    assert abs(excess[-1]) < 1e-9


@pytest.mark.parametrize("shift", [1, 2, 5])
@pytest.mark.parametrize("variance", [0.05, 0.5, 1.0, 4.0, 25.0, 400.0])
def test_skellam_divergences_bound_the_enumerated_ones(variance: float, shift: int) -> None:
    bounds, law = renyi_divergences(skellam(variance, shift)), log_skellam_law(variance)
    for order in (1.02, 1.5, 2.0, 2.5, 3.0, 6.5, 8.0, 16.0):
        exact = renyi(ORDERS[at(order)], law, shift)
        assert exact <= bounds[at(order)] * (1 + 1e-9)
        if variance == 400 and order in (2.0, 3.0, 8.0):
            assert bounds[at(order)] <= 1.006 * exact


@pytest.mark.parametrize(("variance", "l2", "d"), [(0.3, 1.0, 1), (50.0, 40.0, 2**20), (9.0, 400.0, 64), (1e5, 2.5, 9)])
def test_skellam_divergences_equal_an_independent_computation(variance: float, l2: float, d: int) -> None:
    l1 = min(math.sqrt(d) * l2, l2**2)

    def bound(a: int) -> float:
        return a * l2**2 / (2 * variance) + min(
            ((2 * a - 1) * l2**2 + 6 * l1) / (4 * variance**2), 3 * l1 / (2 * variance)
        )

    bounds = renyi_divergences(skellam(variance, l2, d))
    for index, order in enumerate(ORDERS):
        below, part = math.floor(order), order - math.floor(order)
        chord = (1 - part) * (below - 1) * bound(below) + part * below * bound(below + 1)
        assert bounds[index] == pytest.approx(chord / (order - 1), rel=1e-12)


LAWS: Final[list[tuple[NoisyEvent, Callable[[], NDArray[np.float64]], int]]] = [
    (skellam(4.0, 1), lambda: log_skellam_law(4.0), 1),
    (skellam(25.0, 5), lambda: log_skellam_law(25.0), 5),
    (distributed(0.5, 2, 1, 1), lambda: log_summed_law(0.5, 2), 1),
    (distributed(0.7, 10, 2, 1), lambda: log_summed_law(0.7, 10), 2),
    (distributed(2.0, 3, 1, 1), lambda: log_summed_law(2.0, 3), 1),
]


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.99])
@pytest.mark.parametrize(("event", "law", "shift"), LAWS)
def test_sampled_divergences_bound_the_enumerated_ones_in_both_directions(
    event: NoisyEvent, law: Callable[[], NDArray[np.float64]], shift: int, rate: float
) -> None:
    bounds, log_law = renyi_divergences(PoissonSampledEvent(sampling_rate=rate, event=event)), law()
    for order in (1.02, 1.5, 2.0, 2.5, 3.0, 5.3, 8.0):
        exact = renyi(ORDERS[at(order)], log_law, shift, rate)
        assert exact <= bounds[at(order)] * (1 + 1e-6) + 1e-12
        if event == distributed(2.0, 3, 1, 1) and order in (2.0, 3.0, 8.0):
            assert bounds[at(order)] <= exact * (1 + 1e-6) + 1e-12


@pytest.mark.parametrize(("rate", "multiplier"), [(0.001, 0.5), (0.01, 2.0), (0.3, 8.0)])
def test_sampled_gaussian_divergences_agree_with_dp_accounting(rate: float, multiplier: float) -> None:
    """At whole orders; between them dp-accounting gives the exact one (0.4), or a bound well above it (0.6)."""
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    from dp_accounting.rdp import RdpAccountant

    orders = [ORDERS[at(order)] for order in (1.1, 1.5, 2.0, 2.5, 3.0, 5.5, 16.0, 63.0, 200.0, 1500.0)]
    expected = RdpAccountant(orders).compose(PoissonSampledDpEvent(rate, GaussianDpEvent(multiplier))).rdp
    bounds = renyi_divergences(PoissonSampledEvent(sampling_rate=rate, event=gaussian(multiplier)))
    for order, theirs in zip(orders, expected, strict=True):
        ours = bounds[at(order)]
        if order.is_integer():
            assert ours == pytest.approx(theirs, rel=1e-6)
        else:
            exact = sampled_gaussian_renyi(order, rate, multiplier)
            assert theirs >= exact * (1 - 1e-4)
            assert ours >= exact


def sampled_gaussian_renyi(order: float, rate: float, multiplier: float) -> float:
    """By quadrature of its definition (arXiv 1908.10530, section 3), to about 1e-5 of it."""
    x = np.linspace(-60 * multiplier, 60 * multiplier + 1, 1_000_001)
    log_ratio = np.logaddexp(np.log1p(-rate), np.log(rate) + (2 * x - 1) / (2 * multiplier**2))
    log_density = -(x**2) / (2 * multiplier**2) - np.log(multiplier * np.sqrt(2 * np.pi))
    return float(np.log(np.sum(np.exp(log_density + order * log_ratio)) * (x[1] - x[0])) / (order - 1))


@pytest.mark.parametrize("event", [gaussian(1.0), distributed(2.0, 10, 5.0, 64), skellam(9.0, 4.0, 64)])
def test_sampling_never_costs_and_more_of_it_costs_more(event: NoisyEvent) -> None:
    sampled = [renyi_divergences(PoissonSampledEvent(sampling_rate=q, event=event)) for q in (1e-9, 1e-3, 0.1, 0.9, 1)]
    for less, more in itertools.pairwise(sampled):
        assert (less <= more).all()
    np.testing.assert_array_equal(sampled[-1], renyi_divergences(event))
    assert (sampled[2][: at(2.0)] < 0.5 * sampled[-1][: at(2.0)]).all()
    above = np.array(ORDERS) > HIGHEST_AMPLIFIED_ORDER
    np.testing.assert_array_equal(sampled[0][above], sampled[-1][above])


def test_repeated_events_cost_their_number() -> None:
    event = PoissonSampledEvent(sampling_rate=0.1, event=gaussian(2.0))
    repeated = renyi_divergences(RepeatedEvent(times=7, event=event))
    np.testing.assert_array_equal(repeated, 7 * renyi_divergences(event))


def test_divergences_cannot_be_altered() -> None:
    events: list[Any] = [gaussian(1.0), skellam(1.0, 1.0), PoissonSampledEvent(sampling_rate=0.1, event=gaussian(1.0))]
    for event in events:
        with pytest.raises(ValueError, match="read-only"):
            renyi_divergences(event)[0] = 0.0


def test_extreme_events_have_finite_divergences() -> None:
    wild: list[NoisyEvent] = [gaussian(1e-30), distributed(1e30, 2**53, 1e30, 2**53), skellam(1e-30, 1e15, 2**53)]
    for event in wild:
        for rate in (1e-30, 0.5, 1.0):
            bounds = renyi_divergences(PoissonSampledEvent(sampling_rate=rate, event=event))
            assert np.isfinite(bounds).all()
            assert (bounds >= 0).all()


def test_subsampling_bound_is_named_where_there_is_sampling() -> None:
    sampled = PoissonSampledEvent(sampling_rate=0.1, event=gaussian(1.0))
    assert subsampling_bound(gaussian(1.0)) is None
    assert subsampling_bound(PoissonSampledEvent(sampling_rate=1.0, event=gaussian(1.0))) is None
    assert subsampling_bound(sampled) is SubsamplingBound.BINOMIAL_EXPANSION
    assert subsampling_bound(RepeatedEvent(times=2, event=sampled)) is SubsamplingBound.BINOMIAL_EXPANSION


def test_a_small_epsilon_of_sampled_lattice_noise_is_bounded_at_high_orders() -> None:
    """Up to order 4096 alone the noise was several times as much as continuous noise needs."""
    relation = NeighbouringRelation.ADD_OR_REMOVE_ONE
    budget: dict[str, Any] = {"epsilon": 1e-3, "delta": 1e-6, "releases": 1000, "relation": relation}
    budget |= {"sampling_rate": 0.01}
    found = calibrate_noise(
        DistributedDiscreteGaussian, **budget, l2_sensitivity=100.0, dimension=16, minimum_contributors=100
    )
    assert found.noise_multiplier < 1.2 * calibrate_gaussian(**budget)
