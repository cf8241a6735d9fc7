"""Integer noise needs no more than continuous Gaussian noise does, by its own exact account: the published figures."""

import math
from typing import Any, Final

import pytest

from dp.accounting.guarantee import guarantee
from dp.accounting.privacy_loss import gaussian_epsilon
from dp.calibration.least_noise import gaussian_multiplier
from dp.calibration.modular import plan_modulus
from dp.events import NeighbouringRelation
from dp.noise.distributed import LatticeNoise

MOST: Final = 1.0005
SUM: Final[dict[str, Any]] = {"clip_l2": 1.0, "sampling_rate": 1.0, "relation": NeighbouringRelation.ZERO_OUT}
ALL: Final[dict[str, Any]] = SUM | {"bits": 24, "clients": 300, "dimension": 650, "releases": 30, "delta": 1e-3}
COHORT: Final[dict[str, Any]] = SUM | {"clients": 100, "dimension": 2**20, "releases": 45, "delta": 1 / 3400}


@pytest.mark.parametrize("noise", list(LatticeNoise))
@pytest.mark.parametrize("epsilon", [8.0, 4.0, 2.0])
def test_noise_of_all_clients_is_within_a_part_of_5e_4_of_continuous_noise(epsilon: float, noise: LatticeNoise) -> None:
    plan = plan_modulus(**ALL | {"epsilon": epsilon, "noise": noise})
    continuous = gaussian_multiplier(plan.target)
    assert gaussian_epsilon(continuous / math.sqrt(30), 1e-3) == pytest.approx(epsilon, rel=1e-4)
    assert plan.mechanism.noise_multiplier <= MOST * continuous
    assert plan.noise_ratio <= MOST
    spent = guarantee({plan.event: 30}, delta=1e-3)
    assert 0.9999 * epsilon < spent.epsilon <= epsilon
    assert spent.rdp_epsilon > 1.05 * epsilon


@pytest.mark.parametrize("noise", list(LatticeNoise))
@pytest.mark.parametrize("bits", [18, 20, 24])
@pytest.mark.parametrize(("epsilon", "multiplier"), [(3.0, 7.6385950), (6.0, 4.3312430), (10.0, 2.9038416)])
def test_noise_of_a_cohort_is_within_a_part_of_5e_4_of_continuous_noise(
    epsilon: float, multiplier: float, bits: int, noise: LatticeNoise
) -> None:
    """A hundred of 3,400 clients take part in each of 1,500 rounds, each of them in 45.

    At 18 bits, rounding to the grid adds to the norm that is protected. That is no part of the noise multiplier.
    """
    plan = plan_modulus(**COHORT | {"epsilon": epsilon, "bits": bits, "noise": noise})
    assert gaussian_multiplier(plan.target) == pytest.approx(multiplier, rel=1e-5)
    assert plan.mechanism.noise_multiplier <= MOST * gaussian_multiplier(plan.target)
    assert plan.noise_ratio <= (1.0075 if bits == 18 else MOST)
    spent = guarantee({plan.event: 45}, delta=COHORT["delta"])
    assert 0.9999 * epsilon < spent.epsilon <= epsilon
