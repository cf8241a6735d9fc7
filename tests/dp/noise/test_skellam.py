"""Statistical tests raise a false alarm with probability 1e-6 a check and get one retry on a fresh seed."""

import decimal
import hashlib
import math
import os
from bisect import bisect_left
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from dp.errors import EntropyFailure, InvalidParameter
from dp.noise.discrete_gaussian import KeyStream
from dp.noise.skellam import PoissonTable, settle, skellam, thresholds
from tests.support.chi_square import skellam_chi_square

pytestmark = pytest.mark.slow

FALSE_ALARM = 1e-6
ONES = 2**64 - 1
MEANS = [Fraction(1, 2**31), Fraction(1, 3), Fraction(1), Fraction(37, 5), Fraction(0.1) * 500, Fraction(2000)]


def seeded(label: str) -> Callable[[int], bytes]:
    return lambda length: hashlib.shake_256(label.encode()).digest(length)


def passes(p_value: Callable[[], float]) -> bool:
    return any(p_value() > FALSE_ALARM for _ in range(2))


def floors(mean: Fraction, bits: int) -> list[int]:
    """Return floor(2^bits F(x)) from x = 0 to the first that is 2^bits - 1, by the textbook's formula in 150 digits."""
    with decimal.localcontext(decimal.Context(prec=150)):
        mu = decimal.Decimal(mean.numerator) / decimal.Decimal(mean.denominator)
        weight = (-mu).exp() * 2**bits
        total, result = weight, [int(weight)]
        while result[-1] < 2**bits - 1:
            weight = weight * mu / len(result)
            total += weight
            result.append(int(total))
        return result


class RiggedBits:
    """A stream whose bits are chosen by the test."""

    def __init__(self, words: list[int], further: list[int]) -> None:
        self.chosen = words
        self.further = further

    def words(self, count: int) -> NDArray[np.uint64]:
        assert count == len(self.chosen)
        return np.array(self.chosen, dtype=np.uint64)

    def integer(self, bits: int) -> int:
        assert bits == 64
        return self.further.pop(0)


# 2e6 samples each.
@pytest.mark.parametrize("variance", [2.0**-10, 0.3, 1.0, 2.0, 10 / 3, 25.0, 100.0, 1e3, 1e4, 1e6])
def test_skellam_follows_the_exact_pmf(variance: float) -> None:
    assert passes(lambda: skellam_chi_square(skellam(variance, 2_000_000), variance))


# 1e6 samples each; at these variances the distribution functions of Skellam and normal law differ by less than 1e-8.
@pytest.mark.parametrize("variance", [1e8, 2.0**32])
def test_skellam_follows_the_normal_law_at_large_variances(variance: float) -> None:
    sigma = math.sqrt(variance)
    edges = np.ceil(sigma * stats.norm.ppf(np.arange(1, 200) / 200))
    expected = np.diff(stats.norm.cdf(np.concatenate([[-np.inf], (edges - 0.5) / sigma, [np.inf]]))) * 1_000_000

    def p_value() -> float:
        cells = np.bincount(np.searchsorted(edges, skellam(variance, 1_000_000), side="right"), minlength=200)
        return float(stats.chisquare(cells, expected, sum_check=False).pvalue)

    assert passes(p_value)


# 1e6 samples each; the kurtosis, 3 + 1/v, is that of the Skellam law.
@pytest.mark.parametrize("variance", [0.5, 2.0, 1e2, 1e5, 1e9])
def test_skellam_has_its_moments_and_no_serial_correlation(variance: float) -> None:
    def p_value() -> float:
        scaled = skellam(variance, 1_000_000) / math.sqrt(variance)
        deviations = [
            scaled.mean() * 1000,
            ((scaled**2).mean() - 1) * 1000 / math.sqrt(2 + 1 / variance),
            (scaled[1:] * scaled[:-1]).mean() * 1000,
            (scaled[16384:] * scaled[:-16384]).mean() * 1000,
        ]
        return len(deviations) * 2 * float(stats.norm.sf(np.abs(deviations).max()))

    assert passes(p_value)


