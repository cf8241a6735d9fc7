"""Tests of noise of a known law: their p values, and what they detect at which sample size.

Variance. For N independent values x of a symmetric law with variance v and fourth cumulant k, the sum of squares has
the mean N v and the variance N (k + 2 v^2). It is compared with c times a chi-square variable of f degrees of freedom
that has the same mean and variance (Satterthwaite, Biometrics Bulletin 2, 1946, cited from memory):
f = 2 N v^2 / (k + 2 v^2) and c = N v / f. For the normal law this is exact. For lattice noise the third cumulants
differ, by a part of the order of 1 / f of the skewness, and sums of squares are whole numbers. So the p value is
corrected for continuity. The exact chance of a false alarm, by convolution, is from 0.94 to 1 times the nominal one for
all noise of at least `LEAST_FREEDOM` degrees of freedom that was tried
(`tests/secagg/audit/mechanisms/test_statistics_mechanisms.py`). The binomial counts of `mechanisms.sampling` are
skewed, which makes one tail heavier and the other lighter: together, 0.985 to 1.002 times the nominal chance.

Correlation. The correlation coefficient of two independent samples follows Student's law exactly if one of them is
normal, whatever the other is (Kendall and Stuart, "The Advanced Theory of Statistics", volume 2, cited from memory).
For other noise, and for neighbouring values of one sample, this is an approximation. With excess kurtoses g of both
samples, the excess kurtosis of the coefficient is about g^2 / N. It is at most 1 / 200 from `least_pairs` values on.
Sums of products of integers are whole, so the p value is corrected for continuity. For the sparsest noise the exact
chance of a false alarm at the level 1e-3 is then 0.80e-3 (a test computes it). Without both it was up to 3.4e-3.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from secagg.audit.attack import LEVEL_OF_ATTEMPT
from secagg.audit.mechanisms.law import Law, Moments

POWER_OF_ATTEMPT: Final = 0.995
"""The chance that one attempt rejects the alternative that its plan names; both attempts together have 99%."""
LEAST_FREEDOM: Final = 1000.0
"""The least degrees of freedom of a test of variance. With fewer, a sample of sparse noise says too little."""
_LEAST_PAIRS: Final = 200.0
"""The least number of pairs of values over the squared excess kurtosis."""
_LEAST_EXPECTED: Final = 20.0
_MOST_CELLS: Final = 200
_SMALL_CELLS: Final = 2.0
"""The factor of p values of Pearson's test.

With few cells of which two expect 20, the chance of a p value below 1e-3 was 1.55e-3, and 0.89e-3 with this factor (10
million samples of multinomials).
"""


def freedom(count: float, moments: Moments) -> float:
    """Return the degrees of freedom of the sum of squares of this number of values."""
    return 2 * count * moments.variance**2 / (moments.fourth + 2 * moments.variance**2)


def least_count(moments: Moments) -> int:
    """Return the least number of values for a test of variance."""
    return math.ceil(LEAST_FREEDOM / freedom(1, moments))


def least_pairs(moments: Moments) -> int:
    """Return the least number of pairs of values for a test of correlation."""
    return max(least_count(moments), math.ceil(_LEAST_PAIRS * (moments.fourth / moments.variance**2) ** 2))


def variance_p(squares: float, count: float, moments: Moments) -> float:
    """Return the two-sided p value of a sum of squares, corrected for continuity: sums of squared integers are whole.

    Args:
        squares: The sum of the squares of independent values.
        count: The number of values.
        moments: The moments of one value if the claim holds.
    """
    degrees = freedom(count, moments)
    scale = degrees / (count * moments.variance)
    below, above = stats.chi2.cdf((squares + 0.5) * scale, degrees), stats.chi2.sf((squares - 0.5) * scale, degrees)
    return min(2 * float(min(below, above)), 1.0)


def detected_deviations(count: float, moments: Moments, *, tests: int = 1) -> tuple[float, float]:
    """Return the factors of the deviation that a test of variance detects: at most the first, at least the second.

    Noise of this factor times the planned standard deviation, and otherwise of the same law, is rejected by one attempt
    with the probability `POWER_OF_ATTEMPT`.

    Args:
        count: The number of values of a test.
        moments: The moments of one value if the claim holds.
        tests: The number of tests that share the level.
    """
    degrees, tail = freedom(count, moments), LEVEL_OF_ATTEMPT / (2 * tests)
    below = stats.chi2.ppf(tail, degrees) / stats.chi2.ppf(POWER_OF_ATTEMPT, degrees)
    above = stats.chi2.isf(tail, degrees) / stats.chi2.ppf(1 - POWER_OF_ATTEMPT, degrees)
    return math.sqrt(below), math.sqrt(above)


def count_for(ratio: float, moments: Moments) -> int:
    """Return the number of values at which a test of variance detects a variance of `ratio` times the planned one."""

    def excess(logarithm: float) -> float:
        below, above = detected_deviations(math.exp(logarithm), moments)
        return math.log(ratio) - 2 * math.log(above) if ratio > 1 else 2 * math.log(below) - math.log(ratio)

    return math.ceil(math.exp(optimize.brentq(excess, math.log(2.0), math.log(1e18), xtol=1e-12)))


def in_words(count: float, moments: Moments, *, tests: int = 1, what: str = "noise", law: str = "planned") -> str:
    """Return what a test of variance rejects with 99% probability.

    Args:
        count: The number of values of a test.
        moments: The moments of one value if the claim holds.
        tests: The number of tests that share the level.
        what: What the values are, in words.
        law: Whose deviation the claim is, in words.
    """
    below, above = detected_deviations(count, moments, tests=tests)
    return f"{what} at {below:.5g} times the {law} deviation or less, or {above:.5g} times or more"


def correlation_p(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the two-sided p value of the correlation of two samples of integers, corrected for continuity.

    It is 0 if one of the samples is constant, as no noise is.
    """
    one, other = one - one.mean(), other - other.mean()
    size = math.sqrt(float(one @ one) * float(other @ other))
    if size == 0:
        return 0.0
    products = abs(float(one @ other))
    if products >= size:
        return 0.0
    r = max(0.0, products - 0.5) / size
    return float(2 * stats.t.sf(r * math.sqrt((one.size - 2) / (1 - r * r)), one.size - 2))


