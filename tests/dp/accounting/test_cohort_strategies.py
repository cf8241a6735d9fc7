"""All deterministic adaptive ways to ask one client in three rounds, against the account of its participations."""

import math
from statistics import NormalDist
from typing import Final

import pytest

from dp.accounting.guarantee import guarantee
from dp.events import GaussianEvent
from tests.support.finite_pairs import (
    hockey_stick,
    product,
    randomised_response,
    reverse,
    strategies,
    transcript,
)

EPSILON: Final = 0.7
RESPONSE: Final = randomised_response(EPSILON)
EPSILONS: Final = [0.2 * step for step in range(10)]

# Randomised response has one corner in its trade-off curve, so the least Gaussian that dominates it passes through it.
DOMINATING: Final = GaussianEvent(noise_multiplier=(1 - 1e-12) / (2 * NormalDist().inv_cdf(RESPONSE[0][0])))


@pytest.mark.parametrize(("cap", "number"), [(1, 26), (2, 89)])
def test_no_choice_of_cohorts_costs_more_than_the_cap(cap: int, number: int) -> None:
    """A server looks at each result before it decides whom to ask next; Theorem A says that this gains it nothing."""
    asked = list(strategies(3, cap))
    assert len(asked) == number
    most = product(*[RESPONSE] * cap)
    excess = [
        hockey_stick(turned(transcript(strategy, RESPONSE)), epsilon) - hockey_stick(turned(most), epsilon)
        for strategy in asked
        for turned in (list, reverse)
        for epsilon in EPSILONS
    ]
    assert -1e-15 <= max(excess) <= 1e-15


@pytest.mark.parametrize("cap", [1, 2])
def test_account_of_the_participations_is_above_every_choice_of_cohorts(cap: int) -> None:
    for epsilon in EPSILONS:
        delta = max(hockey_stick(transcript(strategy, RESPONSE), epsilon) for strategy in strategies(3, cap))
        if delta > 0:
            bounds = guarantee({DOMINATING: cap}, delta=delta * (1 - 1e-9)).bounds
            assert len(bounds) == 2
            assert all(bound.epsilon >= epsilon for bound in bounds)


def test_one_participation_that_is_not_counted_shows() -> None:
    """A retry that forgets a round asks the client a third time."""
    assert hockey_stick(product(*[RESPONSE] * 2), 2 * EPSILON) == pytest.approx(0, abs=1e-15)
    assert hockey_stick(product(*[RESPONSE] * 3), 2 * EPSILON) == pytest.approx(0.1501832371, abs=5e-11)
    forgotten = max(hockey_stick(transcript(each, RESPONSE), 2 * EPSILON) for each in strategies(3, 3))
    assert forgotten == pytest.approx(0.1501832371, abs=5e-11)


def test_dominating_gaussian_of_the_strategies_is_one() -> None:
    """Its delta is above that of randomised response at each epsilon, and equal at one."""
    gaussian = NormalDist()
    mu = 1 / DOMINATING.noise_multiplier
    gaps = []
    for epsilon in (step / 100 for step in range(200)):
        less, more = (gaussian.cdf(half - epsilon / mu) for half in (mu / 2, -mu / 2))
        gaps.append(less - math.exp(epsilon) * more - hockey_stick(RESPONSE, epsilon))
    assert 0 <= min(gaps) < 1e-6
