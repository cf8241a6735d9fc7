"""The estimators of one run against the table of the design, against each other, and against simulated audits."""

import math

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binom

from secagg.audit.epsilon.estimators import gaussian_epsilon, gaussian_mu
from secagg.audit.epsilon.guessing import (
    guesses_contradict,
    one_run_epsilon,
    one_run_mu,
    one_run_p_value,
    right_guesses,
)

DELTA = 1e-5


def test_chance_of_right_guesses_is_that_of_the_table() -> None:
    assert one_run_p_value(100, 50, 45, 2.0, DELTA) == pytest.approx(0.4425228, abs=5e-8)


def summed(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """Return the same chance by adding up the binomial distribution term by term."""
    right = 1 / (1 + math.exp(-epsilon))
    masses = [math.comb(r, k) * right**k * (1 - right) ** (r - k) for k in range(r + 1)]
    most = max(math.fsum(masses[v - i : v]) / i for i in range(1, v + 1))
    return min(1.0, math.fsum(masses[v:]) + 2 * m * delta * most)


@pytest.mark.parametrize(("r", "v"), [(50, 45), (50, 50), (300, 280)])
def test_chance_of_right_guesses_is_the_sum_of_its_terms(r: int, v: int) -> None:
    assert one_run_p_value(1_000, r, v, 2.0, DELTA) == pytest.approx(summed(1_000, r, v, 2.0, DELTA), rel=1e-9)


def test_chance_of_right_guesses_without_delta_is_binomial() -> None:
    assert one_run_p_value(100, 50, 45, 0.0, 0.0) == pytest.approx(binom.sf(44, 50, 0.5))


def test_bounds_of_one_run_are_those_of_the_table() -> None:
    assert one_run_epsilon(1_000, 600, 600, DELTA, 0.05) == pytest.approx(5.2703995, abs=5e-8)
    mu = one_run_mu(1_000, 100, 95, 0.05)
    assert mu == pytest.approx(0.7868118, abs=5e-8)
    assert gaussian_epsilon(mu, DELTA) == pytest.approx(3.3233005, abs=5e-8)


def test_guesses_no_better_than_coins_contradict_nothing() -> None:
    assert one_run_epsilon(1_000, 50, 25, DELTA, 0.05) == 0
    assert one_run_mu(1_000, 50, 25, 0.05) == 0
    assert one_run_mu(1_000, 50, 0, 0.05) == 0


def test_more_right_guesses_contradict_more() -> None:
    bounds = [one_run_mu(1_000, 50, right, 0.05) for right in (40, 45, 50)]
    assert bounds == sorted(bounds)
    assert bounds[0] < bounds[2]
    assert guesses_contradict(1_000, 50, 50, bounds[2] * 0.99, 0.05)
    assert not guesses_contradict(1_000, 50, 50, bounds[2] * 1.01, 0.05)


def test_canaries_with_the_highest_scores_are_guessed() -> None:
    scores = np.array([0.1, 3.0, 2.0, -1.0])
    assert right_guesses(scores, np.array([True, True, False, True]), 2) == 1


@pytest.mark.parametrize("epsilon", [4.38])
def test_neither_bound_exceeds_the_truth_more_often_than_it_says(epsilon: float) -> None:
    """In 200 simulated runs with alpha 0.05; a chance of 0.05 would give more than 27 with probability 1e-6."""
    generator = np.random.default_rng(15)
    mu, m, r = gaussian_mu(epsilon, DELTA), 1_000, 50
    exceeded = [0, 0]
    for _ in range(200):
        present = generator.random(m) < 0.5
        v = right_guesses(generator.normal(size=m) + mu * present, present, r)
        exceeded[0] += one_run_p_value(m, r, v, epsilon, DELTA) <= 0.05
        exceeded[1] += guesses_contradict(m, r, v, mu, 0.05)
    assert binom.sf(27, 200, 0.05) < 1e-6
    assert max(exceeded) <= 27


@pytest.mark.parametrize("m", [10, 100, 1_000])
@pytest.mark.parametrize("mu", [0.1, 0.5, 1.0])
def test_best_guesses_of_all_canaries_contradict_the_truth_at_most_as_often_as_alpha_says(m: int, mu: float) -> None:
    """For independent normal scores the best attacker is right about each canary with probability Phi(mu / 2)."""
    contradicting = [right for right in range(m + 1) if guesses_contradict(m, m, right, mu, 0.2)]
    assert contradicting == list(range(contradicting[0], m + 1))
    assert binom.sf(contradicting[0] - 1, m, ndtr(mu / 2)) <= 0.2
