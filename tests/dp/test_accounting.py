import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dp import accounting
from dp.accounting import ORDERS, check_delta, guarantee, renyi_divergences
from dp.errors import IncompatibleEvent, InvalidParameter
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    PrivacyEvent,
)

SUMS = [(0.5, 2, 1), (0.5, 5, 3), (0.7, 2, 1), (0.7, 10, 2), (1.0, 3, 1), (1.0, 4, 5), (2.0, 2, 1), (2.0, 3, 4)]


def distributed(local_sigma: float, contributors: int, l2: float, dimension: int) -> DistributedDiscreteGaussianEvent:
    return DistributedDiscreteGaussianEvent(
        local_sigma=local_sigma, contributors=contributors, l2_sensitivity=l2, dimension=dimension
    )


def bound_by_the_paper(order: float, sigma: float, n: int, l1: float, l2: float, d: int) -> float:
    """Compute Proposition 14 of arXiv 2102.06387v4 anew, term by term."""
    tau = 10 * math.fsum(math.exp(-2 * math.pi**2 * sigma**2 * k / (k + 1)) for k in range(1, n))
    s = math.sqrt(n) * sigma
    return min(
        order / 2 * (l2 / s) ** 2 + tau * d,
        order / 2 * ((l2 / s) ** 2 + 2 * tau * l1 / s + tau**2 * d),
        order / 2 * (l2 / s + tau * math.sqrt(d)) ** 2,
    )


def summed_pmf(sigma: float, n: int) -> NDArray[np.float64]:
    """Return the exact law of the sum of n discrete Gaussians on a symmetric range, up to float64 rounding."""
    x = np.arange(-math.ceil(30 * sigma), math.ceil(30 * sigma) + 1)
    one = np.exp(-(x**2) / (2 * sigma**2))
    one /= math.fsum(one)
    law = one
    for _ in range(n - 1):
        law = np.convolve(law, one)
    return np.asarray(law)


def renyi(order: float, law: NDArray[np.float64], shift: int) -> float:
    """Return the Renyi divergence between a law and itself moved by `shift`, by enumeration."""
    moved, still = law[:-shift], law[shift:]
    kept = (moved > 0) & (still > 0)
    logarithms = order * np.log(moved[kept]) + (1 - order) * np.log(still[kept])
    top = float(logarithms.max())
    return (top + math.log(math.fsum(np.exp(logarithms - top)))) / (order - 1)


@pytest.mark.parametrize(("sigma", "n", "shift"), SUMS)
def test_divergences_bound_the_enumerated_ones(sigma: float, n: int, shift: int) -> None:
    bounds = renyi_divergences(distributed(sigma, n, shift, 1))
    law = summed_pmf(sigma, n)
    for order in (1.02, 1.5, 2.0, 4.0, 8.0):
        index = int(np.argmin(np.abs(np.array(ORDERS) - order)))
        exact = renyi(ORDERS[index], law, shift)
        assert exact <= bounds[index] * (1 + 1e-9)
        if sigma >= 1:
            assert bounds[index] <= exact * (1 + 1e-2)
        if sigma >= 2:
            assert bounds[index] <= exact * (1 + 1e-9)


def test_sums_of_narrow_discrete_gaussians_are_worse_than_the_gaussian() -> None:
    # This is why the bound has its tau: dropping it would understate the loss.
    law = summed_pmf(0.5, 2)
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
    assert exact * (1 - 1e-12) <= accounting.inflation(sigma, n) <= exact * (1 + 1e-2)


def test_inflation_of_one_noise_is_nothing() -> None:
    assert accounting.inflation(0.5, 1) == 0.0