def detected_correlation(count: int, *, tests: int = 1) -> float:
    """Return the correlation that is detected with the probability `POWER_OF_ATTEMPT`, by Fisher's transformation."""
    spread = stats.norm.isf(LEVEL_OF_ATTEMPT / (2 * tests)) + stats.norm.isf(1 - POWER_OF_ATTEMPT)
    return math.tanh(float(spread) / math.sqrt(count - 3))


class Cells:
    """A division of the integers for a chi-square test: at most 200 cells that each expect at least 20 values.

    Args:
        law: The law.
        count: The number of values that the test will see.

    Attributes:
        expected: The expected number of values of each cell.
    """

    def __init__(self, law: Law, count: int) -> None:
        step = max(1, math.ceil(math.sqrt(law.moments.variance) / 32))
        edges = np.arange(-law.reach, law.reach + 1, step, dtype=np.int64)
        cumulated = law.cumulated(edges) * count
        kept: list[int] = []
        last = 0.0
        share = max(_LEAST_EXPECTED, count / _MOST_CELLS)
        for edge, below in zip(edges.tolist(), cumulated.tolist(), strict=True):
            # The tails keep small cells, where a wrong law differs most.
            least = _LEAST_EXPECTED if min(below, count - below) < share else share
            if below - last >= least and count - below >= _LEAST_EXPECTED:
                kept.append(edge)
                last = below
        self._edges = np.array(kept, dtype=np.int64)
        self.expected = np.diff(np.concatenate([[0.0], law.cumulated(self._edges) * count, [float(count)]]))

    def counts(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of values in each cell."""
        cells = np.searchsorted(self._edges, values, side="left")
        return np.bincount(cells, minlength=self.expected.size).astype(np.int64)

    def p_value(self, counts: NDArray[np.int64]) -> tuple[float, float]:
        """Return Pearson's statistic and its p value, doubled for the sake of cells that expect few values."""
        statistic = float((((counts - self.expected) ** 2) / self.expected).sum())
        return statistic, min(_SMALL_CELLS * float(stats.chi2.sf(statistic, self.expected.size - 1)), 1.0)

    def detected(self, count: int) -> float:
        """Return the sum of (q - p)^2 / p over cells that the test detects, by the noncentral chi-square law.

        Here p is the claimed probability of a cell and q the true one.
        """
        degrees = self.expected.size - 1
        threshold = stats.chi2.isf(LEVEL_OF_ATTEMPT / _SMALL_CELLS, degrees)
        shift = optimize.brentq(lambda s: stats.ncx2.sf(threshold, degrees, s) - POWER_OF_ATTEMPT, 1e-3, 1e5)
        return float(shift) / count
