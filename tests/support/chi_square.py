"""Pearson's test of counts, and of samples against the exact Skellam law."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats


def chi_square(counts: NDArray[np.int64], expected: NDArray[np.float64]) -> float:
    """Return the p-value of Pearson's test, pooling all cells that expect fewer than ten.

    Should even the pool expect fewer, it is tested for having too many, by its Poisson law, on its own.
    """
    common = expected >= 10
    rare, rare_expected = int(counts[~common].sum()), float(expected[~common].sum())
    if rare_expected < 10:
        excess = float(stats.poisson.sf(rare - 1, max(rare_expected, 0)))
        return 2 * min(excess, float(stats.chisquare(counts[common], expected[common], sum_check=False).pvalue))
    observed, predicted = [*counts[common], rare], [*expected[common], rare_expected]
    return float(stats.chisquare(observed, predicted, sum_check=False).pvalue)


def skellam_chi_square(samples: NDArray[np.int64], variance: float) -> float:
    """Return the p-value of Pearson's test against exp(-v) I_k(v)."""
    reach = math.ceil(12 * math.sqrt(variance)) + 12
    expected = special.ive(np.abs(np.arange(-reach, reach + 1)), variance) * samples.size
    within = samples[np.abs(samples) <= reach] + reach
    counts = np.bincount(within, minlength=2 * reach + 1)
    # One cell for whatever is beyond.
    return chi_square(np.append(counts, samples.size - within.size), np.append(expected, samples.size - expected.sum()))
