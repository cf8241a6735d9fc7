import dataclasses
import math
from typing import Any

import pytest

from dp.accounting.guarantee import guarantee
from dp.accounting.privacy_loss import gaussian_epsilon
from dp.calibration.least_noise import calibrate_noise
from dp.calibration.modular import ModularPlan, plan_modulus, rounded_norm
from dp.errors import InfeasibleTarget, InvalidParameter
from dp.events import DistributedDiscreteGaussianEvent, NeighbouringRelation, PoissonSampledEvent, SkellamEvent
from dp.noise.distributed import DistributedDiscreteGaussian, LatticeNoise

SETTING: dict[str, Any] = {
    "bits": 16,
    "clip_l2": 1.0,
    "clients": 100,
    "dimension": 2**20,
    "releases": 1500,
    "sampling_rate": 100 / 3400,
    "epsilon": 6.0,
    "delta": 1 / 3400,
}
SMALL: dict[str, Any] = SETTING | {"dimension": 650, "clients": 20, "releases": 10, "sampling_rate": 1.0}


def spread(plan: ModularPlan, granularity: float, noise_std: float) -> float:
    """The standard deviation of a coordinate of the sum, in the update's units."""
    clients, dimension = plan.mechanism.minimum_contributors, plan.mechanism.dimension
    signal = (plan.clip_l2 * clients) ** 2 / dimension
    return math.sqrt(signal + clients * granularity**2 / 4 + noise_std**2)


@pytest.mark.parametrize("noise", list(LatticeNoise))
@pytest.mark.parametrize("epsilon", [3.0, 6.0, 10.0])
@pytest.mark.parametrize(("bits", "most"), [(16, 1.006), (18, 1.0005)])
def test_plan_modulus_reaches_the_published_figures(
    bits: int, most: float, epsilon: float, noise: LatticeNoise
) -> None:
    """They compare with continuous noise by its own accountant."""
    plan = plan_modulus(**SETTING | {"bits": bits, "epsilon": epsilon, "noise": noise})
    assert 1 < plan.noise_ratio <= most


def test_plan_modulus_measures_against_the_least_continuous_noise() -> None:
    plan = plan_modulus(**SETTING)
    unsampled = plan_modulus(**SMALL)
    known = gaussian_epsilon(unsampled.gaussian_std / math.sqrt(SMALL["releases"]), SMALL["delta"])
    assert known == pytest.approx(SMALL["epsilon"], rel=1e-4)
    assert plan.noise_ratio == plan.noise_std / plan.gaussian_std > 1


def test_plan_modulus_sizes_shares_for_those_that_are_relied_on() -> None:
    everyone, fewer = plan_modulus(**SETTING), plan_modulus(**SETTING | {"relied_on": 80})
    assert fewer.mechanism.minimum_contributors == 80
    assert fewer.noise_std == pytest.approx(everyone.noise_std, rel=1e-3)
    assert fewer.local_sigma * fewer.granularity > 1.1 * everyone.local_sigma * everyone.granularity
    all_noise = fewer.granularity * fewer.local_sigma * 10
    signal = (fewer.clip_l2 * 100) ** 2 / SETTING["dimension"]
    spread_of_all = math.sqrt(signal + 100 * fewer.granularity**2 / 4 + all_noise**2)
    assert 2**16 * fewer.granularity >= 2 * 4 * spread_of_all
    with pytest.raises(InvalidParameter, match="relied_on: expected at most 100"):
        plan_modulus(**SETTING | {"relied_on": 101})


@pytest.mark.parametrize(
    ("noise", "event"),
    [(LatticeNoise.DISCRETE_GAUSSIAN, DistributedDiscreteGaussianEvent), (LatticeNoise.SKELLAM, SkellamEvent)],
)
@pytest.mark.parametrize("setting", [SETTING, SMALL])
def test_plan_modulus_stays_within_the_budget(setting: dict[str, Any], noise: LatticeNoise, event: type) -> None:
    plan = plan_modulus(**setting | {"noise": noise})
    spent = guarantee(
        {plan.event: setting["releases"]}, delta=setting["delta"], relation=NeighbouringRelation.ADD_OR_REMOVE_ONE
    )
    assert plan.spent == spent.epsilon <= setting["epsilon"]
    assert plan.spent == pytest.approx(setting["epsilon"], rel=1e-4)
    assert isinstance(plan.event.event if isinstance(plan.event, PoissonSampledEvent) else plan.event, event)
    assert isinstance(plan.event, PoissonSampledEvent) is (setting["sampling_rate"] < 1)
    assert plan.event.noise_multiplier == pytest.approx(plan.mechanism.noise_multiplier, rel=1e-12)


