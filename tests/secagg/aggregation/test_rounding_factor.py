"""How many times larger rounding makes the noise: from its definition, and on means that were made.

The statistical check has a false-alarm rate below 1e-6, with one retry.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from dp.calibration.least_noise import calibrate_gaussian
from dp.events import Trust
from dp.noise.distributed import LatticeNoise
from protocols import PlainSum, SecAgg
from secagg.aggregation.mean import SecureMean
from secagg.engines.memory import simulate_mean
from secagg.privacy.noise import Sample, Target

CLIENTS, LEAST, LENGTH = 10, 6, 2**14
TARGET = Target(epsilon=8.0, delta=1e-3, releases=10, colluding=2)
SKELLAM = LatticeNoise.SKELLAM


def planned(target: Target | None = TARGET, **changes: Any) -> SecureMean:
    """Return a mean of vectors of a power of two of entries, which are not padded."""
    settings: dict[str, Any] = {
        "protocol": SecAgg(),
        "clients": range(CLIENTS),
        "minimum_contributors": LEAST,
        "shapes": [(LENGTH,)],
        "clip_l2": 1.0,
        "modulus_bits": 14,
    }
    return SecureMean.plan(**settings | changes, target=target)


def factor_of(mean: SecureMean) -> float:
    """Return the factor of a mean with noise."""
    assert mean.rounding_factor is not None
    return mean.rounding_factor


def continuous(target: Target) -> float:
    """Return the least noise multiplier of continuous noise for a target."""
    return calibrate_gaussian(epsilon=target.epsilon, delta=target.delta, releases=target.releases)


def test_there_is_no_factor_without_noise() -> None:
    assert planned(None).rounding_factor is None


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, CLIENTS / (LEAST - 2)),
        ({"mechanism": SKELLAM}, CLIENTS / (LEAST - 2)),
        ({"trust": Trust.LOCAL}, CLIENTS),
        ({"trust": Trust.CENTRAL}, 1.0),
        ({"mechanism": SKELLAM, "noise_removal": True}, LEAST / (LEAST - 2)),
    ],
)
def test_factor_compares_all_errors_of_the_whole_cohort_with_continuous_noise(
    changes: dict[str, Any], parts: float
) -> None:
    """The least continuous noise for the guarantee is found by itself, without the grid and its noise."""
    target = dataclasses.replace(TARGET, **changes)
    mean = planned(target, modulus_bits=18)
    assert mean.noise is not None
    noise = parts * mean.noise.central_sigma**2
    rounding = CLIENTS / 4
    alone = math.sqrt(parts) * continuous(target) * mean.encoding.norm_bound / mean.encoding.granularity
    assert factor_of(mean) == pytest.approx(math.sqrt(noise + rounding) / alone, rel=1e-4)
    assert factor_of(mean) > 1


@pytest.mark.slow
@pytest.mark.parametrize(("trust", "bits"), [(Trust.DISTRIBUTED, 10), (Trust.CENTRAL, 9)])
def test_means_have_the_error_that_the_factor_allows(trust: Trust, bits: int) -> None:
    """Over 32,768 coordinates, a standard deviation has a standard error of 0.39%; the tolerance is 5 of them.

    The noise is so little that rounding adds much to it. The error of rounding has a variance of at most a quarter of a
    squared step for each client, and of about a sixth on average.
    """
    target = dataclasses.replace(TARGET, trust=trust, epsilon=2000.0)
    mean = planned(target, protocol=PlainSum(), modulus_bits=bits, shapes=[(256,)])
    assert factor_of(mean) > (1.2 if trust is Trust.CENTRAL else 1.03)
    shares = 1 if trust is Trust.CENTRAL else CLIENTS / (LEAST - 2)
    most = factor_of(mean) * continuous(target) * math.sqrt(shares)
    least = math.sqrt(most**2 - CLIENTS * (1 / 4 - 1 / 6) * mean.encoding.granularity**2)
    generator = np.random.default_rng(1)
    updates = {client: [generator.normal(size=256)] for client in mean.clients}
    exact = np.mean([each[0] / np.linalg.norm(each[0]) for each in updates.values()], axis=0)

    def deviation() -> float:
        return float(np.std([CLIENTS * (simulate_mean(mean, updates).mean[0] - exact) for _ in range(128)]))

    def is_right(found: float) -> bool:
        return 0.98 * least <= found <= 1.02 * most

    assert is_right(deviation()) or is_right(deviation())


def test_factor_does_not_depend_on_the_clip_nor_on_its_unit() -> None:
    """An adaptive clip changes from round to round, and the factor of the plan stays that of every round."""
    factors = [factor_of(planned(clip_l2=clip)) for clip in (1e-6, 0.5, 1.0, 1e6)]
    assert factors == pytest.approx([factors[0]] * 4, rel=1e-6)


def test_factor_of_a_secret_sample_counts_the_expected_number_of_clients() -> None:
    sample = Sample(population=40, expected=CLIENTS)
    target = dataclasses.replace(TARGET, trust=Trust.CENTRAL, sample=sample)
    mean = planned(target, protocol=PlainSum(), sample=sample)
    assert mean.noise is not None
    found = factor_of(mean)
    alone = mean.noise.central_sigma * mean.encoding.norm_bound
    alone /= mean.encoding.granularity * mean.encoding.l2_sensitivity
    assert found == pytest.approx(math.hypot(mean.noise.central_sigma, math.sqrt(CLIENTS) / 2) / alone, rel=1e-3)
    drawn = mean.for_sample(range(7), padding=range(7, 9), protocol=PlainSum(), minimum_contributors=2)
    assert factor_of(drawn) == found
