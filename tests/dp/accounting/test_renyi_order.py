"""Renyi DP at one order: its budget, the divergence of each kind of event, and the order that is best."""

import math
from typing import Final

import numpy as np
import pytest

from dp.accounting.gaussian_curve import largest_mu
from dp.accounting.renyi import ORDERS, renyi_divergences
from dp.accounting.renyi_accountant import renyi_epsilon
from dp.accounting.renyi_order import best_order, checked_order, divergence_at, renyi_budget
from dp.accounting.sampled_gaussian import sampled_gaussian_divergence
from dp.errors import InvalidParameter
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    NoisyEvent,
    PoissonSampledEvent,
    PrivacyEvent,
    RepeatedEvent,
    SkellamEvent,
)

EITHER: Final = NeighbouringRelation.ADD_OR_REMOVE_ONE
GAUSSIAN: Final = GaussianEvent(noise_multiplier=2.0, relation=EITHER)
DISCRETE: Final = DistributedDiscreteGaussianEvent(
    local_sigma=3.0, contributors=20, l2_sensitivity=5.0, dimension=40, relation=EITHER
)
SKELLAM: Final = SkellamEvent(variance=90.0, contributors=9, l2_sensitivity=4.0, dimension=12, relation=EITHER)
THIN: Final = SkellamEvent(variance=0.5, contributors=5, l2_sensitivity=1.0, dimension=2, relation=EITHER)


def sampled(event: NoisyEvent, rate: float = 0.05) -> PoissonSampledEvent:
    return PoissonSampledEvent(sampling_rate=rate, event=event)


@pytest.mark.parametrize(
    ("epsilon", "delta", "order", "factor"),
    [
        (8.0, 1e-3, 2.784, 1.0834),
        (4.0, 1e-3, 4.004, 1.0983),
        (2.0, 1e-3, 6.133, 1.1128),
        (6.0, 1 / 3400, 3.586, 1.0816),
        (6.0, 1e-6, 5.360, 1.0586),
    ],
)
def test_renyi_filter_costs_the_published_part_of_noise(
    epsilon: float, delta: float, order: float, factor: float
) -> None:
    best = best_order(epsilon=epsilon, delta=delta)
    assert best == pytest.approx(order, abs=6e-4)
    square = 2 * renyi_budget(best, epsilon=epsilon, delta=delta) / best
    assert largest_mu(epsilon, delta) / math.sqrt(square) == pytest.approx(factor, abs=6e-5)
    # An order whose a - 1 is 20% too large costs 1% more, one twice too large 12%.
    for too_large, more in ((1.2, 1.015), (2.0, 1.16)):
        other = 1 + too_large * (best - 1)
        found = 2 * renyi_budget(other, epsilon=epsilon, delta=delta) / other
        assert 1 < math.sqrt(square / found) < more


@pytest.mark.parametrize("order", [1.05, 2.0, 3.586, 40.0])
@pytest.mark.parametrize(("epsilon", "delta"), [(1.0, 1e-3), (6.0, 1 / 3400), (0.1, 1e-9)])
def test_budget_is_what_the_accountant_converts_to_epsilon(order: float, epsilon: float, delta: float) -> None:
    place = int(np.argmin(np.abs(np.array(ORDERS) - order)))
    budget = renyi_budget(ORDERS[place], epsilon=epsilon, delta=delta)
    if budget <= 0:
        return
    for factor, within in ((1.0, True), (1 + 1e-12, True), (1 + 1e-9, False)):
        divergences = np.full(len(ORDERS), np.inf)
        divergences[place] = budget * factor
        found, _ = renyi_epsilon(divergences, delta)
        assert (found <= epsilon * (1 + 1e-11)) is within


@pytest.mark.parametrize(
    "event",
    [
        GAUSSIAN,
        DISCRETE,
        SKELLAM,
        THIN,
        sampled(GAUSSIAN),
        sampled(DISCRETE),
        sampled(SKELLAM),
        sampled(THIN),
        sampled(GAUSSIAN, 1.0),
        RepeatedEvent(times=7, event=sampled(SKELLAM, 0.001)),
    ],
)
def test_divergence_is_at_most_that_of_the_accountant(event: PrivacyEvent) -> None:
    """The accountant has published bounds at its own orders; here is the least of them and of further ones."""
    bounds = renyi_divergences(event)
    for place in range(0, len(ORDERS), 37):
        order = ORDERS[place]
        if order <= 70:
            assert divergence_at(event, order) <= bounds[place] * (1 + 1e-8)