# 1e6 sums each.
@pytest.mark.parametrize("variances", [(0.25, 0.5), (3.0, 7.0), (100.0, 2000.0)])
def test_sums_are_skellam_of_the_sum_of_variances(variances: tuple[float, float]) -> None:
    def p_value() -> float:
        total = skellam(variances[0], 1_000_000) + skellam(variances[1], 1_000_000)
        variance = sum(variances)
        deviation = ((total**2).mean() / variance - 1) * 1000 / math.sqrt(2 + 1 / variance)
        return 2 * min(skellam_chi_square(total, variance), 2 * float(stats.norm.sf(abs(deviation))))

    assert passes(p_value)


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("bits", [16, 64, 128, 192])
def test_thresholds_are_floors_of_the_distribution_function(mean: Fraction, bits: int) -> None:
    first, found = thresholds(mean, bits)
    expected = floors(mean, bits)
    assert [0] * first + found == expected[: first + len(found)]
    assert set(expected[first + len(found) :]) == {2**bits - 1}


def test_thresholds_are_right_at_a_large_mean() -> None:
    first, found = thresholds(Fraction(100_001, 2), 64)
    expected = floors(Fraction(100_001, 2), 64)
    assert [0] * first + found == expected[: first + len(found)]
    assert set(expected[first + len(found) :]) == {ONES}


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("whole", [2**63 + 12345, 2**20 + 7])
def test_thresholds_are_right_where_the_distribution_function_nearly_meets_one(sign: int, whole: int) -> None:
    """F(0) = exp(-mu) is within 1e-60 of `whole` over 2^64, which takes more digits than are tried first."""
    with decimal.localcontext(decimal.Context(prec=150)):
        mean = Fraction(-(decimal.Decimal(whole) / 2**64).ln()) + sign * Fraction(1, 10**60)
    first, found = thresholds(mean, 64)
    assert (first, found[0]) == (0, whole if sign < 0 else whole - 1)
    assert found == floors(mean, 64)[: len(found)]


@settings(max_examples=30, deadline=None)
@given(st.fractions(min_value=Fraction(1, 2**31), max_value=3000, max_denominator=2**40))
def test_thresholds_of_more_bits_extend_those_of_fewer(mean: Fraction) -> None:
    first, found = thresholds(mean, 64)
    more_first, more_found = thresholds(mean, 128)
    skipped = first - more_first
    assert skipped >= 0
    assert found == [floor >> 64 for floor in more_found[skipped : skipped + len(found)]]
    assert all(floor >> 64 == 0 for floor in more_found[:skipped])
    assert all(floor >> 64 == ONES for floor in more_found[skipped + len(found) :])


@pytest.mark.parametrize("mean", [*MEANS, Fraction(10**4)])
def test_draw_counts_thresholds_below_each_word(mean: Fraction) -> None:
    expected = floors(mean, 64)
    words = KeyStream(seeded(f"{mean}")).words(5000).tolist()
    drawn = PoissonTable.of(mean).draw(5000, KeyStream(seeded(f"{mean}")))
    assert drawn.tolist() == [bisect_left(expected, word) for word in words]


@pytest.mark.parametrize("mean", MEANS)
def test_draw_is_right_next_to_every_threshold(mean: Fraction) -> None:
    first, found = thresholds(mean, 64)
    words = sorted({near for limit in found for near in (limit - 1, limit + 1)} - {0, ONES, *found})
    drawn = PoissonTable.of(mean).draw(len(words), RiggedBits(words, []))
    assert drawn.tolist() == [first + sum(limit < word for limit in found) for word in words]


@pytest.mark.parametrize(("further", "beyond"), [(0, 0), (ONES, 1)])
def test_words_on_a_threshold_are_settled_by_further_bits(further: int, beyond: int) -> None:
    mean = Fraction(37, 5)
    first, found = thresholds(mean, 64)
    middle = found[5:15]
    bits = RiggedBits(middle, [further] * len(middle))
    drawn = PoissonTable.of(mean).draw(len(middle), bits)
    assert drawn.tolist() == [first + 5 + index + beyond for index in range(len(middle))]
    assert bits.further == []


@pytest.mark.parametrize(("step", "beyond"), [(-1, 0), (1, 1)])
def test_ties_are_refined_as_often_as_it_takes(step: int, beyond: int) -> None:
    mean = Fraction(50)
    deep = floors(mean, 256)[47]
    words = [deep >> shift & ONES for shift in (192, 128, 64, 0)]
    bits = RiggedBits(words[:1], [*words[1:3], words[3] + step])
    assert PoissonTable.of(mean).draw(1, bits).tolist() == [47 + beyond]
    assert bits.further == []


