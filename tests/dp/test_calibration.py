import dataclasses
import math
from typing import Any

import pytest

from dp.accounting import guarantee
from dp.calibration import calibrate_distributed, calibrate_gaussian
from dp.errors import InfeasibleTarget, InvalidParameter
from dp.events import GaussianEvent, NeighbouringRelation

TARGET: dict[str, Any] = {
    "epsilon": 8.0,
    "delta": 1e-3,
    "releases": 30,
    "l2_sensitivity": 1000.0,
    "dimension": 650,
    "minimum_contributors": 200,
}


@pytest.mark.parametrize(("epsilon", "delta", "releases"), [(0.1, 1e-9, 1), (1.0, 1e-6, 100), (8.0, 1e-3, 30)])
def test_calibrate_distributed_finds_the_least_noise(epsilon: float, delta: float, releases: int) -> None:
    found = calibrate_distributed(**TARGET | {"epsilon": epsilon, "delta": delta, "releases": releases})
    assert guarantee({found.event: releases}, delta=delta).epsilon <= epsilon
    less = dataclasses.replace(found, local_sigma=found.local_sigma * (1 - 1.1e-4))
    assert guarantee({less.event: releases}, delta=delta).epsilon > epsilon


def test_calibrate_distributed_matches_the_continuous_gaussian_on_a_fine_lattice() -> None:
    found = calibrate_distributed(**TARGET)
    continuous = calibrate_gaussian(epsilon=8.0, delta=1e-3, releases=30)
    assert found.noise_multiplier == pytest.approx(continuous, rel=2e-4)


def test_calibrate_distributed_never_goes_below_the_least_local_sigma() -> None:
    found = calibrate_distributed(**TARGET | {"l2_sensitivity": 1.0})
    assert found.local_sigma == 2.0
    assert guarantee({found.event: 30}, delta=1e-3).epsilon < 8.0


def test_calibrate_distributed_names_what_would_do() -> None:
    with pytest.raises(InfeasibleTarget, match=r"coarser lattice .*fewer releases, more contributors or a larger"):
        calibrate_distributed(**TARGET | {"l2_sensitivity": 1e15})


@pytest.mark.parametrize("relation", list(NeighbouringRelation))
def test_calibrate_gaussian_finds_the_least_noise(relation: NeighbouringRelation) -> None:
    found = calibrate_gaussian(epsilon=1.0, delta=1e-6, releases=50, relation=relation)

    def spent(multiplier: float) -> float:
        event = GaussianEvent(noise_multiplier=multiplier, relation=relation)
        return guarantee({event: 50}, delta=1e-6, relation=relation).epsilon

    assert spent(found) <= 1.0 < spent(found * (1 - 1.1e-4))


def test_calibrate_gaussian_names_what_would_do() -> None:
    with pytest.raises(InfeasibleTarget, match="fewer releases or a larger epsilon"):
        calibrate_gaussian(epsilon=1e-9, delta=1e-15, releases=10**9)


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": 0.0},
        {"epsilon": math.inf},
        {"delta": 0.0},
        {"delta": 1.0},
        {"releases": 0},
        {"releases": True},
        {"l2_sensitivity": -1.0},
        {"dimension": 0},
        {"minimum_contributors": 0},
        {"l2_sensitivity": 1e200},
        {"dimension": 10**400},
        {"releases": 10**400},
        {"epsilon": 10**400},
    ],
)
def test_calibrate_distributed_refuses_parameters(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match=next(iter(changes))):
        calibrate_distributed(**TARGET | changes)
