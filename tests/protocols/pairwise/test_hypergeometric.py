from fractions import Fraction
from math import comb, exp, inf, isclose, log

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from protocols.pairwise.hypergeometric import LOG_ROUNDING, log_choose, upper_quantile


def exact_tail(population: int, marked: int, sample: int, t: int) -> Fraction:
    highest = min(marked, sample)
    ways = sum(comb(marked, x) * comb(population - marked, sample - x) for x in range(t + 1, highest + 1))
    return Fraction(ways, comb(population, sample))


@given(data=st.data(), population=st.integers(1, 80), bits=st.floats(7, 60))
def test_upper_quantile_is_the_exact_one(data: st.DataObject, population: int, bits: float) -> None:
    marked = data.draw(st.integers(0, population))
    sample = data.draw(st.integers(0, population))
    found = upper_quantile(population=population, marked=marked, sample=sample, log_probability=-bits * log(2))
    bound = Fraction(2.0**-bits)
    assert exact_tail(population, marked, sample, found) < bound
    if found > 0:
        assert exact_tail(population, marked, sample, found - 1) >= bound * Fraction(exp(-2 * LOG_ROUNDING))


@pytest.mark.parametrize(("marked", "sample"), [(50_000, 38), (300_000, 11_136), (499_000, 385_000), (3, 999_990)])
def test_upper_quantile_of_a_million_agrees_with_scipy(marked: int, sample: int) -> None:
    bound = 2.0**-41 / 1_000_000
    found = upper_quantile(population=1_000_000, marked=marked, sample=sample, log_probability=log(bound))
    assert hypergeom.sf(found, 1_000_000, marked, sample) < bound
    assert hypergeom.sf(found - 1, 1_000_000, marked, sample) >= bound * (1 - 1e-5)


def test_upper_quantile_widens_its_window_for_a_very_small_probability() -> None:
    found = upper_quantile(population=2_000, marked=400, sample=500, log_probability=-250.0)
    assert exact_tail(2_000, 400, 500, found) < Fraction(exp(-250.0)) <= exact_tail(2_000, 400, 500, found - 1)


def test_upper_quantile_is_the_largest_value_where_the_probability_underflows() -> None:
    assert upper_quantile(population=2_000, marked=400, sample=500, log_probability=-2_000.0) == 400


@pytest.mark.parametrize(
    ("population", "marked", "sample", "log_probability"),
    [
        (0, 0, 0, -9.0),
        (9, -1, 3, -9.0),
        (9, 10, 3, -9.0),
        (9, 3, -1, -9.0),
        (9, 3, 10, -9.0),
        (9, 3, 3, -log(10)),
        (9, 3, 3, float("nan")),
    ],
)
def test_upper_quantile_refuses_what_is_out_of_range(
    population: int, marked: int, sample: int, log_probability: float
) -> None:
    with pytest.raises(ValueError, match=r"cannot draw|expected a value below"):
        upper_quantile(population=population, marked=marked, sample=sample, log_probability=log_probability)


def test_log_choose_counts_nothing_outside_the_range() -> None:
    assert log_choose(5, 6) == log_choose(5, -1) == -inf
    assert isclose(log_choose(60, 30), log(comb(60, 30)), rel_tol=1e-14)
