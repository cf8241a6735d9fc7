"""The bound against the exact law of a coordinate: all signs of the rotation, and the convolution of the noises."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dp.calibration.wrapping import wrap_probability
from dp.errors import InvalidParameter
from dp.noise.distributed import DistributedDiscreteGaussian, DistributedSkellam

SUPPORT = np.arange(-200, 201)
DIMENSION = 8
CLIENTS = 3


def noise_law(local: NDArray[np.float64]) -> NDArray[np.float64]:
    """The law of the sum of three noises, from that of one on `SUPPORT`."""
    local = local / local.sum()
    return np.convolve(np.convolve(local, local), local)


def largest_wrap_probability(noise: NDArray[np.float64], signal_l2: float, bits: int) -> float:
    """The probability for a sum that has all entries equal, where every client's rounding goes outwards."""
    centre = len(noise) // 2
    values = np.arange(len(noise)) - centre
    total = 0.0
    for signs in itertools.product((-1, 1), repeat=DIMENSION):
        signal = sum(signs) * signal_l2 / math.sqrt(DIMENSION) / math.sqrt(DIMENSION)
        outwards = signal + math.copysign(CLIENTS, signal)
        total += float(noise[np.abs(values + outwards) >= 2 ** (bits - 1)].sum())
    return total / 2.0**DIMENSION


@pytest.mark.parametrize("bits", [4, 5, 6])
@pytest.mark.parametrize("signal_l2", [1.0, 10.0, 25.0])
@pytest.mark.parametrize("sigma", [2.0, 5.0])
def test_wrap_probability_bounds_the_exact_one(sigma: float, signal_l2: float, bits: int) -> None:
    gaussian = DistributedDiscreteGaussian(
        local_sigma=sigma, minimum_contributors=CLIENTS, l2_sensitivity=10.0, dimension=DIMENSION
    )
    skellam = DistributedSkellam(
        local_variance=sigma**2, minimum_contributors=CLIENTS, l2_sensitivity=10.0, dimension=DIMENSION
    )
    poisson = np.array([math.exp(x * math.log(sigma**2 / 2) - math.lgamma(x + 1)) for x in range(200)])
    laws: list[tuple[DistributedDiscreteGaussian | DistributedSkellam, NDArray[np.float64]]] = [
        (gaussian, noise_law(np.exp(-(SUPPORT**2) / (2 * sigma**2)))),
        (skellam, noise_law(np.convolve(poisson, poisson[::-1]))),
    ]
    for mechanism, law in laws:
        exact = largest_wrap_probability(law, signal_l2, bits)
        bound = wrap_probability(mechanism, bits=bits, signal_l2=signal_l2)
        assert exact <= bound <= 1
        deviations = (2 ** (bits - 1) - CLIENTS) / math.sqrt(CLIENTS * sigma**2 + signal_l2**2 / DIMENSION)
        assert bound <= max(6 * math.exp(-(deviations**2) / 2), 1e-3)


def test_wrap_probability_of_skellam_noise_is_chernoff_s_least() -> None:
    mechanism = DistributedSkellam(local_variance=0.5, minimum_contributors=4, l2_sensitivity=10.0, dimension=DIMENSION)
    found = wrap_probability(mechanism, bits=5, signal_l2=3.0)
    t = np.linspace(0.01, 10, 100_001)
    exponents = 9 / 8 * t**2 / 2 + 2 * (np.cosh(t) - 1) - 12 * t
    assert found == pytest.approx(2 * math.exp(exponents.min()), rel=1e-6)
    # Its tails are longer than a Gaussian's of the same variance.
    assert found > 2 * math.exp(-(12**2) / (2 * (9 / 8 + 2)))


@pytest.mark.parametrize("contributors", [8, 1000])
def test_wrap_probability_is_one_where_rounding_alone_may_wrap(contributors: int) -> None:
    mechanism = DistributedDiscreteGaussian(
        local_sigma=2.0, minimum_contributors=contributors, l2_sensitivity=10.0, dimension=DIMENSION
    )
    assert wrap_probability(mechanism, bits=4, signal_l2=1e-3) == 1


def test_wrap_probability_far_away_is_zero() -> None:
    mechanism = DistributedSkellam(
        local_variance=2.0**-30, minimum_contributors=1, l2_sensitivity=10.0, dimension=DIMENSION
    )
    assert wrap_probability(mechanism, bits=62, signal_l2=1e-3) == 0


@pytest.mark.parametrize(
    "changes",
    [
        *({"bits": bad} for bad in (1, 63, 4.0, True)),
        *({"signal_l2": bad} for bad in (0.0, -1.0, math.nan, math.inf, True)),
    ],
)
def test_wrap_probability_refuses_parameters(changes: dict[str, Any]) -> None:
    mechanism = DistributedDiscreteGaussian(
        local_sigma=2.0, minimum_contributors=4, l2_sensitivity=10.0, dimension=DIMENSION
    )
    given: dict[str, Any] = {"bits": 8, "signal_l2": 1.0}
    with pytest.raises(InvalidParameter, match=next(iter(changes))):
        wrap_probability(mechanism, **given | changes)
