"""Tests of uniform words: p values of single samples, each a function of the words alone."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from protocols.session import Vector


def residues(words: Vector, modulus: int) -> float:
    """Return the p value of Pearson's chi-square test that words are uniform over the residues of a small modulus."""
    return float(stats.chisquare(np.bincount(words.astype(np.int64), minlength=modulus)).pvalue)


def thirds(words: Vector, modulus: int) -> float:
    """Return the p value of a chi-square test that words are uniform over three equal parts of [0, modulus).

    Words of w bits that are reduced modulo 3 * 2^(w - 2) fall into the first part twice as often as into the others.
    """
    return float(stats.chisquare(np.bincount((words // np.uint64(modulus // 3)).astype(np.int64), minlength=3)).pvalue)


def byte_values(words: Vector, byte: int) -> float:
    """Return the p value of a chi-square test that one byte of each word, 0 for the lowest, is uniform."""
    chosen = (words >> np.uint64(8 * byte)) & np.uint64(0xFF)
    return float(stats.chisquare(np.bincount(chosen.astype(np.int64), minlength=256)).pvalue)


def harmonic(words: Vector, modulus: int) -> float:
    """Return the p value of the first harmonic: of n uniform words, n |mean exp(2 pi i w / m)|^2 is exponential.

    This is the Rayleigh test of directional statistics. Its first-order form is used: at n = 1,000 it is off by less
    than 1% of the p value at 1e-3.
    """
    return float(np.exp(-power_at(words, modulus)))


def power_at(words: Vector, modulus: int) -> float:
    """Return n |mean exp(2 pi i w / m)|^2."""
    wave: NDArray[np.complex128] = np.exp(2j * np.pi * (words.astype(np.float64) / float(modulus)))
    return float(np.abs(wave.sum()) ** 2 / words.size)


def kolmogorov(words: Vector, modulus: int) -> float:
    """Return the p value of the Kolmogorov-Smirnov test that words are uniform on [0, modulus)."""
    return float(stats.kstest((words.astype(np.float64) + 0.5) / float(modulus), "uniform").pvalue)
