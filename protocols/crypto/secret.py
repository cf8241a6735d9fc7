"""Holders of secrets that do not reveal them by accident."""

import hmac
from typing import NoReturn


class Uncopyable:
    """Base class of objects that hold secrets: a copy of such an object, pickled or in memory, copies its secrets."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__}: this object holds secrets, so it cannot be pickled or copied")


class Secret(Uncopyable):
    """Secret bytes: repr redacted, not picklable, not hashable, compared in constant time.

    Args:
        value: The bytes to hold.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # A table with a hash of a secret has a copy of it.

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """Return the bytes, for the arithmetic that needs them."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __repr__(self) -> str:
        return f"Secret(<{len(self._value)} bytes>)"
