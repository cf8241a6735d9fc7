"""Checks of arguments at the package's boundary, before anything is computed from them."""

import math
from fractions import Fraction
from numbers import Integral, Real

from dp.errors import InvalidParameter


def positive_real(name: str, value: object) -> float:
    """Return `value` as a float if it is a finite real number above 0.

    Raises:
        InvalidParameter: it is a boolean, not a real number, NaN, infinite, zero or negative.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidParameter(f"{name}: expected a number above 0, found {type(value).__name__}")
    number = float(value)
    if not math.isfinite(number) or number <= 0:
        raise InvalidParameter(f"{name}: expected a finite number above 0, found {value}")
    return number


def positive_rational(name: str, value: object) -> Fraction:
    """Return the exact value of a finite positive number; a float is taken for the dyadic rational that it is.

    Raises:
        InvalidParameter: it is a boolean, not a real number, NaN, infinite, zero or negative.
    """
    exact = Fraction(value) if isinstance(value, Fraction) else Fraction(positive_real(name, value))
    if exact <= 0:
        raise InvalidParameter(f"{name}: expected a number above 0, found {value}")
    return exact


def integer_at_least(name: str, value: object, minimum: int) -> int:
    """Return `value` as an int if it is an integer of at least `minimum`.

    Raises:
        InvalidParameter: it is a boolean, not an integer, or below `minimum`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InvalidParameter(f"{name}: expected an integer >= {minimum}, found {type(value).__name__}")
    if value < minimum:
        raise InvalidParameter(f"{name}: expected an integer >= {minimum}, found {value}")
    return int(value)


def probability(name: str, value: object) -> float:
    """Return `value` as a float if it lies strictly between 0 and 1.

    Raises:
        InvalidParameter: it does not, or is not a real number.
    """
    number = positive_real(name, value)
    if number >= 1:
        raise InvalidParameter(f"{name}: expected a probability between 0 and 1, both excluded, found {value}")
    return number


def short_text(name: str, value: object) -> str:
    """Return `value` if it is a text of 1 to 200 printable characters.

    Raises:
        InvalidParameter: it is not.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
        raise InvalidParameter(f"{name}: expected a text of 1 to 200 printable characters")
    return value