@pytest.mark.parametrize("noise", list(LatticeNoise))
def test_plan_modulus_has_room_for_the_deviations(noise: LatticeNoise) -> None:
    plan = plan_modulus(**SETTING | {"clip_l2": 0.03, "deviations": 5.0, "noise": noise})
    assert plan.noise_std == pytest.approx(plan.granularity * plan.local_sigma * 10, rel=1e-12)
    assert 2**16 * plan.granularity >= 2 * 5 * spread(plan, plan.granularity, plan.noise_std)
    assert plan.mechanism.l2_sensitivity == rounded_norm(0.03 / plan.granularity, 2**20)


def test_plan_modulus_has_room_for_the_rounding() -> None:
    lone = SMALL | {"clients": 1, "dimension": 1, "bits": 4, "epsilon": 60.0, "noise": LatticeNoise.SKELLAM}
    plan = plan_modulus(**lone)
    needed = 2 * 4 * spread(plan, plan.granularity, plan.noise_std)
    assert needed <= 2**4 * plan.granularity < 1.001 * needed


def test_plan_modulus_chooses_the_finest_lattice() -> None:
    plan = plan_modulus(**SETTING)
    finer = 0.9999 * plan.granularity
    needed = calibrate_noise(
        DistributedDiscreteGaussian,
        epsilon=plan.target.epsilon,
        delta=plan.target.delta,
        releases=plan.target.releases,
        l2_sensitivity=rounded_norm(plan.clip_l2 / finer, plan.mechanism.dimension),
        dimension=plan.mechanism.dimension,
        minimum_contributors=plan.mechanism.minimum_contributors,
        relation=plan.target.relation,
        sampling_rate=plan.target.sampling_rate,
    )
    assert 2**16 * finer < 2 * 4 * spread(plan, finer, needed.central_sigma * finer)


def test_plan_modulus_is_the_same_in_other_units() -> None:
    one, other = plan_modulus(**SETTING), plan_modulus(**SETTING | {"clip_l2": 1000.0})
    assert other.granularity == pytest.approx(1000 * one.granularity, rel=1e-12)
    assert other.noise_ratio == pytest.approx(one.noise_ratio, rel=1e-12)
    assert other.wrap_probability == pytest.approx(one.wrap_probability, rel=1e-9)


def test_plan_modulus_says_what_deviations_are_worth() -> None:
    four, ten = plan_modulus(**SETTING), plan_modulus(**SETTING | {"bits": 20, "deviations": 10.0})
    assert 2 * math.exp(-8) < four.wrap_probability < 1.1 * 2 * math.exp(-8)
    assert four.any_wrap_probability == 1
    assert 2 * math.exp(-50) < ten.wrap_probability < 1.1 * 2 * math.exp(-50)
    assert ten.any_wrap_probability == 2**20 * ten.wrap_probability < 1e-15


@pytest.mark.parametrize("noise", list(LatticeNoise))
def test_plan_modulus_with_bits_to_spare_keeps_to_shares_that_can_be_drawn(noise: LatticeNoise) -> None:
    plan = plan_modulus(**SETTING | {"bits": 62, "noise": noise})
    assert 1 < plan.noise_ratio < 1.0005
    limit = 2.0**40 if noise is LatticeNoise.DISCRETE_GAUSSIAN else 2.0**16
    assert 0.999 * limit < plan.local_sigma <= limit
    assert plan.wrap_probability == 0


def test_plan_modulus_refuses_a_lattice_whose_thinnest_shares_are_more_noise_than_is_needed() -> None:
    setting = SMALL | {"clients": 10_000, "dimension": 16}
    with pytest.raises(InfeasibleTarget, match=r"fine enough for such small noise shares\. Use 2\d bits\.") as caught:
        plan_modulus(**setting)
    plan = plan_modulus(**setting | {"bits": int(str(caught.value).split()[-2])})
    assert plan.local_sigma >= 2
    assert plan.noise_ratio < 1.1
    assert plan.spent > 0.999 * plan.target.epsilon
    skellam = plan_modulus(**setting | {"noise": LatticeNoise.SKELLAM})
    assert skellam.local_sigma < 2
    assert 1 < skellam.noise_ratio < 1.5


@pytest.mark.parametrize("noise", list(LatticeNoise))
@pytest.mark.parametrize("changes", [{"bits": 8}, {"bits": 12, "epsilon": 3.0}, {"bits": 2, "clients": 10**6}])
def test_plan_modulus_names_the_bits_that_would_do(changes: dict[str, Any], noise: LatticeNoise) -> None:
    setting = SETTING | changes | {"noise": noise}
    with pytest.raises(InfeasibleTarget, match=r"A modulus of \d+ bits has no room .*\. Use \d+ bits\.") as caught:
        plan_modulus(**setting)
    enough = int(str(caught.value).split()[-2])
    assert plan_modulus(**setting | {"bits": enough}).bits == enough > setting["bits"]
    with pytest.raises(InfeasibleTarget, match=f"Use {enough} bits"):
        plan_modulus(**setting | {"bits": enough - 1})