@pytest.mark.parametrize("multiplier", [0.3, 1.0, 20.0])
def test_divergences_tend_to_the_continuous_gaussian(multiplier: float) -> None:
    gaussian = renyi_divergences(GaussianEvent(noise_multiplier=multiplier))
    np.testing.assert_allclose(gaussian, np.array(ORDERS) / (2 * multiplier**2), rtol=1e-12)
    excess = []
    for sigma in (0.7, 1.0, 1.5, 2.0):
        ours = renyi_divergences(distributed(sigma, 100, 10 * sigma / multiplier, 1000))
        excess.append(float(np.max(ours / gaussian)) - 1)
    assert excess == sorted(excess, reverse=True)
    assert excess[0] > 1e-3
    assert abs(excess[-1]) < 1e-9


def balle_wang_delta(epsilon: float, multiplier: float) -> float:
    """Return the exact delta of one Gaussian release (Balle and Wang, arXiv 1805.06530, Theorem 8)."""

    def phi(t: float) -> float:
        return 0.5 * math.erfc(-t / math.sqrt(2))

    half = 1 / (2 * multiplier)
    return phi(half - epsilon * multiplier) - math.exp(epsilon) * phi(-half - epsilon * multiplier)


@pytest.mark.parametrize("delta", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("multiplier", [0.5, 1.0, 4.0, 50.0])
def test_epsilon_lies_between_the_exact_one_and_the_textbook_bound(multiplier: float, delta: float) -> None:
    spent = guarantee({GaussianEvent(noise_multiplier=multiplier): 1}, delta=delta)
    assert balle_wang_delta(spent.epsilon, multiplier) <= delta
    # Bun and Steinke, arXiv 1605.02065, Proposition 1.3.
    rho = 1 / (2 * multiplier**2)
    assert spent.epsilon <= rho + 2 * math.sqrt(rho * math.log(1 / delta))
    assert balle_wang_delta(0.75 * spent.epsilon, multiplier) > delta
    assert not spent.order_at_edge


@pytest.mark.parametrize("count", [1, 30, 1000])
def test_composition_is_that_of_one_release_with_less_noise(count: int) -> None:
    many = guarantee({GaussianEvent(noise_multiplier=10.0): count}, delta=1e-5)
    one = guarantee({GaussianEvent(noise_multiplier=10.0 / math.sqrt(count)): 1}, delta=1e-5)
    assert many.epsilon == pytest.approx(one.epsilon, rel=1e-12)


def test_composition_adds_different_events() -> None:
    events: dict[PrivacyEvent, int] = {GaussianEvent(noise_multiplier=3.0): 2, distributed(5.0, 9, 4.0, 10): 3}
    spent = guarantee(events, delta=1e-5)
    total = [
        2 * order / 18 + 3 * bound_by_the_paper(order, 5.0, 9, min(math.sqrt(10) * 4, 16), 4.0, 10) for order in ORDERS
    ]
    by_hand = min(
        rdp + math.log1p(-1 / order) - math.log(1e-5 * order) / (order - 1)
        for order, rdp in zip(ORDERS, total, strict=True)
    )
    assert spent.epsilon == pytest.approx(by_hand, rel=1e-12)


def test_grid_costs_next_to_nothing() -> None:
    for multiplier in (0.2, 1.0, 7.0, 300.0):
        spent = guarantee({GaussianEvent(noise_multiplier=multiplier): 1}, delta=1e-6)
        continuous = min(
            a / (2 * multiplier**2) + math.log1p(-1 / a) - math.log(1e-6 * a) / (a - 1)
            for a in 1 + np.geomspace(0.02, 1e6, 400_000)
        )
        assert continuous <= spent.epsilon <= continuous * (1 + 1e-4)


def test_nothing_released_costs_nothing() -> None:
    spent = guarantee({}, delta=1e-5)
    assert spent.epsilon == 0
    assert not spent.order_at_edge
    assert guarantee({GaussianEvent(noise_multiplier=1.0): 0}, delta=1e-5).epsilon == 0


@pytest.mark.parametrize(("multiplier", "delta"), [(1e-6, 1e-3), (1e8, 1e-300)])
def test_best_order_at_an_end_of_the_grid_is_reported(multiplier: float, delta: float) -> None:
    spent = guarantee({GaussianEvent(noise_multiplier=multiplier): 1}, delta=delta)
    assert spent.order_at_edge
    assert spent.order in (ORDERS[0], ORDERS[-1])


def test_mixing_relations_is_refused() -> None:
    other = GaussianEvent(noise_multiplier=1.0, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE)
    assert guarantee({other: 1}, delta=1e-5, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE).epsilon > 0
    with pytest.raises(IncompatibleEvent, match=r"zero-out.*add-or-remove-one"):
        guarantee({GaussianEvent(noise_multiplier=1.0): 1, other: 1}, delta=1e-5)
    with pytest.raises(IncompatibleEvent, match="zero-out"):
        DistributedDiscreteGaussianEvent(
            local_sigma=2.0,
            contributors=2,
            l2_sensitivity=1.0,
            dimension=1,
            relation=NeighbouringRelation.ADD_OR_REMOVE_ONE,
        )


@pytest.mark.parametrize("delta", [0, 1, -0.1, 1.5, math.nan, True, "1e-5"])
def test_guarantee_refuses_delta(delta: float) -> None:
    with pytest.raises(InvalidParameter, match="delta"):
        guarantee({}, delta=delta)


@pytest.mark.parametrize("count", [-1, 1.0, True, 10**400])
def test_guarantee_refuses_counts(count: int) -> None:
    with pytest.raises(InvalidParameter, match="count"):
        guarantee({GaussianEvent(noise_multiplier=1.0): count}, delta=1e-5)


def test_guarantee_refuses_unknown_events() -> None:
    with pytest.raises(InvalidParameter, match="privacy events, found str"):
        guarantee({"laplace": 1}, delta=1e-5)  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("local_sigma", "contributors", "l2", "dimension"),
    [
        (0.49, 2, 1.0, 1),
        (math.nan, 2, 1.0, 1),
        (True, 2, 1.0, 1),
        (2.0, 0, 1.0, 1),
        (2.0, 2.0, 1.0, 1),
        (2.0, True, 1.0, 1),
        (2.0, 2, 0.0, 1),
        (2.0, 2, math.inf, 1),
        (2.0, 2, 1.0, 0),
        (2.0, 2, 1e200, 1),
        (2.0, 10**400, 1.0, 1),
        (2.0, 2, 1.0, 10**400),
        (1e30, 2, 1e-30, 1),
    ],
)
def test_events_refuse_parameters(local_sigma: float, contributors: int, l2: float, dimension: int) -> None:
    with pytest.raises(InvalidParameter, match="expected"):
        distributed(local_sigma, contributors, l2, dimension)


