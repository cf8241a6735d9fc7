import dataclasses
import math
import pickle
from typing import Any

import pytest

from dp.accounting.guarantee import guarantee, is_within
from dp.accounting.privacy_loss import gaussian_epsilon
from dp.calibration.least_noise import (
    calibrate_gaussian,
    calibrate_noise,
    gaussian_multiplier,
    least_noise,
)
from dp.calibration.release_target import ReleaseTarget
from dp.errors import IncompatibleEvent, InfeasibleTarget, InvalidParameter, LatticeTooCoarse
from dp.events import GaussianEvent, NeighbouringRelation, PoissonSampledEvent, PrivacyEvent
from dp.noise.distributed import DistributedDiscreteGaussian, DistributedSkellam

TARGET: dict[str, Any] = {
    "epsilon": 8.0,
    "delta": 1e-3,
    "releases": 30,
    "l2_sensitivity": 1000.0,
    "dimension": 650,
    "minimum_contributors": 200,
}


SAMPLED: dict[str, Any] = {"relation": NeighbouringRelation.ADD_OR_REMOVE_ONE, "sampling_rate": 0.05}
BUDGETS = [(0.1, 1e-9, 1), (1.0, 1e-6, 100), (8.0, 1e-3, 30)]


@pytest.mark.parametrize("sampling", [{}, SAMPLED])
@pytest.mark.parametrize(("epsilon", "delta", "releases"), BUDGETS)
def test_calibrate_noise_finds_the_least_discrete_gaussian(
    epsilon: float, delta: float, releases: int, sampling: dict[str, Any]
) -> None:
    budget: dict[str, Any] = {"epsilon": epsilon, "delta": delta, "releases": releases}
    found = calibrate_noise(DistributedDiscreteGaussian, **TARGET | budget | sampling)
    target = ReleaseTarget(**budget | {"relation": NeighbouringRelation.ZERO_OUT, "sampling_rate": 1.0} | sampling)
    assert target.spent(found.event) <= epsilon
    less = dataclasses.replace(found, local_sigma=found.local_sigma * (1 - 1.1e-5))
    assert target.spent(less.event) > epsilon


@pytest.mark.parametrize("sampling", [{}, SAMPLED])
@pytest.mark.parametrize(("epsilon", "delta", "releases"), BUDGETS)
def test_calibrate_noise_finds_the_least_skellam(
    epsilon: float, delta: float, releases: int, sampling: dict[str, Any]
) -> None:
    budget: dict[str, Any] = {"epsilon": epsilon, "delta": delta, "releases": releases}
    found = calibrate_noise(DistributedSkellam, **TARGET | budget | sampling)
    target = ReleaseTarget(**budget | {"relation": NeighbouringRelation.ZERO_OUT, "sampling_rate": 1.0} | sampling)
    assert target.spent(found.event) <= epsilon
    less = dataclasses.replace(found, local_variance=found.local_variance * (1 - 1.1e-5))
    assert target.spent(less.event) > epsilon


def test_calibrate_noise_is_what_the_ledger_accounts() -> None:
    found = calibrate_noise(DistributedDiscreteGaussian, **TARGET)
    assert guarantee({found.event: 30}, delta=1e-3).epsilon <= 8.0


@pytest.mark.parametrize("sampling", [{}, SAMPLED])
def test_calibrate_noise_matches_the_continuous_gaussian_on_a_fine_lattice(sampling: dict[str, Any]) -> None:
    found = calibrate_noise(DistributedDiscreteGaussian, **TARGET | sampling)
    budget: dict[str, Any] = {"epsilon": 8.0, "delta": 1e-3, "releases": 30}
    target = ReleaseTarget(**budget | {"relation": NeighbouringRelation.ZERO_OUT, "sampling_rate": 1.0} | sampling)
    assert 1 <= found.noise_multiplier / gaussian_multiplier(target) < 1 + 1e-6


@pytest.mark.parametrize("sampling", [{}, SAMPLED])
def test_skellam_needs_as_little_as_the_discrete_gaussian_on_a_fine_lattice(sampling: dict[str, Any]) -> None:
    fine = TARGET | sampling | {"l2_sensitivity": 100_000.0}
    gaussian, skellam = (
        calibrate_noise(DistributedDiscreteGaussian, **fine),
        calibrate_noise(DistributedSkellam, **fine),
    )
    assert skellam.noise_multiplier == pytest.approx(gaussian.noise_multiplier, rel=1e-9)


