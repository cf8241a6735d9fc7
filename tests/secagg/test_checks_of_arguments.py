"""Which arguments are accepted, as which plain values, and how errors show what was found."""

from enum import StrEnum
from typing import Any

import numpy as np
import pytest

from secagg.checks import check_array, check_choice, check_integer, check_positive, listed, plain_integer, shown
from secagg.errors import ConfigurationError, DataError, EncodingError, ModelError


class Colour(StrEnum):
    """Two choices."""

    RED = "red"
    BLUE = "blue"


def test_numpy_integers_become_plain_and_nothing_else_does() -> None:
    assert type(plain_integer(np.uint8(3))) is int
    for value in (True, 3.0, np.float64(3), "3", None):
        assert plain_integer(value) is value


def test_choice_is_taken_as_a_member_or_by_its_value() -> None:
    assert check_choice("colour", "red", Colour) is Colour.RED
    assert check_choice("colour", Colour.BLUE, Colour) is Colour.BLUE
    for value in ("green", "RED", 1, None, ["red"]):
        with pytest.raises(ConfigurationError, match=r"^colour: expected one of red, blue, found"):
            check_choice("colour", value, Colour)
    with pytest.raises(EncodingError):
        check_choice("colour", "green", Colour, error=EncodingError)


def test_integer_is_at_least_its_minimum_and_no_bool() -> None:
    assert type(check_integer("count", np.int32(2), minimum=2)) is int
    for value in (1, True, 2.0, "2", None):
        with pytest.raises(ConfigurationError, match=r"^count: expected an integer of at least 2, found"):
            check_integer("count", value, minimum=2)


def test_positive_number_is_finite_and_no_bool() -> None:
    for value in (2, 0.5, np.float32(0.5), np.int64(2)):
        found = check_positive("rate", value)
        assert (type(found), found) == (float, float(value))
    for wrong in (0, -1.0, float("inf"), float("nan"), True, "1", None, 1j):
        with pytest.raises(ConfigurationError, match=r"^rate: expected a (finite )?number above 0, found"):
            check_positive("rate", wrong)


@pytest.mark.parametrize(
    ("value", "kinds", "match"),
    [
        ([1.0], "f", "floating-point numbers, found list"),
        (np.ones(2, dtype=int), "f", "floating-point numbers, found an array of int64"),
        (np.ones(2), "iu", "integers, found an array of float64"),
        (np.array([True]), "fiu", "real numbers, found an array of bool"),
        (np.zeros(1, dtype=[("a", int)]), "fiu", "found an array of records"),
    ],
)
def test_array_of_another_kind_is_refused(value: Any, kinds: str, match: str) -> None:
    for error in (DataError, ModelError):
        with pytest.raises(error, match=f"^labels: expected an array of .*{match}"):
            check_array("labels", value, kinds, error=error)


def test_array_of_a_kind_asked_for_is_returned_as_it_is() -> None:
    given = np.arange(3)
    assert check_array("labels", given, "iu") is given


def test_values_are_shown_in_at_most_60_characters() -> None:
    assert shown("x") == "'x'"
    assert len(shown("x" * 1000)) == 60


def test_first_values_of_many_are_listed_with_the_number_of_the_rest() -> None:
    assert listed(range(5)) == "0, 1, 2, 3, 4"
    assert listed(range(12)) == "0, 1, 2, 3, 4 and 7 more"
    assert listed([]) == ""
