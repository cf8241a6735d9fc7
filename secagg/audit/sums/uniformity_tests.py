"""Tests of uniform words: p values of single samples, each a function of the words alone.

Pearson's chi-square has its law only in the limit. Of n values in k equal cells its third cumulant is
4 (k - 1) (n - 1) (k + 2n - 6) / n^2 (Haldane 1937, cited from memory, and checked by enumeration). With these moments,
p values of 5e-5 for 256 cells that expect 16 values each are 4.3% too small, and p values of 1.5e-5 are 2.6% too small
if the cells expect 32. So all p values of this test are multiplied by 1.05.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from protocols.session import Vector

CORRECTION: Final = 1.05
"""The factor of p values of Pearson's test, for cells that expect at least 16 values."""


def residues(words: Vector, modulus: int) -> float:
    """Return the p value of Pearson's chi-square test that words are uniform over the residues of a small modulus."""
    return _pearson(np.bincount(words.astype(np.int64), minlength=modulus))


def thirds(words: Vector, modulus: int) -> float:
    """Return the p value of a chi-square test that words are uniform over three equal parts of [0, modulus).

    Words of w bits that are reduced modulo 3 * 2^(w - 2) fall into the first part twice as often as into the others.
    """
    return _pearson(np.bincount((words // np.uint64(modulus // 3)).astype(np.int64), minlength=3))


def byte_values(words: Vector, byte: int) -> float:
    """Return the p value of a chi-square test that one byte of each word, 0 for the lowest, is uniform."""
    chosen = (words >> np.uint64(8 * byte)) & np.uint64(0xFF)
    return _pearson(np.bincount(chosen.astype(np.int64), minlength=256))


def _pearson(counts: NDArray[np.int64]) -> float:
    """Return the p value of Pearson's test that all cells are equally likely."""
    return min(1.0, CORRECTION * float(stats.chisquare(counts).pvalue))


def harmonic(words: Vector, modulus: int) -> float:
    """Return the p value of the first harmonic: of n uniform words, n |mean exp(2 pi i w / m)|^2 is exponential.

    This is the Rayleigh test of directional statistics. Its first-order form is used. For p values p below exp(-2) it
    errs to the safe side, by a part of about (z^2 - 2z) / (4n) with z = -log p: 0.8% of p = 1e-3 at n = 1,000.
    """
    return float(np.exp(-power_at(words, modulus)))


def power_at(words: Vector, modulus: int) -> float:
    """Return n |mean exp(2 pi i w / m)|^2."""
    wave: NDArray[np.complex128] = np.exp(2j * np.pi * (words.astype(np.float64) / float(modulus)))
    return float(np.abs(wave.sum()) ** 2 / words.size)


def kolmogorov(words: Vector, modulus: int) -> float:
    """Return the p value of the Kolmogorov-Smirnov test that words are uniform on [0, modulus).

    Words are taken for real numbers, which moves the statistic by at most 1 / (2 modulus). With 8,192 words this
    changes a p value of 1e-5 by less than 1% at a modulus of 16 bits, and by nothing that matters above.
    """
    return float(stats.kstest((words.astype(np.float64) + 0.5) / float(modulus), "uniform").pvalue)