def test_calibrate_noise_goes_by_renyi_where_no_gaussian_dominates() -> None:
    budget: dict[str, Any] = {"epsilon": 60.0, "delta": 1e-5, "releases": 1}
    size: dict[str, Any] = {"l2_sensitivity": 1.0, "dimension": 1, "minimum_contributors": 1}
    found = calibrate_noise(DistributedSkellam, **budget, **size)
    assert found.local_variance < 0.6
    spent = guarantee({found.event: 1}, delta=1e-5)
    assert spent.epsilon == spent.rdp_epsilon == pytest.approx(60.0, rel=1e-3)
    assert spent.pld_epsilon is None


COUNTS: dict[str, Any] = {
    "epsilon": 1.0,
    "delta": 1e-4,
    "releases": 1,
    "l2_sensitivity": 1.0,
    "dimension": 16,
    "minimum_contributors": 850,
}


def test_calibrate_noise_refuses_a_lattice_too_coarse_for_its_noise_and_names_the_scale() -> None:
    """The least share on unscaled counts is a noise multiplier of 58.3, where 3.19 is enough."""
    with pytest.raises(LatticeTooCoarse, match="Multiply the values and l2_sensitivity by 19") as caught:
        calibrate_noise(DistributedDiscreteGaussian, **COUNTS)
    assert caught.value.scale == 19
    assert pickle.loads(pickle.dumps(caught.value)).scale == 19
    found = calibrate_noise(DistributedDiscreteGaussian, **COUNTS | {"l2_sensitivity": 19.0})
    assert found.noise_multiplier == pytest.approx(3.1857, rel=1e-4)
    with pytest.raises(LatticeTooCoarse) as caught:
        calibrate_noise(DistributedDiscreteGaussian, **COUNTS | {"l2_sensitivity": 18.0})
    assert caught.value.scale == 2


@pytest.mark.parametrize("sampling", [{}, SAMPLED])
@pytest.mark.parametrize(
    ("mechanism", "contributors"),
    [(DistributedDiscreteGaussian, 200), (DistributedDiscreteGaussian, 2**50), (DistributedSkellam, 2**50)],
)
def test_a_lattice_is_never_so_coarse_that_noise_is_inflated(
    mechanism: Any, contributors: int, sampling: dict[str, Any]
) -> None:
    coarse = TARGET | sampling | {"l2_sensitivity": 0.25, "minimum_contributors": contributors}
    with pytest.raises(LatticeTooCoarse) as caught:
        calibrate_noise(mechanism, **coarse)
    found = calibrate_noise(mechanism, **coarse | {"l2_sensitivity": 0.25 * caught.value.scale})
    budget = {name: coarse[name] for name in ("epsilon", "delta", "releases")}
    target = ReleaseTarget(**budget | {"relation": NeighbouringRelation.ZERO_OUT, "sampling_rate": 1.0} | sampling)
    assert 0.99 * target.epsilon < target.spent(found.event) <= target.epsilon


@pytest.mark.parametrize("mechanism", [DistributedDiscreteGaussian, DistributedSkellam])
def test_calibrate_lattice_noise_names_what_would_do(mechanism: Any) -> None:
    with pytest.raises(
        InfeasibleTarget, match=r"coarser integer grid .*fewer releases or more contributors, or a larger"
    ):
        calibrate_noise(mechanism, **TARGET | {"l2_sensitivity": 1e15})


@pytest.mark.parametrize("mechanism", [DistributedDiscreteGaussian, DistributedSkellam])
def test_calibrate_lattice_noise_refuses_sampling_where_the_sample_is_public(mechanism: Any) -> None:
    with pytest.raises(IncompatibleEvent, match="sampling hides who takes part"):
        calibrate_noise(mechanism, **TARGET | {"sampling_rate": 0.5})


def gaussian_events(multiplier: float, releases: int, rate: float = 1.0) -> dict[PrivacyEvent, int]:
    event = GaussianEvent(noise_multiplier=multiplier, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE)
    return {event if rate == 1 else PoissonSampledEvent(sampling_rate=rate, event=event): releases}


