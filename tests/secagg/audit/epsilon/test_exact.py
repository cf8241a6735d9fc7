"""The exact epsilon of integer noise against exact sums over the lattice, and the bound on spacings behind it."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ive, ndtri

from dp.events import DistributedDiscreteGaussianEvent, LatticeEvent, SkellamEvent
from secagg.audit.epsilon.exact import exact_epsilon, exact_mu, gaussian_deviation

DELTA = 1e-5


def gaussian(sigma: float, sensitivity: float = 1.0) -> LatticeEvent:
    return DistributedDiscreteGaussianEvent(local_sigma=sigma, contributors=1, l2_sensitivity=sensitivity, dimension=1)


def skellam(variance: float, sensitivity: float = 1.0) -> LatticeEvent:
    return SkellamEvent(variance=variance, contributors=1, l2_sensitivity=sensitivity, dimension=1)


def masses(event: LatticeEvent) -> tuple[NDArray[np.float64], int]:
    """Return the probabilities of -reach, ..., reach, and the reach, beyond which there is less than 1e-30."""
    variance = event.variance if isinstance(event, SkellamEvent) else event.local_sigma**2
    reach = math.ceil(14 * math.sqrt(variance)) + 20
    at = np.arange(-reach, reach + 1)
    weights = ive(np.abs(at), variance) if isinstance(event, SkellamEvent) else np.exp(-(at**2) / (2 * variance))
    return weights / math.fsum(weights), reach


def summed_epsilon(event: LatticeEvent, shift: int) -> float:
    """Return the epsilon of a shift of the noise by so many steps, by adding up the lattice."""
    probabilities, _ = masses(event)
    moved, still = np.pad(probabilities, (shift, 0)), np.pad(probabilities, (0, shift))

    def log_delta(epsilon: float) -> float:
        return math.log(math.fsum(np.maximum(moved - math.exp(epsilon) * still, 0)) / DELTA)

    return float(brentq(log_delta, 0.0, 60.0, xtol=1e-12))


@pytest.mark.parametrize("event", [gaussian(2), gaussian(5.3), gaussian(40), skellam(4), skellam(30), skellam(2_000)])
def test_spacings_of_a_lattice_distribution_are_at_most_those_of_its_gaussian(event: LatticeEvent) -> None:
    probabilities, reach = masses(event)
    centre = reach + 1 + int(6 / exact_mu(event))  # To the right, up to six deviations; the left is symmetric.
    above = np.cumsum(probabilities[::-1])[::-1][reach:centre]
    spacings = np.diff(-ndtri(above))
    assert spacings.max() <= (1 + 1e-9) / gaussian_deviation(event)
    assert spacings.max() > 0.9 / gaussian_deviation(event)


@pytest.mark.parametrize(
    ("event", "shift"), [(gaussian(300, 250), 250), (gaussian(300, 500), 500), (skellam(90_000, 280), 280)]
)
def test_exact_epsilon_of_wide_noise_is_that_of_the_lattice(event: LatticeEvent, shift: int) -> None:
    found = summed_epsilon(event, shift)
    assert found <= exact_epsilon(event, DELTA)
    assert found == pytest.approx(exact_epsilon(event, DELTA), rel=5e-5)


@pytest.mark.parametrize(("event", "shift"), [(gaussian(2, 3), 3), (gaussian(6, 6), 6), (skellam(36, 6), 6)])
def test_exact_epsilon_of_narrow_noise_is_not_below_that_of_the_lattice(event: LatticeEvent, shift: int) -> None:
    assert summed_epsilon(event, shift) <= exact_epsilon(event, DELTA) <= summed_epsilon(event, shift) * 1.2


def test_exact_epsilon_falls_with_the_number_of_noise_shares() -> None:
    few, many = (
        DistributedDiscreteGaussianEvent(local_sigma=100, contributors=n, l2_sensitivity=200, dimension=4)
        for n in (2, 8)
    )
    assert exact_mu(many) == pytest.approx(exact_mu(few) / 2, rel=1e-4)
