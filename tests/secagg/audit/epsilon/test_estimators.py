"""The estimators of mu against the table of the design, closed forms, other code, and simulated audits."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import binom

from dp.accounting.privacy_loss import gaussian_epsilon as accounted
from secagg.audit.epsilon.estimators import (
    Errors,
    cp_upper,
    gaussian_epsilon,
    gaussian_mu,
    mu_if_normal,
    mu_low,
    mu_p_value,
    normality_p_value,
)

DELTA = 1e-5


def ladder(trials: int, mu: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scores without chance: quantiles of N(0, 1) and of N(mu, 1)."""
    quantiles = ndtri((np.arange(trials) + 0.5) / trials)
    return quantiles, quantiles + mu


def test_upper_bounds_on_probabilities_are_those_of_clopper_and_pearson() -> None:
    assert cp_upper(0, 10, 0.05) == pytest.approx(0.2588655509, abs=1e-10)
    assert cp_upper(3, 100, 0.025) == pytest.approx(0.0851760530, abs=1e-10)
    assert cp_upper(10, 10, 0.05) == 1


@pytest.mark.parametrize("alpha", [0.025, 1e-9, 1e-200])
def test_upper_bounds_on_probabilities_are_met_with_the_chance_of_their_error(alpha: float) -> None:
    assert binom.cdf(3, 100, cp_upper(3, 100, alpha)) == pytest.approx(alpha, rel=1e-9)


@pytest.mark.parametrize(
    ("epsilon", "mu"),
    [(0.5, 0.142211), (1, 0.268051), (2, 0.501552), (4.38, 1.000557), (8, 1.666031), (10, 2.000446)],
)
def test_mu_of_an_epsilon_is_that_of_the_table(epsilon: float, mu: float) -> None:
    assert gaussian_mu(epsilon, DELTA) == pytest.approx(mu, abs=5e-7)


@pytest.mark.parametrize("mu", [0.01, 0.3, 1.0, 4.0, 30.0])
def test_epsilon_of_a_mu_is_that_of_the_accountant(mu: float) -> None:
    assert gaussian_epsilon(mu, DELTA) == pytest.approx(accounted(1 / mu, DELTA), rel=1e-6)


def test_mu_of_a_large_or_small_epsilon_has_that_epsilon() -> None:
    for epsilon in (1e-3, 1e5):
        assert gaussian_epsilon(gaussian_mu(epsilon, DELTA), DELTA) == pytest.approx(epsilon, rel=1e-6)


def test_epsilon_of_no_difference_is_zero() -> None:
    assert gaussian_epsilon(0.0, DELTA) == 0
    assert gaussian_epsilon(1e-9, DELTA) == 0


@pytest.mark.parametrize(
    ("epsilon", "trials", "at_95", "at_most"),
    [
        (4.38, 5_000, 4.0129, 3.4803),
        (4.38, 20_000, 4.1955, 3.9245),
        (10, 5_000, 9.4841, 8.7420),
        (10, 20_000, 9.7422, 9.3639),
    ],
)
def test_lower_bounds_without_chance_are_those_of_the_table(
    epsilon: float, trials: int, at_95: float, at_most: float
) -> None:
    mu = gaussian_mu(epsilon, DELTA)
    errors = Errors.at(*ladder(trials, mu), mu / 2)
    for alpha, expected in ((0.05, at_95), (1e-6, at_most)):
        assert gaussian_epsilon(mu_low(errors, alpha), DELTA) == pytest.approx(expected, abs=5e-5)


def test_lower_bound_from_no_errors_at_all_is_finite_and_from_guessing_it_is_zero() -> None:
    assert 4 < mu_low(Errors(false_positives=0, outs=1_000, false_negatives=0, inns=1_000), 0.05) < 6
    assert mu_low(Errors(false_positives=500, outs=1_000, false_negatives=500, inns=1_000), 0.05) == 0


def test_p_value_of_a_claim_is_the_level_at_which_the_bound_meets_it() -> None:
    errors = Errors.at(*ladder(2_000, 1.0), 0.5)
    level = mu_p_value(errors, 0.8)
    assert mu_low(errors, level * 1.001) > 0.8 > mu_low(errors, level / 1.001)
    assert mu_p_value(errors, 1.0) == pytest.approx(0.5, abs=0.5)
    assert mu_p_value(errors, 3.0) == 1


def test_lower_bound_exceeds_the_truth_at_most_as_often_as_it_says() -> None:
    """In 4,000 simulated audits with alpha 0.05; a chance of 0.05 would give more than 270 with probability 1e-6."""
    generator = np.random.default_rng(12)
    mu, trials = 1.0, 400
    counts = generator.binomial(trials, [[0.3085375387, 0.3085375387]] * 4_000)  # Phi(-1/2): both rates at mu / 2.
    over = sum(
        mu_low(Errors(false_positives=int(fp), outs=trials, false_negatives=int(fn), inns=trials), 0.05) > mu
        for fp, fn in counts
    )
    assert binom.sf(270, 4_000, 0.05) < 1e-6
    assert over <= 270


def test_p_value_is_at_most_its_level_as_often_as_it_says() -> None:
    """In 600 simulated audits; a chance of 0.05 would give more than 59 with probability 1e-6."""
    generator = np.random.default_rng(13)
    counts = generator.binomial(400, [[0.3085375387, 0.3085375387]] * 600)
    values = [
        mu_p_value(Errors(false_positives=int(fp), outs=400, false_negatives=int(fn), inns=400), 1.0)
        for fp, fn in counts
    ]
    assert binom.sf(59, 600, 0.05) < 1e-6
    assert sum(value <= 0.05 for value in values) <= 59


def test_bound_for_normal_scores_is_tighter_and_near_the_expected_one() -> None:
    mu = gaussian_mu(4.38, DELTA)
    out, inn = ladder(5_000, mu)
    found = gaussian_epsilon(mu_if_normal(out, inn, 1e-6), DELTA)
    assert found / 4.38 == pytest.approx(0.885, abs=0.005)
    assert found > gaussian_epsilon(mu_low(Errors.at(out, inn, mu / 2), 1e-6), DELTA)


def test_normality_is_rejected_for_other_scores_only() -> None:
    generator = np.random.default_rng(14)
    normal, other = generator.normal(size=2_000), generator.exponential(size=2_000)
    assert normality_p_value(normal, normal + 1) > 1e-3
    assert normality_p_value(normal, other) < 1e-6
    assert not math.isnan(normality_p_value(normal, normal))