@pytest.mark.parametrize("relation", list(NeighbouringRelation))
def test_calibrate_gaussian_is_exact_without_sampling(relation: NeighbouringRelation) -> None:
    found = calibrate_gaussian(epsilon=1.0, delta=1e-6, releases=50, relation=relation)
    event = GaussianEvent(noise_multiplier=found, relation=relation)
    assert guarantee({event: 50}, delta=1e-6, relation=relation).epsilon <= 1.0
    assert gaussian_epsilon(found * (1 - 1.1e-5) / math.sqrt(50), 1e-6) > 1.0


@pytest.mark.parametrize(
    ("epsilon", "sampling_rate", "releases"),
    [(0.5, 0.1, 1000), (2.0, 0.1, 1000), (1.0, 0.02, 1000), (0.05, 0.01, 100_000)],
)
def test_calibrate_gaussian_with_sampling_is_safe_and_nearly_least(
    epsilon: float, sampling_rate: float, releases: int
) -> None:
    relation = NeighbouringRelation.ADD_OR_REMOVE_ONE
    found = calibrate_gaussian(
        epsilon=epsilon, delta=1e-6, releases=releases, relation=relation, sampling_rate=sampling_rate
    )
    within = gaussian_events(found, releases, sampling_rate)
    assert is_within(within, epsilon=epsilon, delta=1e-6, relation=relation)
    beyond = gaussian_events(0.998 * found, releases, sampling_rate)
    assert not is_within(beyond, epsilon=epsilon, delta=1e-6, relation=relation)


def test_calibrate_gaussian_goes_by_renyi_where_nothing_else_applies() -> None:
    relation = NeighbouringRelation.ADD_OR_REMOVE_ONE
    budget: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-25, "releases": 1000} | SAMPLED
    found = calibrate_gaussian(**budget)
    by_renyi = ReleaseTarget(**budget).renyi_spent(GaussianEvent(noise_multiplier=found))
    assert by_renyi == pytest.approx(budget["epsilon"], rel=1e-4)
    spent = guarantee(gaussian_events(found, 1000, 0.05), delta=1e-25, relation=relation)
    assert spent.pld_epsilon == math.inf
    assert spent.epsilon <= 1.0


@pytest.mark.parametrize("epsilon", [120.0, 400.0, pytest.param(5000.0, marks=pytest.mark.long)])
def test_calibrate_gaussian_spends_a_large_epsilon(epsilon: float) -> None:
    """Every target from 120 to 700 got the noise of the same 111 once."""
    relation = NeighbouringRelation.ADD_OR_REMOVE_ONE
    found = calibrate_gaussian(epsilon=epsilon, delta=1e-5, releases=100, relation=relation, sampling_rate=0.1)
    spent = guarantee(gaussian_events(found, 100, 0.1), delta=1e-5, relation=relation)
    assert 0.99 * epsilon < spent.epsilon <= epsilon


def test_calibrate_gaussian_of_a_small_epsilon_is_tight() -> None:
    """The normal limit of many small losses needs a multiplier of q sqrt(releases) over that of one release."""
    relation = NeighbouringRelation.ADD_OR_REMOVE_ONE
    found = calibrate_gaussian(epsilon=1e-3, delta=1e-6, releases=1000, relation=relation, sampling_rate=0.01)
    one = calibrate_gaussian(epsilon=1e-3, delta=1e-6, releases=1, relation=relation)
    assert found == pytest.approx(0.01 * math.sqrt(1000) * one, rel=0.01)


def test_calibrate_gaussian_never_goes_below_the_least_multiplier() -> None:
    assert calibrate_gaussian(epsilon=1e9, delta=0.5, releases=1) == 1e-3


def test_calibrate_gaussian_names_what_would_do() -> None:
    with pytest.raises(InfeasibleTarget, match="fewer releases, or use a larger epsilon, which weakens the guarantee"):
        calibrate_gaussian(epsilon=1e-9, delta=1e-15, releases=10**9)


def test_calibrate_gaussian_refuses_sampling_where_the_sample_is_public() -> None:
    with pytest.raises(IncompatibleEvent, match="sampling hides who takes part"):
        calibrate_gaussian(epsilon=1.0, delta=1e-6, releases=10, sampling_rate=0.5)


