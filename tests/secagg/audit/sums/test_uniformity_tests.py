"""P values of uniform words are uniform, and those of words that are not are small."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from protocols.session import Vector
from secagg.audit.sums import uniformity_tests

TESTS: tuple[tuple[Callable[[Vector, int], float], int], ...] = (
    (uniformity_tests.residues, 16),
    (uniformity_tests.thirds, 3 * 2**14),
    (uniformity_tests.harmonic, 2**32),
    (uniformity_tests.kolmogorov, 2**32),
    (uniformity_tests.byte_values, 2**32),
)


def p_value(test: Callable[[Vector, int], float], words: Vector, modulus: int) -> float:
    return test(words, 1 if test is uniformity_tests.byte_values else modulus)


@pytest.mark.parametrize(("test", "modulus"), TESTS)
def test_p_values_of_uniform_words_are_at_most_as_small_as_they_say(
    test: Callable[[Vector, int], float], modulus: int
) -> None:
    """Of 400 samples, about 4 are below 0.01: more than 17 have a chance of 1e-7."""
    generator = np.random.default_rng(7)
    found = [p_value(test, generator.integers(0, modulus, 2_048, dtype=np.uint64), modulus) for _ in range(400)]
    assert sum(value < 0.01 for value in found) <= 17
    assert 0.4 < float(np.mean(found)) < 0.6


@pytest.mark.parametrize(("test", "modulus"), TESTS[:4])
def test_p_values_of_half_of_the_range_are_small(test: Callable[[Vector, int], float], modulus: int) -> None:
    words = np.random.default_rng(7).integers(0, modulus // 2, 1_000, dtype=np.uint64)
    assert test(words, modulus) < 1e-9


def test_p_value_of_a_constant_byte_is_small() -> None:
    words = np.random.default_rng(7).integers(0, 2**32, 4_096, dtype=np.uint64) & np.uint64(0xFFFF00FF)
    assert uniformity_tests.byte_values(words, 1) == 0
    assert uniformity_tests.byte_values(words, 0) > 1e-6


def test_reduced_words_are_twice_as_often_in_the_first_third() -> None:
    words = np.random.default_rng(7).integers(0, 2**16, 1_000, dtype=np.uint64) % np.uint64(3 * 2**14)
    assert uniformity_tests.thirds(words, 3 * 2**14) < 1e-9


@pytest.mark.parametrize(("cells", "count"), [(256, 4_096), (256, 8_192), (251, 20_000), (192, 20_000), (17, 20_000)])
def test_pearsons_test_has_at_most_its_level_by_three_moments(cells: int, count: int) -> None:
    """The third cumulant is that of Haldane; all three were checked by enumeration of small multinomials."""
    variance = 2 * (cells - 1) * (count - 1) / count
    third = 4 * (cells - 1) * (count - 1) * (cells + 2 * count - 6) / count**2
    for level in (1e-3, 5e-5):
        statistic = stats.chi2.isf(level / uniformity_tests.CORRECTION, cells - 1)
        found = stats.pearson3.sf((statistic - cells + 1) / variance**0.5, third / variance**1.5)
        assert 0.9 * level < found <= level
