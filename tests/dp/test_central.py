import math
from typing import Any

import pytest

from dp.central import (
    RELATION,
    subsampled_gaussian_epsilon,
    subsampled_gaussian_guarantee,
    subsampled_gaussian_noise,
)
from dp.errors import InfeasibleTarget, InvalidParameter
from dp.events import NeighbouringRelation, PrivacyUnit

ROUNDS: dict[str, Any] = {"sampling": 0.1, "noise_multiplier": 8.0, "rounds": 1000, "delta": 1e-6}
TARGET: dict[str, Any] = {"epsilon": 2.0, "sampling": 0.1, "rounds": 1000, "delta": 1e-6}


@pytest.mark.parametrize(
    ("sampling", "noise_multiplier", "rounds", "epsilon"),
    [(0.001, 0.5, 1000, 4.235), (0.01, 1, 10_000, 6.907), (0.1, 8, 10_000, 6.354), (0.01, 2, 100_000, 8.985)],
)
def test_subsampled_gaussian_reaches_the_published_figures(
    sampling: float, noise_multiplier: float, rounds: int, epsilon: float
) -> None:
    found = subsampled_gaussian_guarantee(
        sampling=sampling, noise_multiplier=noise_multiplier, rounds=rounds, delta=1e-6
    )
    assert found.pld_epsilon == pytest.approx(epsilon, abs=0.002)
    assert found.epsilon == found.pld_epsilon <= found.rdp_epsilon < 1.3 * found.pld_epsilon
    assert found.discretisation == 1e-4
    assert not found.rdp_order_at_edge
    assert found.relation is RELATION is NeighbouringRelation.ADD_OR_REMOVE_ONE
    assert found.unit is PrivacyUnit.CLIENT


@pytest.mark.parametrize("rounds", [1, 10_000])
@pytest.mark.parametrize("sampling", [1.0, 1 - 1e-12])
@pytest.mark.parametrize("delta", [1e-6, 1e-9])
def test_subsampled_gaussian_is_never_below_the_exact_gaussian(rounds: int, sampling: float, delta: float) -> None:
    epsilon = subsampled_gaussian_epsilon(
        sampling=sampling, noise_multiplier=math.sqrt(rounds), rounds=rounds, delta=delta
    )

    def normal(z: float) -> float:
        return math.erfc(-z / math.sqrt(2)) / 2

    def exact(at: float) -> float:  # Balle and Wang, arXiv 1805.06530, for a sensitivity of one deviation
        return normal(0.5 - at) - math.exp(at) * normal(-0.5 - at)

    assert exact(epsilon) <= delta < exact(epsilon - 5e-4)


def test_subsampled_gaussian_takes_renyi_where_the_grid_is_coarse() -> None:
    found = subsampled_gaussian_guarantee(sampling=0.01, noise_multiplier=1000.0, rounds=1_000_000, delta=1e-6)
    assert found.epsilon == found.rdp_epsilon < found.pld_epsilon


def test_subsampled_gaussian_reports_an_order_at_the_edge() -> None:
    found = subsampled_gaussian_guarantee(sampling=0.5, noise_multiplier=0.5, rounds=1000, delta=1e-6)
    assert found.rdp_order_at_edge
    assert found.rdp_order == 1.1
    assert found.discretisation > 1e-4


@pytest.mark.parametrize(
    "more_private", [{"sampling": 0.09}, {"noise_multiplier": 9.0}, {"rounds": 900}, {"delta": 1e-5}]
)
def test_subsampled_gaussian_epsilon_is_monotone(more_private: dict[str, Any]) -> None:
    assert 0 < subsampled_gaussian_epsilon(**ROUNDS | more_private) < subsampled_gaussian_epsilon(**ROUNDS)


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": 0.5},
        {"epsilon": 20.0},
        {"sampling": 1.0, "rounds": 50},
        {"sampling": 0.001, "epsilon": 4.0},
        {"sampling": 0.01, "epsilon": 0.05, "rounds": 1_000_000},
    ],
)
def test_subsampled_gaussian_noise_is_safe_and_nearly_least(changes: dict[str, Any]) -> None:
    target = TARGET | changes
    noise = subsampled_gaussian_noise(**target)
    epsilon = target.pop("epsilon")
    assert subsampled_gaussian_epsilon(noise_multiplier=noise, **target) <= epsilon
    assert subsampled_gaussian_epsilon(noise_multiplier=0.995 * noise, **target) > epsilon


def test_subsampled_gaussian_noise_names_what_would_do() -> None:
    with pytest.raises(InfeasibleTarget, match="fewer rounds, less sampling or a larger epsilon"):
        subsampled_gaussian_noise(epsilon=1e-9, sampling=1.0, rounds=1_000_000, delta=1e-9)


BAD_VALUES: dict[str, list[Any]] = {
    "sampling": [0.0, -0.1, 1.0001, math.nan, math.inf, True, "0.1", 10**400],
    "rounds": [0, -1, 1.0, True, 1_000_001],
    "delta": [0.0, 1.0, -1e-6, math.nan, 1e-10, True],
}
BAD_SHARED: list[dict[str, Any]] = [{name: value} for name, values in BAD_VALUES.items() for value in values]


@pytest.mark.parametrize(
    "changes",
    [*BAD_SHARED, *({"noise_multiplier": bad} for bad in (0, 0.0, -1.0, math.nan, math.inf, True, 0.09, 2e6))],
)
def test_subsampled_gaussian_epsilon_refuses_parameters(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match=next(iter(changes))):
        subsampled_gaussian_epsilon(**ROUNDS | changes)


@pytest.mark.parametrize("changes", [*BAD_SHARED, *({"epsilon": bad} for bad in (0.0, -1.0, math.nan, math.inf, True))])
def test_subsampled_gaussian_noise_refuses_parameters(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match=next(iter(changes))):
        subsampled_gaussian_noise(**TARGET | changes)


def test_subsampled_gaussian_guarantee_refuses_a_unit_that_is_none() -> None:
    unit: Any = "client"
    with pytest.raises(InvalidParameter, match="unit"):
        subsampled_gaussian_guarantee(**ROUNDS, unit=unit)
