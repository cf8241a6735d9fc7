"""Exact Gaussian noise against multiple precision, sampled noise against the exact, and where neither is used."""

import itertools
import math
from typing import Any, Final

import dp_accounting
import dp_accounting.pld
import mpmath  # type: ignore[import-untyped]  # dp-accounting brings it; it has no type information
import pytest
from dp_accounting.pld import privacy_loss_distribution

from dp.accounting.discretisation import discretised
from dp.accounting.privacy_loss import gaussian_epsilon, loss_epsilon
from dp.accounting.privacy_loss_accountant import PrivacyLossAccountant
from dp.errors import InvalidParameter
from dp.events import GaussianEvent, NeighbouringRelation, PoissonSampledEvent, PrivacyEvent, SkellamEvent

pytestmark = pytest.mark.slow

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
    found = loss_epsilon({sampled(NEARLY_ALL, math.sqrt(rounds)): rounds}, delta=delta)
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
    found = loss_epsilon(mixed, delta=1e-6)
    assert gaussian_epsilon(composed, 1e-6) <= found.epsilon <= gaussian_epsilon(composed, 1e-6) + 1e-3


def test_unsampled_releases_compose_exactly() -> None:
    found = loss_epsilon({gaussian(3.0): 9, sampled(1.0, 4.0): 16}, delta=1e-7)
    assert found.epsilon == pytest.approx(gaussian_epsilon(math.sqrt(0.5), 1e-7), rel=1e-9)
    assert found.discretisation == 0


def test_fewer_points_give_a_coarser_grid_and_more_epsilon() -> None:
    events: dict[PrivacyEvent, int] = {sampled(0.01, 1.0): 1000}
    fine, coarse = (loss_epsilon(events, delta=1e-6, points=points) for points in (300_000, 5000))
    assert fine.discretisation == 1e-4 < coarse.discretisation
    assert fine.epsilon < coarse.epsilon < 1.05 * fine.epsilon


LATTICE: Final = SkellamEvent(variance=0.5, contributors=1, l2_sensitivity=1.0, dimension=1, relation=ADD_OR_REMOVE)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ({}, "nothing was released"),
        ({LATTICE: 1}, "no Gaussian noise is known to dominate Skellam noise of a variance below 0.6"),
        ({gaussian(1.0): 1, PoissonSampledEvent(sampling_rate=0.1, event=LATTICE): 1}, "no Gaussian noise"),
        ({sampled(0.1, 0.0009): 1}, "multiplier outside 0.001 to"),
        ({sampled(0.1, 1.0): 1, gaussian(1.0): 1_000_001}, "multiplier outside"),
        ({sampled(0.1, 2e9): 1}, "multiplier outside"),
        ({sampled(0.1, 1.0 + part / 100): 1 for part in range(17)}, "more than 16 different"),
    ],
)
def test_unsupported_reason_names_the_reason(events: Any, reason: str) -> None:
    found = PrivacyLossAccountant().unsupported_reason(events, 1e-6)
    assert found is not None
    assert reason in found


@pytest.mark.parametrize("events", [{}, {LATTICE: 1}, {LATTICE: 1, sampled(0.1, 1.0): 1}])
def test_loss_epsilon_refuses_other_noise(events: Any) -> None:
    with pytest.raises(InvalidParameter, match="Gaussian noise"):
        loss_epsilon(events, delta=1e-6)


def test_no_unsupported_reason_for_gaussian_noise() -> None:
    assert PrivacyLossAccountant().unsupported_reason({gaussian(1e-30): 2**53, sampled(1.0, 1e30): 1}, 1e-6) is None
    assert PrivacyLossAccountant().unsupported_reason({gaussian(1.0): 1, sampled(0.1, 1.0): 2**53}, 1e-6) is None


@pytest.mark.parametrize("delta", [1e-3, 1e-9, 1e-15])
@pytest.mark.parametrize("rounds", [1, 1000, 10**6, 10**8])
def test_composition_is_exact_at_any_delta_and_number_of_rounds(rounds: int, delta: float) -> None:
    found = loss_epsilon({sampled(NEARLY_ALL, 2 * math.sqrt(rounds)): rounds}, delta=delta)
    exact = gaussian_epsilon(2.0, delta)
    # Beyond a million rounds the grid is coarser, so that composing takes no longer.
    assert exact * (1 - 1e-8) <= found.epsilon <= exact * (1 + (2e-4 if rounds <= 10**6 else 6e-3))


def by_dp_accounting(sampling_rate: float, noise_multiplier: float, rounds: int, delta: float, grid: float) -> float:
    accountant = dp_accounting.pld.PLDAccountant(
        dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, value_discretization_interval=grid
    )
    gaussian_event = dp_accounting.GaussianDpEvent(noise_multiplier)
    accountant.compose(dp_accounting.PoissonSampledDpEvent(sampling_rate, gaussian_event), rounds)
    return float(accountant.get_epsilon(delta))


