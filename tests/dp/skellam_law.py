"""Pearson's test of samples against the exact Skellam law."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats


def chi_square(samples: NDArray[np.int64], variance: float) -> float:
    """Return the p-value of Pearson's test against exp(-v) I_k(v), pooling all values that expect fewer than ten.

    Should even the pool expect fewer, it is tested for having too many, by its Poisson law, on its own.
    """
    reach = math.ceil(12 * math.sqrt(variance)) + 12
    expected = special.ive(np.abs(np.arange(-reach, reach + 1)), variance) * samples.size
    common = np.flatnonzero(expected >= 10)
    counts = np.bincount(samples[np.abs(samples) <= reach] + reach, minlength=2 * reach + 1)[common]
    rare, rare_expected = samples.size - counts.sum(), samples.size - expected[common].sum()
    if rare_expected < 10:
        excess = float(stats.poisson.sf(rare - 1, max(rare_expected, 0)))
        return 2 * min(excess, float(stats.chisquare(counts, expected[common], sum_check=False).pvalue))
    observed, predicted = [*counts, rare], [*expected[common], rare_expected]
    return float(stats.chisquare(observed, predicted, sum_check=False).pvalue)
