"""Checks of arguments, shared by the models and the data sets: bad values are refused before anything is computed."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from secagg.errors import ConfigurationError, DataError, EncodingError, ModelError

_SHOWN: Final = 5
_Choice = TypeVar("_Choice", bound=StrEnum)


def plain_integer(value: Any) -> Any:
    """Return an integer of numpy as Python's own, and everything else as it is, for whoever checks it next."""
    return int(value) if isinstance(value, np.integer) else value


def check_choice(
    name: str,
    value: object,
    kind: type[_Choice],
    *,
    error: type[ConfigurationError | EncodingError] = ConfigurationError,
) -> _Choice:
    """Return the member of an enumeration that `value` is, or is the text of.

    Args:
        name: The value's name in the error.
        value: A member, or its text.
        kind: The enumeration.
        error: What to raise.

    Raises:
        ConfigurationError: It is none, or an EncodingError if `error` says so.
    """
    if not isinstance(value, str) or value not in tuple(kind):
        raise error(f"{name}: expected one of {', '.join(kind)}, found {shown(value)}")
    return kind(value)


def shown(value: object) -> str:
    """A value for an error, at most 60 characters of it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(values: Iterable[object]) -> str:
    """The first few of many values for an error, and how many more there are."""
    texts = [shown(value) for value in values]
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def check_integer(name: str, value: object, *, minimum: int) -> int:
    """Return `value` if it is an integer (no bool) of at least `minimum`.

    Raises:
        ConfigurationError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ConfigurationError(f"expected {name} as an integer of at least {minimum}, found {value!r}")
    return int(value)


def check_positive(name: str, value: object) -> float:
    """Return `value` as a float if it is a finite number (no bool) over zero.

    Raises:
        ConfigurationError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise ConfigurationError(f"expected {name} as a number over 0, found {value!r}")
    if not 0 < value < float("inf"):
        raise ConfigurationError(f"expected {name} as a finite number over 0, found {value!r}")
    return float(value)


def check_array(
    what: str, value: object, kinds: str, *, error: type[DataError | ModelError] = DataError
) -> NDArray[Any]:
    """Return `value` if it is a numpy array whose dtype is of one of the kinds.

    Args:
        what: The value's name in the error.
        value: What should be an array.
        kinds: Letters of `numpy.dtype.kind`: `f` floating, `i` and `u` integers; bool, complex and objects are others.
        error: What to raise.

    Raises:
        DataError: It is not, or a ModelError if `error` says so.
    """
    if not isinstance(value, np.ndarray) or value.dtype.kind not in kinds:
        wanted = {"f": "floating-point numbers", "iu": "integers"}.get(kinds, "real numbers")
        found = type(value).__name__
        if isinstance(value, np.ndarray):
            found = "an array of records" if value.dtype.kind == "V" else f"an array of {value.dtype}"
        raise error(f"expected {what} as an array of {wanted}, found {found}")
    return value