def test_plan_modulus_names_what_would_do_where_no_modulus_does() -> None:
    with pytest.raises(InfeasibleTarget, match=r"no modulus of at most 62 bits .*fewer clients or deviations"):
        plan_modulus(**SMALL | {"dimension": 1, "clients": 2**53, "deviations": 1000.0})
    with pytest.raises(
        InfeasibleTarget, match=r"coarsest useful integer grid\. Use more clients or fewer releases, or a larger"
    ):
        plan_modulus(**SETTING | {"clients": 1, "epsilon": 1e-5, "bits": 62, "noise": LatticeNoise.SKELLAM})
    with pytest.raises(InfeasibleTarget, match=r"needs a noise multiplier above 1e\+12"):
        plan_modulus(**SMALL | {"epsilon": 1e-9, "delta": 1e-15, "releases": 10**9})


@pytest.mark.parametrize(
    ("norm", "dimension", "bound"),
    [(3.0, 4, math.sqrt(14)), (0.1, 1, math.sqrt(0.01 + 0.25 + 0.1 + 0.5)), (0.001, 10**6, math.sqrt(250500.001001))],
)
def test_rounded_norm_is_that_of_theorem_1(norm: float, dimension: int, bound: float) -> None:
    assert rounded_norm(norm, dimension) == pytest.approx(bound, rel=1e-14)


def test_rounded_norm_is_never_above_the_longest_rounding() -> None:
    # One coordinate is at most one step longer, and so much it is where the second bound is above it.
    assert rounded_norm(0.5, 1) == pytest.approx(math.sqrt(1.5), rel=1e-14)
    assert rounded_norm(1e-9, 1) == pytest.approx(math.sqrt(0.75), rel=1e-8)


def test_modular_plan_cannot_be_changed() -> None:
    plan: Any = plan_modulus(**SMALL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.noise_std = 0.0


@pytest.mark.parametrize(
    "changes",
    [
        *({"bits": bad} for bad in (1, 63, 16.0, True)),
        *({"clip_l2": bad} for bad in (0.0, -1.0, math.nan, math.inf, True, 1e31)),
        *({"clients": bad} for bad in (0, -1, 1.0, True)),
        *({"dimension": bad} for bad in (0, -1, 1.0, True)),
        *({"releases": bad} for bad in (0, -1, 1.0, True)),
        *({"sampling_rate": bad} for bad in (0.0, -0.1, 1.1, math.nan, True)),
        *({"epsilon": bad} for bad in (0.0, -1.0, math.nan, math.inf, True)),
        *({"delta": bad} for bad in (0.0, 1.0, -1e-6, math.nan, True)),
        *({"deviations": bad} for bad in (0.0, 0.99, 1001, -4.0, math.nan, math.inf, True)),
        {"noise": "distributed Skellam"},
    ],
)
def test_plan_modulus_refuses_parameters(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match=next(iter(changes))):
        plan_modulus(**SETTING | changes)


@pytest.mark.parametrize("bits", [18, 24, 30, 62])
@pytest.mark.parametrize(("clients", "epsilon", "dimension"), [(100, 6.0, 1024), (20, 3.0, 650)])
def test_plan_modulus_without_sampling_finds_skellam_shares_on_any_finer_modulus(
    bits: int, clients: int, epsilon: float, dimension: int
) -> None:
    """Unsampled Skellam noise costs more than the continuous one since it is accounted at integer orders."""
    plan = plan_modulus(
        bits=bits,
        clip_l2=1.0,
        clients=clients,
        dimension=dimension,
        releases=10,
        sampling_rate=1.0,
        epsilon=epsilon,
        delta=clients**-1.1,
        noise=LatticeNoise.SKELLAM,
        relation=NeighbouringRelation.ZERO_OUT,
    )
    assert plan.spent <= epsilon
    assert plan.local_sigma <= 2.0**16
    assert plan.noise_ratio < 1.05
    assert plan.event.relation is NeighbouringRelation.ZERO_OUT


def test_plan_modulus_takes_the_name_of_its_noise() -> None:
    asked: dict[str, Any] = {
        "bits": 24, "clip_l2": 1.0, "clients": 100, "dimension": 64, "releases": 5, "sampling_rate": 1.0,
        "epsilon": 6.0, "delta": 1e-3, "relation": NeighbouringRelation.ZERO_OUT,
    }  # fmt: skip
    assert plan_modulus(**asked, noise="skellam") == plan_modulus(**asked, noise=LatticeNoise.SKELLAM)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="noise: expected discrete-gaussian or skellam"):
        plan_modulus(**asked, noise="gaussian")  # type: ignore[arg-type]
