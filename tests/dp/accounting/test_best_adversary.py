"""The best adversary against a Gaussian filter for discrete Gaussian noise, by exact recursion over the integers.

It chooses one of four noises after each result, as long as the sum of 1/s^2 is within a budget, and may stop at any
time. The noise has the deviation s of the continuous Gaussian that is accounted in its place. If s is one, no choice
reaches more delta than N(mu, 1) against N(0, 1), with mu^2 the budget (Theorem B).
"""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from dp.accounting.lattice import dominating_gaussian
from dp.events import DistributedDiscreteGaussianEvent
from tests.support.exact_gaussian import exact_delta

SIGMAS: Final = (0.8, 1.0, 1.5, 2.0)
DEPTH: Final = 3
EPSILONS: Final = [step / 4 for step in range(13)]

Ratios = NDArray[np.float64]
"""How many times as probable the results so far are in the first world as in the second."""


class Law:
    """A discrete Gaussian on the integers that carry its mass up to 1e-17, and how often a shift by 1 shows."""

    def __init__(self, sigma: float) -> None:
        self.variance = sigma**2
        self.x = np.arange(-math.ceil(9 * sigma) - 2, math.ceil(9 * sigma) + 3)
        weights = np.exp(-(self.x**2) / (2 * self.variance))
        self.mass = weights / weights.sum()
        self.tail = np.append(np.cumsum(self.mass[::-1])[::-1], 0.0)
        self.ratios = np.exp((2 * self.x - 1) / (2 * self.variance))

    def hockey_stick(self, ratios: Ratios, least: float) -> Ratios:
        """Return the integral of (ratio dP - least dQ)_+ for one more release, P being Q shifted by 1."""
        first = np.ceil(self.variance * (math.log(least) - np.log(ratios)) + 0.5) - self.x[0]
        index = np.clip(first, 1, len(self.x)).astype(np.int64)
        found: Ratios = np.maximum(ratios * self.tail[index - 1] - least * self.tail[index], 0.0)
        return found


LAWS: Final = {sigma: Law(sigma) for sigma in SIGMAS}


def best_delta(charges: Mapping[float, float], budget: float, epsilon: float) -> float:
    """Return the most delta that an adversary reaches at an epsilon with `DEPTH` releases."""
    least = math.exp(epsilon)

    def best(ratios: Ratios, left: float, releases: int) -> Ratios:
        found = np.maximum(ratios - least, 0.0)
        for sigma, charge in charges.items():
            if charge > left:
                continue
            law = LAWS[sigma]
            if releases == 1:
                value = law.hockey_stick(ratios, least)
            else:
                after = best(np.outer(ratios, law.ratios).ravel(), left - charge, releases - 1)
                value = after.reshape(len(ratios), -1) @ law.mass
            found = np.maximum(found, value)
        return found

    return float(best(np.ones(1), budget, DEPTH)[0])


def accounted(sigma: float) -> float:
    """Return 1/z^2 of the Gaussian that the product accounts in place of a discrete one of sensitivity 1."""
    event = DistributedDiscreteGaussianEvent(local_sigma=sigma, contributors=1, l2_sensitivity=1.0, dimension=1)
    gaussian = dominating_gaussian(event)
    assert gaussian is not None
    return gaussian.noise_multiplier**-2


@pytest.mark.parametrize(("budget", "room", "tightest"), [(1.2, 9.1e-4, 3.0), (1.7, 7.2e-3, 3.0), (2.3, 1.7e-2, 2.75)])
def test_best_adversary_stays_below_the_gaussian(budget: float, room: float, tightest: float) -> None:
    charges = {sigma: accounted(sigma) for sigma in SIGMAS}
    gaps = {e: float(exact_delta(math.sqrt(budget), e)) - best_delta(charges, budget, e) for e in EPSILONS}
    assert min(gaps, key=gaps.__getitem__) == tightest
    assert room <= gaps[tightest] < room * 1.03


def test_same_deviation_would_not_be_enough() -> None:
    """The mistake that the account must not make: s = sigma."""
    charges = {sigma: sigma**-2 for sigma in SIGMAS}
    assert best_delta(charges, 1.0, 0.0) - float(exact_delta(1, 0)) == pytest.approx(0.0160174, abs=5e-8)


def test_best_adversary_uses_its_choice() -> None:
    """It reaches more than every sequence of noises that is fixed beforehand, so that the test above says something."""
    charges = {sigma: accounted(sigma) for sigma in SIGMAS}
    budget, epsilon = 3.0, 2.875

    def most_when_fixed(left: float, laws: tuple[Law, ...]) -> float:
        ratios, mass = np.ones(1), np.ones(1)
        for law in laws:
            ratios, mass = np.outer(ratios, law.ratios).ravel(), np.outer(mass, law.mass).ravel()
        found = float(np.maximum(ratios - math.exp(epsilon), 0.0) @ mass)
        if len(laws) < DEPTH:
            longer = [(left - charge, (*laws, LAWS[sigma])) for sigma, charge in charges.items() if charge <= left]
            found = max([found, *(most_when_fixed(*each) for each in longer)])
        return found

    assert best_delta(charges, budget, epsilon) > 1.07 * most_when_fixed(budget, ())