@pytest.mark.parametrize(
    ("sampling_rate", "noise_multiplier", "rounds", "delta", "grid"),
    [
        (0.1, 0.294, 100, 1e-5, 2e-3),  # Renyi DP has 706 here, and less is true on the other side of it
        (0.1, 0.2, 100, 1e-5, 1e-2),
        (0.01, 1.0, 1000, 1e-6, 1e-3),
        (0.01, 1300.0, 1000, 1e-6, 1e-7),
        (1e-4, 0.5, 10_000, 1e-6, 1e-3),
        (0.5, 20.0, 100, 1e-6, 1e-4),
    ],
)
def test_loss_epsilon_agrees_with_dp_accounting(
    sampling_rate: float, noise_multiplier: float, rounds: int, delta: float, grid: float
) -> None:
    found = loss_epsilon({sampled(sampling_rate, noise_multiplier): rounds}, delta=delta)
    assert found.epsilon == pytest.approx(
        by_dp_accounting(sampling_rate, noise_multiplier, rounds, delta, grid), rel=1e-3
    )


def test_loss_epsilon_has_no_jump_as_noise_falls() -> None:
    """Each noise is a quarter less than the one before, down to where epsilon is in the thousands."""
    for sampling_rate, rounds, delta in ((0.1, 100, 1e-5), (0.01, 1000, 1e-11)):
        found = [
            loss_epsilon({sampled(sampling_rate, 5 * 0.75**step): rounds}, delta=delta, points=3000).epsilon
            for step in range(16)
        ]
        assert found[-1] > 2000
        for less, more in itertools.pairwise(found):
            assert less < more < 3.5 * less


def test_the_grid_follows_the_losses_and_seldom_changes() -> None:
    grids = {loss_epsilon({sampled(0.01, 1300.0): rounds}, delta=1e-6).discretisation for rounds in (1, 10, 1000)}
    assert len(grids) == 1
    (grid,) = grids
    assert 0.005 < grid / (0.01 / 1300) < 0.02
    assert math.log2(1e-4 / grid).is_integer()


def test_discretised_losses_are_those_of_dp_accounting() -> None:
    """Masses and their sums differ by no more than the rounding of dp-accounting, which takes differences."""
    for sampling_rate, noise, grid in ((0.1, 0.294, 1e-2), (0.01, 1.0, 1e-3), (1.0, 1.0, 1e-2), (0.5, 10.0, 1e-3)):
        known = privacy_loss_distribution.from_gaussian_mechanism(
            noise, value_discretization_interval=grid, sampling_prob=sampling_rate
        )
        for ours, theirs in zip(
            discretised(sampling_rate, noise, grid), (known._pmf_remove, known._pmf_add), strict=True
        ):
            dense = theirs.to_dense_pmf()
            shift = dense._lower_loss - ours.lowest
            for index, mass in enumerate(dense._probs):
                if 0 <= index + shift < len(ours.logarithms):
                    assert math.exp(ours.logarithms[index + shift]) == pytest.approx(mass, abs=1e-10)
            assert math.fsum(map(math.exp, ours.logarithms)) + ours.infinite == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("noise", [1e-3, 0.05, 1.0, 1e5])
@pytest.mark.parametrize("sampling_rate", [1e-6, 0.3, 1 - 1e-9, 1.0])
def test_discretised_losses_bound_the_divergence_at_every_epsilon(sampling_rate: float, noise: float) -> None:
    """M against P at epsilon is q times the unsampled one at log(1 + (exp(epsilon) - 1) / q), exactly."""
    reached = 1 / (2 * noise**2) + 10 / noise
    grid = max(math.log1p(sampling_rate * math.expm1(min(reached, 600.0))), reached - 600.0) / 200
    removed, _ = discretised(sampling_rate, noise, grid)
    losses = [(removed.lowest + index) * grid for index in range(len(removed.logarithms))]
    with mpmath.workdps(60):
        for epsilon in (losses[-1] * part for part in (0.0, 0.03, 0.11, 0.307)):
            unsampled = mpmath.log1p(mpmath.expm1(epsilon) / sampling_rate)
            exact = sampling_rate * exact_delta(unsampled, noise)
            found = removed.infinite + mpmath.fsum(
                mpmath.exp(logarithm) * -mpmath.expm1(epsilon - loss)
                for loss, logarithm in zip(losses, removed.logarithms, strict=True)
                if loss > epsilon and logarithm > -1e5
            )
            assert exact * (1 - 1e-10) <= found <= 3 * exact + 1e-20
