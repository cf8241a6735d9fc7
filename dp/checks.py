"""Checks of arguments at the package's boundary, before anything is computed from them.

Each check returns a plain Python value, whatever kind of number it was given, so numpy scalars do not reach a file.
"""

import enum
import math
from fractions import Fraction
from numbers import Integral, Real
from typing import Final, TypeVar

from dp.errors import InvalidParameter

MAXIMUM_COUNT: Final = 1 << 53
"""The largest count: up to it, float64 is exact for integers."""
MINIMUM_MAGNITUDE: Final = 1e-30
MAXIMUM_MAGNITUDE: Final = 1e30
"""Accounting squares and multiplies its parameters; within these magnitudes nothing overflows or underflows."""

_Member = TypeVar("_Member", bound=enum.Enum)


def positive_real(name: str, value: object) -> float:
    """Return `value` as a float if it is a real number above 0 within the range of float64.

    Raises:
        InvalidParameter: The value is a boolean, not a real number, NaN, infinite, zero, negative, or outside that
            range.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidParameter(f"{name}: expected a number above 0, found {type(value).__name__}. Use such a number.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number <= 0:
        raise InvalidParameter(f"{name}: expected a finite number above 0, found {_found(value)}. Use such a number.")
    return number


def magnitude(name: str, value: object) -> float:
    """Return `value` as a float if it is a number from 1e-30 to 1e30, the range in which accounting can calculate.

    Raises:
        InvalidParameter: The value is a boolean, not a real number, or outside that range.
    """
    number = positive_real(name, value)
    if not MINIMUM_MAGNITUDE <= number <= MAXIMUM_MAGNITUDE:
        raise InvalidParameter(
            f"{name}: expected a number from {MINIMUM_MAGNITUDE:g} to {MAXIMUM_MAGNITUDE:g}, found {_found(value)}. "
            "Use a number in this range."
        )
    return number


def positive_rational(name: str, value: object) -> Fraction:
    """Return the exact value of a positive number; the value of a float is the dyadic rational that it represents.

    Raises:
        InvalidParameter: As for `positive_real`.
    """
    number = positive_real(name, value)
    return value if isinstance(value, Fraction) else Fraction(number)


def integer_at_least(name: str, value: object, minimum: int, *, maximum: int = MAXIMUM_COUNT) -> int:
    """Return `value` as an int if it is an integer in `[minimum, maximum]`, the latter 2**53 by default.

    Raises:
        InvalidParameter: The value is a boolean, not an integer, or outside that range.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidParameter(
            f"{name}: expected an integer >= {minimum}, found {type(value).__name__}. Use an integer."
        )
    number = int(value)
    if number < minimum:
        raise InvalidParameter(
            f"{name}: expected an integer >= {minimum}, found {_found(number)}. Use {minimum} or more."
        )
    if number > maximum:
        raise InvalidParameter(f"{name}: expected an integer <= {maximum}, found {_found(number)}. Lower it.")
    return number


def probability(name: str, value: object) -> float:
    """Return `value` as a float if it lies strictly between 0 and 1.

    Raises:
        InvalidParameter: The value does not lie there, or is not a real number.
    """
    number = positive_real(name, value)
    if number >= 1:
        raise InvalidParameter(
            f"{name}: expected a probability between 0 and 1, both excluded, found {_found(value)}. Use less than 1."
        )
    return number


def check_delta(delta: float, *, population: int) -> None:
    """Refuse a delta that is so large that a mechanism may publish one random unit's data in full.

    Args:
        delta: Strictly between 0 and 1.
        population: The number of privacy units whose data may be used, 1 to 2**53.

    Raises:
        InvalidParameter: `delta` is at least 1 / `population`, or an argument is out of range.
    """
    delta = probability("delta", delta)
    population = integer_at_least("population", population, 1)
    if delta * population >= 1:
        raise InvalidParameter(
            f"delta: expected less than 1/{population} = {1 / population:.3g} (one over the population), found "
            f"{delta}. Use a smaller delta: with this one, a mechanism may publish one random unit's data in full."
        )


def member(name: str, value: object, kind: type[_Member]) -> _Member:
    """Return `value` if it is a member of the enumeration `kind`; if the members are texts, also accept their text.

    Raises:
        InvalidParameter: It is anything else, for example the text of a member of an enumeration that is not of texts.
    """
    if isinstance(value, str) and issubclass(kind, enum.StrEnum) and value in tuple(kind):
        return kind(value)
    if not isinstance(value, kind):
        choices = " or ".join(str(one) for one in kind)
        raise InvalidParameter(f"{name}: expected {choices}, found {type(value).__name__}. Use one of these.")
    return value


def short_text(name: str, value: object) -> str:
    """Return `value` if it is a text of 1 to 200 printable characters.

    Raises:
        InvalidParameter: It is anything else.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
        raise InvalidParameter(
            f"{name}: expected a text of 1 to 200 printable characters, found something else. Use such a text."
        )
    return str.__str__(value)


def printable(text: str) -> str:
    """Return at most 200 characters of a foreign text, with each character that is not printable replaced by `?`."""
    return "".join(character if character.isprintable() else "?" for character in text[:200])


def _found(value: object) -> str:
    """Return a number as a short text; Python does not convert integers of thousands of digits."""
    try:
        text = str(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 40 else f"{text[:40]}... ({len(text)} characters)"