@pytest.mark.parametrize("multiplier", [0, -1.0, math.nan, math.inf, False, 1e-31, 1e31, 10**400])
def test_gaussian_event_refuses_multipliers(multiplier: float) -> None:
    with pytest.raises(InvalidParameter, match="noise_multiplier"):
        GaussianEvent(noise_multiplier=multiplier)


def test_relations_and_units_are_members_not_texts() -> None:
    texts: list[dict[str, Any]] = [{"relation": "zero-out"}, {"unit": "client"}]
    for changes in texts:
        with pytest.raises(InvalidParameter, match=r"expected (NeighbouringRelation|PrivacyUnit)\..*found str"):
            GaussianEvent(noise_multiplier=1.0, **changes)
        with pytest.raises(InvalidParameter, match="found str"):
            DistributedDiscreteGaussianEvent(
                local_sigma=2.0, contributors=2, l2_sensitivity=1.0, dimension=1, **changes
            )
        with pytest.raises(InvalidParameter, match="found str"):
            guarantee({}, delta=1e-3, **changes)


def test_check_delta_wants_less_than_one_over_the_population() -> None:
    check_delta(1e-3, population=999)
    with pytest.raises(InvalidParameter, match="one over the population"):
        check_delta(1e-3, population=1000)
    with pytest.raises(InvalidParameter, match="population"):
        check_delta(1e-3, population=0)
