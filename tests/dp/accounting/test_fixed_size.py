"""Samples of a fixed size cost more than Poisson samples, so the account of the latter is not used for the former.

With the target in a sample of a fixed size, somebody else is out of it. Under zero-out, let the one who steps in have
the opposite vector. Then the round's pair is (1-q) N(-1) + q N(1) against (1-q) N(-1) + q N(0), in units of the clip.
"""

import math
from statistics import NormalDist
from typing import Final

import pytest

from dp.accounting.guarantee import guarantee, subsampled_gaussian_epsilon
from dp.events import GaussianEvent

ROWS: Final = [
    (1.0, 0.5, 0.0586920804, 0.0288676178),
    (1.0, 0.1, 0.0077172412, 0.0002071215),
    (1.069, 100 / 3400, 7.465188637e-4, 2.537643e-7),
]
"""Noise multiplier, sampling rate, and the delta of a round at epsilon 1: of a fixed size, and by Poisson sampling."""


def delta_at_one(first: dict[int, float], second: dict[int, float], noise_multiplier: float) -> float:
    """Return the delta at epsilon 1 of two mixtures of normal laws, given as weights of their means.

    Above 1/2 the ratio of their densities grows; below it is less than e for the mixtures in this file.
    """

    def density(weights: dict[int, float], x: float) -> float:
        return math.fsum(weight * NormalDist(mean, noise_multiplier).pdf(x) for mean, weight in weights.items())

    def tail(weights: dict[int, float], x: float) -> float:
        return math.fsum(weight * NormalDist(-mean, noise_multiplier).cdf(-x) for mean, weight in weights.items())

    low, high = 0.5, 40.0
    for _ in range(60):
        x = (low + high) / 2
        low, high = (low, x) if density(first, x) > math.e * density(second, x) else (x, high)
    return tail(first, high) - math.e * tail(second, high)


@pytest.mark.parametrize(("noise_multiplier", "rate", "fixed", "poisson"), ROWS)
def test_fixed_size_costs_more_than_poisson(noise_multiplier: float, rate: float, fixed: float, poisson: float) -> None:
    here = delta_at_one({-1: 1 - rate, 1: rate}, {-1: 1 - rate, 0: rate}, noise_multiplier)
    assert here == pytest.approx(fixed, rel=1e-8)
    independent = delta_at_one({0: 1 - rate, 1: rate}, {0: 1}, noise_multiplier)
    assert independent == pytest.approx(poisson, rel=1e-6)
    assert here > 2 * independent


@pytest.mark.parametrize(("noise_multiplier", "rate", "fixed", "poisson"), ROWS)
def test_account_of_poisson_samples_does_not_cover_a_fixed_size(
    noise_multiplier: float, rate: float, fixed: float, poisson: float
) -> None:
    """The product's account of Poisson sampling is below the cost of a fixed size; that of the participation is not."""
    claimed = subsampled_gaussian_epsilon(sampling=rate, noise_multiplier=noise_multiplier, rounds=1, delta=fixed)
    assert claimed < 1
    participation = guarantee({GaussianEvent(noise_multiplier=noise_multiplier): 1}, delta=fixed)
    assert participation.epsilon > 1