@pytest.mark.parametrize("sampling_rate", [1.0, 0.1])
@pytest.mark.parametrize("multiplier", [0.001, 0.05, 3.0, 1e6])
def test_target_accounts_continuous_noise_as_lattice_noise(multiplier: float, sampling_rate: float) -> None:
    budget: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-6, "releases": 1}
    target = ReleaseTarget(**budget | SAMPLED | {"sampling_rate": sampling_rate})
    total = guarantee(gaussian_events(multiplier, 1, sampling_rate), delta=1e-6, relation=target.relation)
    assert target.renyi_spent(GaussianEvent(noise_multiplier=multiplier)) == pytest.approx(total.rdp_epsilon, rel=1e-9)


@pytest.mark.parametrize("start", [1e-3, 0.3, 7.0, 1e3, 1e6])
@pytest.mark.parametrize("epsilon", [0.01, 1.0, 300.0])
def test_least_noise_finds_it_from_anywhere(start: float, epsilon: float) -> None:
    asked: list[float] = []

    def spent(noise: float) -> float:
        asked.append(noise)
        return 0.0 if noise > 1e4 else math.inf if noise < 1e-2 else 5 / noise + 1 / noise**2

    found = least_noise(spent, epsilon=epsilon, lowest=1e-4, highest=1e5, start=start)
    assert found in asked
    assert spent(found) <= epsilon < spent(found * (1 - 1.1e-5))
    assert len(asked) < 30


def test_least_noise_at_the_ends() -> None:
    assert least_noise(lambda noise: 1 / noise, epsilon=1.0, lowest=2.0, highest=3.0, start=9.0) == 2.0
    assert least_noise(lambda noise: 1 / noise, epsilon=0.3, lowest=2.0, highest=3.0, start=1.0) == math.inf
    assert least_noise(lambda noise: 1 / noise, epsilon=1 / 3.0, lowest=2.0, highest=3.0, start=2.5) == 3.0


@pytest.mark.parametrize("mechanism", [DistributedDiscreteGaussian, DistributedSkellam])
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
        {"sampling_rate": 0.0},
        {"sampling_rate": 1.01},
        {"sampling_rate": math.nan},
        {"sampling_rate": True},
        {"relation": "zero-out"},
    ],
)
def test_calibrate_lattice_noise_refuses_parameters(changes: dict[str, Any], mechanism: Any) -> None:
    with pytest.raises(InvalidParameter, match=next(iter(changes))):
        calibrate_noise(mechanism, **TARGET | changes)


@pytest.mark.parametrize(
    "changes",
    [
        *({"epsilon": bad} for bad in (0.0, -1.0, math.nan, math.inf, True)),
        *({"delta": bad} for bad in (0.0, 1.0, -1e-6, math.nan, True)),
        *({"releases": bad} for bad in (0, -1, 1.0, True)),
        *({"sampling_rate": bad} for bad in (0.0, -0.1, 1.0001, math.nan, math.inf, True, "0.1")),
        {"relation": "zero-out"},
    ],
)
def test_calibrate_gaussian_refuses_parameters(changes: dict[str, Any]) -> None:
    given: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-6, "releases": 10} | SAMPLED
    with pytest.raises(InvalidParameter, match=next(iter(changes))):
        calibrate_gaussian(**given | changes)


@pytest.mark.parametrize("sampling_rate", [1e-300, 1e-160, 5e-324])
def test_calibration_refuses_rates_that_cannot_be_calculated_with(sampling_rate: float) -> None:
    with pytest.raises(InvalidParameter, match="sampling_rate"):
        calibrate_gaussian(
            epsilon=1.0,
            delta=1e-5,
            releases=10,
            relation=NeighbouringRelation.ADD_OR_REMOVE_ONE,
            sampling_rate=sampling_rate,
        )


def test_calibration_for_a_boundless_epsilon_ends() -> None:
    noise = calibrate_gaussian(
        epsilon=1e300,
        delta=1e-17,
        releases=1,
        relation=NeighbouringRelation.ADD_OR_REMOVE_ONE,
        sampling_rate=1e-12,
    )
    assert noise == 1e-3


def test_calibrate_noise_refuses_what_is_no_distributed_mechanism() -> None:
    with pytest.raises(InvalidParameter, match="mechanism: expected the class DistributedDiscreteGaussian or"):
        calibrate_noise(float, **TARGET)  # type: ignore[type-var]
