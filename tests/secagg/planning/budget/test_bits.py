"""The bits of a plan are those that a run would choose."""

from typing import Any

import pytest

from dp.noise.distributed import LatticeNoise
from protocols import PlainSum
from secagg.aggregation.mean import SecureMean, Target
from secagg.planning.budget.bits import chosen_bits
from secagg.planning.budget.plan import plan
from secagg.planning.budget.request import BudgetRequest
from secagg.planning.budget.rows import as_text
from secagg.privacy.contributors import colluding_clients
from secagg.runs.config import TrainingConfig
from secagg.runs.prepare import prepare

GAUSSIAN, SKELLAM = LatticeNoise.DISCRETE_GAUSSIAN, LatticeNoise.SKELLAM


def asked(**changes: Any) -> BudgetRequest:
    settings: dict[str, Any] = {
        "clients": 100,
        "rounds": 30,
        "delta": 1e-3,
        "mechanism": GAUSSIAN,
        "dimension": 650,
    }
    return BudgetRequest(**settings | changes)


@pytest.mark.parametrize("mechanism", [GAUSSIAN, SKELLAM])
@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_bits_of_a_plan_are_those_of_a_mean_that_is_planned(mechanism: LatticeNoise, epsilon: float) -> None:
    request = asked(mechanism=mechanism, epsilon=epsilon, cohort=50)
    found = chosen_bits(request)
    assert found is not None
    mean = SecureMean.plan(
        protocol=PlainSum(),
        clients=range(50),
        minimum_contributors=request.required_contributors,
        shapes=[(650,)],
        clip_l2=0.5,
        target=Target(
            epsilon=epsilon,
            delta=1e-3,
            releases=15,
            colluding=colluding_clients(50, request.adversarial),
            mechanism=mechanism,
        ),
    )
    assert found.bits == mean.encoding.modulus_bits
    assert found.rounding_factor == pytest.approx(mean.rounding_factor, rel=1e-9)


def test_bits_of_a_plan_are_those_of_train() -> None:
    config = TrainingConfig(model="numpy-softmax", clients=100, rounds=30, epsilon=8.0, delta=1e-3)
    found = chosen_bits(asked(epsilon=8.0))
    assert found is not None
    assert found.bits == prepare(config).config.modulus_bits == 16


def test_bits_for_a_noise_are_those_for_the_epsilon_that_it_has() -> None:
    by_epsilon = plan(asked(epsilon=2.0))
    assert by_epsilon.lattice is not None
    by_noise = plan(asked(noise_multiplier=by_epsilon.lattice.noise_to_clip))
    assert by_noise.lattice is not None
    assert by_noise.lattice.bits == by_epsilon.lattice.bits


def test_plan_shows_its_bits_and_what_rounding_costs() -> None:
    found = plan(asked(epsilon=8.0, more_rounds=30))
    assert found.lattice is not None
    assert found.lattice.rounding_factor is not None
    assert 1 < found.lattice.rounding_factor <= 1.005
    assert found.request.bits is None
    text = " ".join(as_text(found, width=10_000).split())
    assert "16 bits a coordinate" in text
    assert "The bits are those of secagg train --modulus-bits auto, where rounding makes the noise 1.00" in text


def test_bits_that_are_given_are_kept() -> None:
    request = asked(epsilon=8.0, bits=24)
    assert chosen_bits(request) is None
    found = plan(request)
    assert found.lattice is not None
    assert (found.lattice.bits, found.lattice.rounding_factor) == (24, None)
    assert "--modulus-bits" not in as_text(found)


def test_continuous_noise_has_no_bits() -> None:
    assert chosen_bits(BudgetRequest(clients=100, rounds=30, epsilon=8.0)) is None
