"""Exact Gaussian noise against multiple precision, sampled noise against the exact, and where neither is used."""

import math
from typing import Any, Final

import mpmath  # type: ignore[import-untyped]  # dp-accounting brings it; it has no type information
import pytest

from dp.errors import InvalidParameter
from dp.events import GaussianEvent, NeighbouringRelation, PoissonSampledEvent, PrivacyEvent, SkellamEvent
from dp.loss import gaussian_epsilon, loss_epsilon, why_not

ADD_OR_REMOVE: Final = NeighbouringRelation.ADD_OR_REMOVE_ONE
NEARLY_ALL: Final = 1 - 1e-12


def gaussian(noise_multiplier: float) -> GaussianEvent:
    return GaussianEvent(noise_multiplier=noise_multiplier, relation=ADD_OR_REMOVE)


def sampled(sampling_rate: float, noise_multiplier: float) -> PoissonSampledEvent:
    return PoissonSampledEvent(sampling_rate=sampling_rate, event=gaussian(noise_multiplier))


def exact_delta(epsilon: float, noise_multiplier: float) -> Any:
    """Compute Theorem 8 of Balle and Wang, arXiv 1805.06530v2, in multiple precision."""
    change, at = 1 / mpmath.mpf(noise_multiplier), mpmath.mpf(epsilon)
    less, more = (mpmath.ncdf(half - at / change) for half in (change / 2, -change / 2))
    return less - mpmath.exp(at) * more


@pytest.mark.parametrize("delta", [0.5, 1e-3, 1e-9, 1e-100, 1e-300])
@pytest.mark.parametrize("noise_multiplier", [1e-3, 0.1, 1.0, 10.0, 999.0, 1001.0, 1e5, 1e12])
def test_gaussian_epsilon_is_exact_from_above(noise_multiplier: float, delta: float) -> None:
    epsilon = gaussian_epsilon(noise_multiplier, delta)
    with mpmath.workdps(100):
        assert exact_delta(epsilon, noise_multiplier) <= delta
        # Less the last places that epsilon is rounded up by, and the 1e-8 of delta that rounding is allowed.
        assert epsilon == 0 or exact_delta(epsilon * (1 - 1e-15), noise_multiplier) > delta * (1 - 3e-8)


def test_gaussian_epsilon_holds_at_the_ends_of_float64() -> None:
    assert gaussian_epsilon(1e-40, 1e-5) == pytest.approx(5e79, rel=1e-9)
    assert 0 < gaussian_epsilon(1e30, 1e-320) < 1e-27
    assert gaussian_epsilon(1.0, NEARLY_ALL) == 0


@pytest.mark.parametrize("rounds", [9, 10_000])
@pytest.mark.parametrize("delta", [1e-6, 1e-9])
def test_sampling_nearly_all_is_never_below_the_exact_gaussian(rounds: int, delta: float) -> None:
    found = loss_epsilon({sampled(NEARLY_ALL, math.sqrt(rounds)): rounds}, delta=delta, at_most=50.0)
    exact = gaussian_epsilon(1.0, delta)
    assert exact <= found.epsilon <= exact + 5e-4
    assert found.discretisation == 1e-4


def test_different_releases_compose_to_the_exact_gaussian() -> None:
    mixed: dict[PrivacyEvent, int] = {
        gaussian(4.0): 2,
        sampled(1.0, 5.0): 3,
        sampled(NEARLY_ALL, 6.0): 5,
        sampled(NEARLY_ALL, 8.0): 7,
    }
    # Sampling at rate 1 is none, also beside the same release without it.
    mixed[sampled(1.0, 4.0)] = 1
    composed = 1 / math.sqrt(3 / 16 + 3 / 25 + 5 / 36 + 7 / 64)
    found = loss_epsilon(mixed, delta=1e-6, at_most=50.0)
    assert gaussian_epsilon(composed, 1e-6) <= found.epsilon <= gaussian_epsilon(composed, 1e-6) + 1e-3


def test_unsampled_releases_compose_exactly() -> None:
    found = loss_epsilon({gaussian(3.0): 9, sampled(1.0, 4.0): 16}, delta=1e-7, at_most=50.0)
    assert found.epsilon == pytest.approx(gaussian_epsilon(math.sqrt(0.5), 1e-7), rel=1e-9)
    assert found.discretisation == 0


def test_fewer_points_give_a_coarser_grid_and_more_epsilon() -> None:
    events: dict[PrivacyEvent, int] = {sampled(0.01, 1.0): 1000}
    fine, coarse = (loss_epsilon(events, delta=1e-6, at_most=5.0, points=points) for points in (300_000, 5000))
    assert fine.discretisation == 1e-4 < coarse.discretisation
    assert fine.epsilon < coarse.epsilon < 1.05 * fine.epsilon


LATTICE: Final = SkellamEvent(variance=4.0, contributors=1, l2_sensitivity=1.0, dimension=1, relation=ADD_OR_REMOVE)


@pytest.mark.parametrize(
    ("events", "delta", "at_most", "reason"),
    [
        ({}, 1e-6, 0.0, "nothing was released"),
        ({LATTICE: 1}, 1e-6, 5.0, "other than Gaussian"),
        ({gaussian(1.0): 1, PoissonSampledEvent(sampling_rate=0.1, event=LATTICE): 1}, 1e-6, 5.0, "other than"),
        ({sampled(0.1, 1.0): 1}, 1e-10, 5.0, "delta below 1e-09"),
        ({sampled(0.1, 0.09): 1}, 1e-6, 5.0, "multiplier outside 0.1 to"),
        ({sampled(0.1, 1.0): 1, gaussian(1.0): 101}, 1e-6, 5.0, "multiplier outside"),
        ({sampled(0.1, 2e5): 1}, 1e-6, 5.0, "multiplier outside"),
        ({sampled(0.1, 1.0): 1_000_001}, 1e-6, 5.0, "more than 1000000 sampled"),
        ({sampled(0.1, 1.0 + part / 100): 1 for part in range(17)}, 1e-6, 5.0, "more than 16 different"),
        ({sampled(0.1, 1.0): 1}, 1e-6, 701.0, "epsilon beyond 700"),
    ],
)
def test_why_not_names_the_reason(events: Any, delta: float, at_most: float, reason: str) -> None:
    found = why_not(events, delta=delta, at_most=at_most)
    assert found is not None
    assert reason in found


@pytest.mark.parametrize("events", [{}, {LATTICE: 1}, {LATTICE: 1, sampled(0.1, 1.0): 1}])
def test_loss_epsilon_refuses_other_noise(events: Any) -> None:
    with pytest.raises(InvalidParameter, match="Gaussian noise"):
        loss_epsilon(events, delta=1e-6, at_most=5.0)


def test_why_not_has_nothing_against_gaussian_noise() -> None:
    assert why_not({gaussian(1e-30): 2**53, sampled(1.0, 1e30): 1}, delta=1e-300, at_most=1e90) is None
    assert why_not({gaussian(1.0): 1, sampled(0.1, 1.0): 1_000_000}, delta=1e-9, at_most=700.0) is None
