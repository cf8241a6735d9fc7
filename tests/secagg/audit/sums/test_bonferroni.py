"""The smallest p value times the number of tests."""

import math

import pytest

from secagg.audit.sums.bonferroni import SingleTest, corrected


def test_smallest_p_value_is_multiplied_by_the_number_of_tests() -> None:
    result = corrected(SingleTest(what=f"test {at}", p_value=value) for at, value in enumerate([0.3, 2e-4, 0.9, 0.01]))
    assert result.p_value == pytest.approx(8e-4)
    assert result.rejects
    assert result.evidence == "test 1: p = 2.0e-04."


def test_corrected_p_value_is_at_most_one() -> None:
    result = corrected([SingleTest(what="a", p_value=0.7), SingleTest(what="b", p_value=0.8)])
    assert result.p_value == 1.0
    assert not result.rejects


def test_p_value_that_is_no_number_is_not_taken_for_a_large_one() -> None:
    tests = [SingleTest(what="a", p_value=0.7), SingleTest(what="b", p_value=math.nan)]
    assert math.isnan(corrected(tests).p_value or 0.0)
