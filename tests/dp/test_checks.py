"""Which arguments are accepted as numbers, probabilities, members and texts, and as which plain values."""

import enum
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from dp.checks import (
    MAXIMUM_COUNT,
    check_delta,
    integer_at_least,
    magnitude,
    member,
    positive_rational,
    positive_real,
    printable,
    probability,
    short_text,
)
from dp.errors import InvalidParameter
from dp.events import PrivacyUnit, Trust


class Level(enum.Enum):
    """An enumeration whose values are no texts."""

    LOW = 1


@pytest.mark.parametrize(
    ("check", "value", "plain"),
    [
        (positive_real, np.float32(0.5), 0.5),
        (positive_real, Fraction(1, 4), 0.25),
        (magnitude, np.int64(3), 3.0),
        (magnitude, 1e30, 1e30),
        (positive_rational, 0.1, Fraction(0.1)),
        (positive_rational, Fraction(1, 3), Fraction(1, 3)),
        (probability, np.float64(0.25), 0.25),
        (short_text, "a label", "a label"),
    ],
)
def test_values_in_range_become_plain_ones(check: Callable[[str, object], Any], value: object, plain: object) -> None:
    found = check("value", value)
    assert (type(found), found) == (type(plain), plain)


@pytest.mark.parametrize(
    "value", [0, -1, -1e-300, math.nan, math.inf, True, "1", None, 1j, pytest.param(10**400, id="10**400")]
)
@pytest.mark.parametrize("check", [positive_real, magnitude, positive_rational, probability])
def test_values_that_are_no_numbers_above_zero_are_refused(check: Callable[[str, object], Any], value: object) -> None:
    with pytest.raises(InvalidParameter, match=r"^value: expected a"):
        check("value", value)


@pytest.mark.parametrize("value", [9.9e-31, 1.1e30, 1e40])
def test_numbers_beyond_what_accounting_can_square_are_refused(value: float) -> None:
    assert positive_real("value", value) == value
    with pytest.raises(InvalidParameter, match=r"from 1e-30 to 1e\+30"):
        magnitude("value", value)


def test_number_of_thousands_of_digits_is_refused_with_a_short_error() -> None:
    with pytest.raises(InvalidParameter) as caught:
        integer_at_least("value", 10**5000, 1)
    assert len(str(caught.value)) < 100


def test_integers_become_python_ones_within_both_bounds() -> None:
    for value in (1, np.int16(1), np.uint64(MAXIMUM_COUNT)):
        found = integer_at_least("count", value, 1)
        assert (type(found), found) == (int, int(value))
    assert integer_at_least("count", 5, 1, maximum=5) == 5
    for wrong in (0, 6, 1.0, True, "1", None):
        with pytest.raises(InvalidParameter, match=r"^count: expected an integer"):
            integer_at_least("count", wrong, 1, maximum=5)


def test_probability_of_one_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="both excluded, found 1"):
        probability("rate", 1)


def test_delta_must_be_below_one_over_the_population() -> None:
    check_delta(0.9e-3, population=1000)
    for delta in (1e-3, 0.5):
        with pytest.raises(InvalidParameter, match=r"expected less than 1/1000 = 0\.001"):
            check_delta(delta, population=1000)
    with pytest.raises(InvalidParameter, match=r"^population"):
        check_delta(1e-3, population=0)


def test_members_are_accepted_by_their_text_if_they_are_texts() -> None:
    assert member("trust", "local", Trust) is Trust.LOCAL
    assert member("unit", PrivacyUnit.EXAMPLE, PrivacyUnit) is PrivacyUnit.EXAMPLE
    assert member("level", Level.LOW, Level) is Level.LOW
    for name, value, kind in (
        ("trust", "all", Trust),
        ("trust", None, Trust),
        ("unit", "client", PrivacyUnit),
        ("level", 1, Level),
    ):
        with pytest.raises(InvalidParameter, match=f"^{name}: expected "):
            member(name, value, kind)


@pytest.mark.parametrize("text", ["", "a" * 201, "line\nbreak", "\x1b[31m", b"bytes", None])
def test_texts_that_are_empty_long_or_not_printable_are_refused(text: object) -> None:
    with pytest.raises(InvalidParameter, match="1 to 200 printable characters"):
        short_text("label", text)


def test_foreign_texts_are_made_printable_and_short() -> None:
    assert printable("a\x1b[31mb\n") == "a?[31mb?"
    assert len(printable("a" * 1000)) == 200
