"""The narrow discrete Gaussian: its table counted in exact arithmetic, its samples tested against its probabilities."""

import math
import os
from fractions import Fraction

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scipy import stats

from protocols.crypto.lattice.gaussian import REACH, WIDTH, GaussianStream, settle, thresholds
from protocols.crypto.secret import Secret

SUPPORT = range(-REACH, REACH + 1)


def series(exponent: Fraction) -> Fraction:
    """exp(-exponent) by squaring a Taylor series, to far more than 100 digits."""
    halvings = max(0, exponent.numerator.bit_length() - exponent.denominator.bit_length() + 2)
    scale = 1 << 1200
    small = (exponent.numerator * scale) // (exponent.denominator << halvings)
    total, term = scale, scale
    for order in range(1, 200):
        term = -term * small // (scale * order)
        total += term
    for _ in range(halvings):
        total = total * total // scale
    return Fraction(total, scale)


def distribution() -> list[Fraction]:
    weights = [series(Fraction(x * x) / (2 * WIDTH**2)) for x in SUPPORT]
    return [weight / sum(weights) for weight in weights]


def test_thresholds_are_floors_of_the_distribution_function() -> None:
    probabilities = distribution()
    for bits in (16, 80, 144):
        running, floors = Fraction(0), []
        for probability in probabilities[:-1]:
            running += probability
            floors.append(math.floor(running * 2**bits))
        assert thresholds(bits) == tuple(floors)


def test_every_first_word_is_settled_as_its_real_number_demands() -> None:
    """With more bits that are all zero and all one, the sample is that of either end of the word's interval."""
    fine = thresholds(80)
    for prefix in (*range(0, 2**16, 97), *(limit for limit in set(thresholds(16)))):
        for more in (0, 2**64 - 1, 2**63):
            point = prefix << 64 | more
            if point in fine:
                continue
            assert settle(prefix, iter([more]).__next__) == sum(limit < point for limit in fine) - REACH


def test_a_word_on_a_threshold_reads_on() -> None:
    for x in (-60, -40, -1, 0, 1, 39, 59):
        index = x + REACH
        long = thresholds(208)[index]
        words = [(long >> shift) & (2**64 - 1) for shift in (128, 64, 0)]
        below, above = [*words[:2], words[2] - 1], [*words[:2], words[2] + 1]
        assert settle(long >> 192, iter(below).__next__) <= x
        assert settle(long >> 192, iter(above).__next__) > x


def test_samples_follow_their_probabilities() -> None:
    """A chi-square test of 2,000,000 samples: one false alarm in 10^6, with one retry."""
    probabilities = np.array([float(probability) for probability in distribution()])
    count = 2_000_000

    def p_value() -> float:
        observed = np.bincount(
            GaussianStream(Secret(os.urandom(32))).draw(count).astype(np.int64) + REACH, minlength=255
        )
        central = np.flatnonzero(probabilities * count >= 20)
        expected = probabilities[central] * count
        tails = [count - observed[central].sum()], [count - expected.sum()]
        return float(stats.chisquare([*observed[central], *tails[0]], [*expected, *tails[1]]).pvalue)

    assert p_value() > 1e-3 or p_value() > 1e-3


def test_stream_goes_on_and_is_fixed_by_its_seed() -> None:
    first, second = (GaussianStream(Secret(bytes(32))) for _ in range(2))
    drawn = np.concatenate([first.draw(1000), first.draw(0), first.draw(24)])
    assert np.array_equal(drawn[:1000], second.draw(1000))
    assert not np.array_equal(drawn[:24], drawn[1000:])
    assert drawn.dtype == np.int8
    assert not np.array_equal(GaussianStream(Secret(bytes(31) + b"\1")).draw(1000), drawn[:1000])


def test_samples_are_settled_by_the_stream_in_order() -> None:
    """All first words, and then 64 bits for each word on a threshold, one after the other: 100,000 words have 85."""
    seed, count = bytes(range(32)), 100_000
    stream = Cipher(algorithms.AES256(seed), modes.CTR(bytes(16))).encryptor().update(bytes(4 * count))
    firsts = np.frombuffer(stream[: 2 * count], dtype="<u2").tolist()
    later = iter(np.frombuffer(stream[2 * count :], dtype="<u8").tolist())
    expected = [settle(first, later.__next__) for first in firsts]
    drawn = GaussianStream(Secret(seed))
    assert drawn.draw(count).tolist() == expected
    following = next(later).to_bytes(8, "little")  # The next draw begins where this one has ended.
    assert drawn.draw(1)[0] == settle(int.from_bytes(following[:2], "little"), later.__next__)


def test_cut_leaves_out_less_than_claimed() -> None:
    weights = [series(Fraction(x * x) / (2 * WIDTH**2)) for x in range(REACH + 1, REACH + 40)]
    assert 2 * 2 * sum(weights) < Fraction(1, 2**270)