@pytest.mark.parametrize("order", [1.2, 2.5, 3.586, 9.0])
def test_divergence_of_gaussian_noise_is_exact(order: float) -> None:
    assert order / 8 <= divergence_at(GAUSSIAN, order) <= order / 8 * (1 + 1e-11)
    repeated = RepeatedEvent(times=3, event=GAUSSIAN)
    assert 3 * order / 8 <= divergence_at(repeated, order) <= 3 * order / 8 * (1 + 1e-11)
    exact = sampled_gaussian_divergence(0.05, 2.0, order)
    assert exact <= divergence_at(sampled(GAUSSIAN), order) <= exact * (1 + 1e-11)


@pytest.mark.parametrize("event", [DISCRETE, SKELLAM])
@pytest.mark.parametrize("order", [1.3, 2.0, 2.5, 7.75])
def test_divergence_of_integer_noise_is_that_of_less_gaussian_noise(event: NoisyEvent, order: float) -> None:
    least = order / (2 * event.noise_multiplier**2)
    assert least <= divergence_at(event, order) <= least * 1.01


def exact_divergence_of_thin_noise(order: float) -> float:
    """Return D_a of Skellam noise of variance 0.5 and the same moved by 1, in one of its two coordinates."""
    from scipy.stats import skellam

    x = np.arange(-60, 61)
    law, moved = skellam.logpmf(x, 0.25, 0.25), skellam.logpmf(x - 1, 0.25, 0.25)
    return float(np.log(np.exp(order * moved + (1 - order) * law).sum())) / (order - 1)


@pytest.mark.parametrize("order", [1.2, 2.0, 2.5, 3.7])
def test_divergence_without_a_gaussian_is_a_bound(order: float) -> None:
    assert divergence_at(THIN, order) >= exact_divergence_of_thin_noise(order)
    ratio = np.exp((order - 1) * divergence_at(sampled(THIN), order))
    assert 1 < ratio < np.exp((order - 1) * divergence_at(THIN, order))


def test_divergence_of_thin_noise_is_infinite_where_no_order_is_computed() -> None:
    assert math.isfinite(divergence_at(sampled(THIN), 70_000.5))  # It has the bound without sampling.


def test_best_order_of_a_plan_has_the_least_epsilon() -> None:
    events: dict[PrivacyEvent, int] = {sampled(DISCRETE, 0.02): 200, GAUSSIAN: 1}
    delta = 1e-5

    def epsilon(order: float) -> float:
        spent = math.fsum(times * divergence_at(event, order) for event, times in events.items())
        return spent - renyi_budget(order, epsilon=1.0, delta=delta) + 1.0

    best = best_order(epsilon=4.0, delta=delta, events=events)
    assert all(epsilon(best) <= epsilon(1 + (best - 1) * factor) for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0))
    assert best != best_order(epsilon=4.0, delta=delta)


@pytest.mark.parametrize("order", [1.0, 0.5, -3.0, math.nan, math.inf, 2e6, None, "2", True])
def test_order_that_is_none_is_refused(order: float) -> None:
    with pytest.raises(InvalidParameter, match="order: expected"):
        checked_order(order)


def test_budget_that_no_order_reaches_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"epsilon: expected a budget that some Renyi order reaches"):
        best_order(epsilon=1e-9, delta=1e-12)


def test_plan_far_beyond_the_budget_is_refused_as_such() -> None:
    with pytest.raises(InvalidParameter, match=r"events: expected planned releases that fit epsilon 2 at delta 1e-05"):
        best_order(epsilon=2, delta=1e-5, events={GaussianEvent(noise_multiplier=1.0): 900})


@pytest.mark.parametrize(("sampling_rate", "noise_multiplier"), [(0.001, 3.0), (0.01, 10.0), (0.03, 5.0)])
def test_best_order_of_sampled_releases_of_much_noise(sampling_rate: float, noise_multiplier: float) -> None:
    noise = GaussianEvent(noise_multiplier=noise_multiplier, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE)
    event = PoissonSampledEvent(sampling_rate=sampling_rate, event=noise)
    order = best_order(epsilon=2, delta=1e-5, events={event: 100})
    left = renyi_budget(order, epsilon=2, delta=1e-5) - 100 * divergence_at(event, order)
    assert left > 0
    for other in (1 + (order - 1) / 2, 1 + (order - 1) * 2):
        assert renyi_budget(other, epsilon=2, delta=1e-5) - 100 * divergence_at(event, other) <= left