@pytest.mark.parametrize("mean", [Fraction(1, 2**31), Fraction(1, 2), Fraction(500)])
@pytest.mark.parametrize("prefix", [0, ONES])
@pytest.mark.parametrize("further", [2**20 + 7, 2**40 + 5, 2**63 + 11, ONES - 2**20])
def test_extreme_words_read_on_into_the_tails(mean: Fraction, prefix: int, further: int) -> None:
    bits = RiggedBits([prefix], [further])
    drawn = PoissonTable.of(mean).draw(1, bits).tolist()
    assert drawn == [bisect_left(floors(mean, 128), prefix << 64 | further)]
    assert bits.further == []


def test_settle_goes_beyond_any_table() -> None:
    """128 ones and then a zero: a sample that has a probability of less than 2^-128."""
    sample = settle(Fraction(100), ONES, RiggedBits([], [ONES, 0]))
    first, found = thresholds(Fraction(100), 64)
    assert sample == bisect_left(floors(Fraction(100), 192), (2**128 - 1) << 64)
    assert sample > first + len(found) + 20


def test_skellam_is_the_difference_of_two_draws() -> None:
    table, bits = PoissonTable.of(Fraction(150)), KeyStream(seeded("difference"))
    differences = [table.draw(count, bits) - table.draw(count, bits) for count in (16_384, 16_384, 7)]
    np.testing.assert_array_equal(skellam(300, 2 * 16_384 + 7, seeded("difference")), np.concatenate(differences))


def test_skellam_is_a_function_of_its_seed() -> None:
    first = skellam(1e4, 50_000, seeded("a"))
    np.testing.assert_array_equal(first, skellam(Fraction(10_000), 50_000, entropy=seeded("a")))
    assert (first != skellam(10_000, 50_000, seeded("b"))).mean() > 0.9
    assert not np.array_equal(skellam(1e4, 50_000, os.urandom), skellam(1e4, 50_000, os.urandom))
    assert first.dtype == np.int64


def test_skellam_takes_a_float_for_the_rational_that_it_is() -> None:
    of_float, of_decimal = PoissonTable.of(Fraction(0.1) / 2), PoissonTable.of(Fraction(1, 20))
    assert not np.array_equal(of_float.limits, of_decimal.limits)
    assert floors(Fraction(0.1) / 2, 64)[0] == int(of_float.limits[1])
    PoissonTable.of.cache_clear()
    skellam(0.1, 1, seeded("float"))
    PoissonTable.of(Fraction(0.1) / 2)
    assert PoissonTable.of.cache_info().misses == 1


@pytest.mark.parametrize("variance", [2.0**-30, Fraction(1, 2**30), 2**32])
def test_skellam_takes_its_extremes(variance: float | Fraction) -> None:
    samples = skellam(variance, 1000, seeded("extremes"))
    assert np.abs(samples).max() <= 12 * math.sqrt(variance)


@pytest.mark.parametrize("size", [1, 2, 16_383, 16_384, 16_385, 100_003])
def test_skellam_returns_as_many_as_asked_for(size: int) -> None:
    assert skellam(5, size, seeded("size")).shape == (size,)


@pytest.mark.parametrize(
    "variance", [0, -1.0, 2.0**-31, 2.0**32 + 1, math.nan, math.inf, True, "2", None, Fraction(0), Fraction(10**400)]
)
def test_skellam_refuses_variance(variance: Any) -> None:
    with pytest.raises(InvalidParameter, match="variance"):
        skellam(variance, 1)


@pytest.mark.parametrize("size", [0, -3, 1.0, True, None, 2**60])
def test_skellam_refuses_size(size: Any) -> None:
    with pytest.raises(InvalidParameter, match="size"):
        skellam(2.0, size)


@pytest.mark.parametrize("entropy", [lambda n: b"short", lambda n: bytes(n + 1), lambda n: "x" * n, lambda n: None])
def test_skellam_refuses_other_entropy(entropy: Any) -> None:
    with pytest.raises(EntropyFailure, match="32 bytes"):
        skellam(2.0, 1, entropy)
