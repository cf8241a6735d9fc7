import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from secagg.audit.attack import LEVEL_OF_ATTEMPT
from secagg.audit.mechanisms.law import DiscreteGaussianLaw, Law, Moments, SkellamLaw, moments_of
from secagg.audit.mechanisms.sampling import binomial_moments, two_sided
from secagg.audit.mechanisms.statistics import (
    POWER_OF_ATTEMPT,
    Cells,
    correlation_p,
    count_for,
    detected_correlation,
    detected_deviations,
    freedom,
    least_count,
    variance_p,
)


def sum_of_squares(probabilities: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the exact law of the sum of squares of `count` values, by a convolution modulo a power of two.

    Args:
        probabilities: Of the integers from -reach to reach.
        count: The number of values.
    """
    reach = probabilities.size // 2
    squares = np.arange(-reach, reach + 1) ** 2
    mean = float(probabilities @ squares)
    spread = math.sqrt(count * float(probabilities @ (squares - mean) ** 2))
    size = 1 << math.ceil(math.log2(count * mean + 12 * spread + int(squares[-1])))
    one = np.bincount(squares, weights=probabilities, minlength=size)
    return np.fft.irfft(np.fft.rfft(one) ** count, size)


def chance_of_rejection(law: NDArray[np.float64], count: int, moments: Moments) -> float:
    """Return the exact chance that a test of variance rejects, given the law of the sum of squares."""

    def edge(low: float, high: float) -> float:
        return optimize.brentq(lambda s: variance_p(s, count, moments) - LEVEL_OF_ATTEMPT, low, high, xtol=0.01)

    middle = count * moments.variance
    below, above = edge(1e-6, middle), edge(middle, 4 * middle)
    return float(law[: math.ceil(below)].sum() + law[math.floor(above) + 1 :].sum())


def probabilities_of(law: Law) -> NDArray[np.float64]:
    return law.probabilities(law.reach)


BINOMIAL = {
    "an example's steps in an epoch": (20, 0.05, 2000),
    "the size of a sample": (2000, 0.05, 200),
}


@pytest.mark.parametrize(
    ("law", "count"),
    [
        (DiscreteGaussianLaw(2.0), 1565),
        (DiscreteGaussianLaw(2.0), 200_000),
        (DiscreteGaussianLaw(10.0), 1565),
        (SkellamLaw(1.0), 2000),
        (SkellamLaw(0.25), 20_000),
        (SkellamLaw(1 / 64), 200_000),
        (SkellamLaw(1.0), least_count(SkellamLaw(1.0).moments)),
        (SkellamLaw(1 / 64), least_count(SkellamLaw(1 / 64).moments)),
    ],
)
def test_variance_has_its_level_exactly(law: Law, count: int) -> None:
    found = chance_of_rejection(sum_of_squares(probabilities_of(law), count), count, law.moments)
    assert 0.93 * LEVEL_OF_ATTEMPT <= found <= LEVEL_OF_ATTEMPT


@pytest.mark.parametrize("what", BINOMIAL)
def test_dispersion_of_binomial_counts_has_its_level_exactly(what: str) -> None:
    trials, probability, count = BINOMIAL[what]
    mean = round(trials * probability)
    law = stats.binom(trials, probability).pmf(np.arange(-mean - 40, mean + 41) + mean)
    found = chance_of_rejection(sum_of_squares(law, count), count, binomial_moments(trials, probability))
    assert found == pytest.approx(LEVEL_OF_ATTEMPT, rel=0.02)


@pytest.mark.parametrize(
    ("ratio", "needed"),
    [
        (0.81, 1565),  # noise at 0.9 times its deviation
        (0.9801, 170_492),  # noise at 0.99 times
        (1 + 1 / 48, 161_756),  # a rounded normal at width 2
        (1 + 1 / 1200, 99_191_950),  # a rounded normal at width 10
        (0.1, 16),  # sigma / n for sigma / sqrt(n), ten clients
        (3.0, 57),  # one noise that three clients share
        (0.25, 40),  # half the deviation, as for the count of an adaptive clip
    ],
)
def test_sizes_for_a_normal_law_are_those_of_the_chi_square_law(ratio: float, needed: int) -> None:
    assert count_for(ratio, Moments(variance=1.0)) == needed


def test_sizes_for_rounded_normals_are_smaller_if_one_side_is_tested() -> None:
    """The sizes of 150,931 and 92.5 million are those of a test of the upper tail alone."""

    def power(count: float, ratio: float) -> float:
        return float(stats.chi2.sf(stats.chi2.isf(LEVEL_OF_ATTEMPT, count) / ratio, count))

    assert power(150_930, 1 + 1 / 48) < POWER_OF_ATTEMPT <= power(150_931, 1 + 1 / 48)
    assert power(92_500_000, 1 + 1 / 1200) == pytest.approx(POWER_OF_ATTEMPT, abs=1e-4)


@pytest.mark.parametrize(
    ("right", "wrong", "count"),
    [
        (DiscreteGaussianLaw(2.0), DiscreteGaussianLaw(1.8), 1565),
        (DiscreteGaussianLaw(10.0), DiscreteGaussianLaw(9.0), 1565),
        (DiscreteGaussianLaw(2.0), DiscreteGaussianLaw(1.98), 200_000),
        (SkellamLaw(4.0), SkellamLaw(0.81 * 4.0), 2000),
    ],
)
def test_variance_has_its_power_exactly(right: Law, wrong: Law, count: int) -> None:
    found = chance_of_rejection(sum_of_squares(probabilities_of(wrong), count), count, right.moments)
    assert found >= POWER_OF_ATTEMPT - 0.001


def test_rounded_normal_is_found_at_the_planned_size() -> None:
    reach = 30
    edges = np.arange(-reach, reach + 2) - 0.5
    rounded = np.diff(stats.norm(scale=2.0).cdf(edges))
    assert moments_of(rounded).variance == pytest.approx(4 + 1 / 12, rel=1e-6)
    found = chance_of_rejection(sum_of_squares(rounded, 200_000), 200_000, DiscreteGaussianLaw(2.0).moments)
    assert found >= POWER_OF_ATTEMPT


@pytest.mark.parametrize("law", [DiscreteGaussianLaw(2.0), SkellamLaw(0.25)])
def test_detected_deviations_are_detected_exactly(law: Law) -> None:
    count = 20_000
    below, _ = detected_deviations(count, law.moments)
    scaled = (
        DiscreteGaussianLaw(below * law.sigma)
        if isinstance(law, DiscreteGaussianLaw)
        else SkellamLaw(below**2 * law.moments.variance)
    )
    found = chance_of_rejection(sum_of_squares(probabilities_of(scaled), count), count, law.moments)
    assert found == pytest.approx(POWER_OF_ATTEMPT, abs=0.003)


def test_freedom_of_sparse_noise_is_that_of_its_events() -> None:
    assert freedom(1000, Moments(variance=1.0)) == 1000
    assert least_count(SkellamLaw(2.0**-30).moments) > 10**11


def by_simulation(p_value: Callable[[np.random.Generator], float], tries: int, level: float) -> float:
    """Return how surprising the number of rejections is, as a p value of the upper tail."""
    chosen = np.random.default_rng(20)
    rejected = sum(p_value(chosen) < level for _ in range(tries))
    return float(stats.binom.sf(rejected - 1, tries, level))


def test_fit_has_at_most_its_level_with_the_smallest_cells() -> None:
    """The exact chance for noise of three cells, by the law of two binomial counts of 20 expected values each."""
    cells = Cells(SkellamLaw(1.0), 2000)
    cells.expected = np.array([20.0, 1960.0, 20.0])
    low, high = np.meshgrid(np.arange(120), np.arange(120))
    chance = stats.binom(2000, 0.01).pmf(low) * stats.binom(2000 - low, 0.01 / 0.99).pmf(high)
    rejected = [
        [cells.p_value(np.array([a, 2000 - a - b, b]))[1] < LEVEL_OF_ATTEMPT for a, b in zip(*row, strict=True)]
        for row in zip(low.tolist(), high.tolist(), strict=True)
    ]
    assert 0.5 * LEVEL_OF_ATTEMPT < float(chance[np.array(rejected)].sum()) <= LEVEL_OF_ATTEMPT


def test_fit_has_at_most_its_level() -> None:
    cells = Cells(DiscreteGaussianLaw(2.0), 2000)
    assert cells.expected.sum() == pytest.approx(2000)
    assert cells.expected.min() >= 20

    def p_value(chosen: np.random.Generator) -> float:
        return cells.p_value(chosen.multinomial(2000, cells.expected / 2000))[1]

    assert by_simulation(p_value, 2000, 0.01) > 1e-6


@pytest.mark.parametrize(
    "law", [DiscreteGaussianLaw(2.0), DiscreteGaussianLaw(100.0), SkellamLaw(0.25), SkellamLaw(4e6)]
)
def test_cells_cover_all_integers(law: Law) -> None:
    cells = Cells(law, 100_000)
    values = np.array([-(2**40), -1, 0, 1, 2**40])
    assert cells.counts(values).sum() == 5
    assert cells.expected.min() >= 20
    assert cells.expected.sum() == pytest.approx(100_000)


def test_cells_split_values_as_the_law_does() -> None:
    cells = Cells(DiscreteGaussianLaw(10.0), 100_000)
    values = np.arange(-200, 201)
    weights = probabilities_of(DiscreteGaussianLaw(10.0))
    centre = weights.size // 2
    expected = np.zeros(cells.expected.size)
    for value in values:
        if abs(value) <= centre:
            expected += cells.counts(np.array([value])) * weights[centre + value] * 100_000
    np.testing.assert_allclose(expected, cells.expected, rtol=1e-9, atol=1e-6)


def test_correlation_has_at_most_its_level_and_finds_what_it_says() -> None:
    count = 400

    def unrelated(chosen: np.random.Generator) -> float:
        one, other = (chosen.integers(-2, 3, count).astype(np.float64) for _ in range(2))
        return correlation_p(one, other)

    assert by_simulation(unrelated, 2000, 0.01) > 1e-6
    r = detected_correlation(count)

    def related(chosen: np.random.Generator) -> float:
        one, other = chosen.standard_normal((2, count))
        return correlation_p(one, r * one + math.sqrt(1 - r * r) * other)

    chosen = np.random.default_rng(1)
    found = sum(related(chosen) < LEVEL_OF_ATTEMPT for _ in range(1000))
    assert found / 1000 == pytest.approx(POWER_OF_ATTEMPT, abs=0.015)


def test_correlation_of_what_does_not_vary_is_rejected() -> None:
    assert correlation_p(np.zeros(10), np.arange(10.0)) == 0
    assert correlation_p(np.arange(10.0), np.arange(10.0)) == 0


def test_a_third_of_the_noise_reused_needs_290_coordinates() -> None:
    assert detected_correlation(290) <= 1 / 3 < detected_correlation(289)


def test_binomial_tails_are_exact() -> None:
    assert two_sided(0, 10, 0.5) == pytest.approx(2 * 2.0**-10)
    assert two_sided(5, 10, 0.5) == 1.0


def test_squares_that_are_no_number_have_no_p_value() -> None:
    """The runner makes an error of it; a p value of 1 would be a result."""
    assert math.isnan(variance_p(math.nan, 100, Moments(variance=9.0)))
