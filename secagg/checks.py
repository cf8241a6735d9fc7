"""Checks of arguments: wrong values are refused before anything is computed."""

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from protocols import Adversary
from secagg.errors import ConfigurationError, DataError, EncodingError, ModelError

LARGEST: Final = 1e100
"""The largest figure of a round: a larger loss means divergence, and sums and charts of figures stay finite."""

MOST_ROUNDS: Final = 2**31 - 1
"""The largest number of rounds of a run."""

SERVERS: Final = (Adversary.CURIOUS, Adversary.MALICIOUS)
"""The servers that a run, or a plan of one, may assume."""

_SHOWN: Final = 5
_Choice = TypeVar("_Choice", bound=StrEnum)


def plain_integer(value: Any) -> Any:
    """Return a numpy integer as a Python integer, and any other value unchanged for the check that follows."""
    return int(value) if isinstance(value, np.integer) else value


def check_choice(
    name: str,
    value: object,
    kind: type[_Choice],
    *,
    among: Collection[str] | None = None,
    error: type[ConfigurationError | EncodingError] = ConfigurationError,
) -> _Choice:
    """Return the member of an enumeration that `value` is or names.

    Args:
        name: The value's name in the error.
        value: A member, or its value as a string.
        kind: The enumeration.
        among: The members that are accepted here; None for all.
        error: The class of error to raise.

    Raises:
        ConfigurationError: The value is not such a member; an EncodingError instead if `error` says so.
    """
    choices = tuple(kind) if among is None else among
    if not isinstance(value, str) or value not in choices:
        found = str(value) if isinstance(value, str) else value  # A member of an enumeration shows its value.
        raise error(f"{name}: expected one of {', '.join(choices)}, found {shown(found)}. Use one of these.")
    return kind(value)


def shown(value: object) -> str:
    """Return a value as text for an error, at most 60 characters of it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(values: Iterable[object]) -> str:
    """Return the first 5 values as text for an error, and how many more there are."""
    texts = [shown(value) for value in values]
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def check_integer(name: str, value: object, *, minimum: int) -> int:
    """Return `value` if it is an integer (no bool) of at least `minimum`.

    Raises:
        ConfigurationError: The value is not such an integer.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ConfigurationError(
            f"{name}: expected an integer of at least {minimum}, found {value!r}. Use {minimum} or more."
        )
    return int(value)


def check_positive(name: str, value: object) -> float:
    """Return `value` as a float if it is a finite number (no bool) above 0.

    Raises:
        ConfigurationError: The value is not such a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise ConfigurationError(f"{name}: expected a number above 0, found {value!r}. Use such a number.")
    if not 0 < value < float("inf"):
        raise ConfigurationError(f"{name}: expected a finite number above 0, found {value!r}. Use such a number.")
    return float(value)


def check_array(
    what: str, value: object, kinds: str, *, error: type[DataError | ModelError] = DataError
) -> NDArray[Any]:
    """Return `value` if it is a numpy array whose dtype has one of the given kinds.

    Args:
        what: The value's name in the error.
        value: The value to check.
        kinds: Letters of `numpy.dtype.kind`: `f` floating, `i` and `u` integers; bool, complex and objects are others.
        error: The class of error to raise.

    Raises:
        DataError: The value is not such an array; a ModelError instead if `error` says so.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in kinds:
        wanted = {"f": "floating-point numbers", "iu": "integers"}.get(kinds, "real numbers")
        found = type(value).__name__
        if isinstance(value, np.ndarray):
            found = "an array of records" if value.dtype.kind == "V" else f"an array of {value.dtype}"
        raise error(f"{what}: expected an array of {wanted}, found {found}")
    return value
