"""Lengths of messages in bytes, from the lengths of their fields: MessagePack as `protocols.codec` writes it.

No message is made, so a length is known at once for any number of clients and coordinates.
"""

from typing import Final

DIGEST_BYTES: Final = 32
_SHORT_ARRAY: Final = 16
_INTEGERS: Final = ((2**7, 1), (2**8, 2), (2**16, 3), (2**32, 5))


def binary(length: int) -> int:
    """Return the length of a byte string with its header."""
    return length + (2 if length < 2**8 else 3 if length < 2**16 else 5)


def array(count: int) -> int:
    """Return the length of the header of a list."""
    return 1 if count < _SHORT_ARRAY else 3 if count < 2**16 else 5


def ids(clients: int, of: int) -> float:
    """Return the expected length of a list of some of the ids 0, 1, ..., each as likely as any other.

    Args:
        clients: The number of ids in the list.
        of: The number of ids that exist.
    """
    total, below = 0, 0
    for above, size in _INTEGERS:
        total += size * max(0, min(of, above) - below)
        below = min(of, above)
    return array(clients) + total * clients / of


def ids_from(first: int, count: int) -> int:
    """Return the length of a list of the ids `first`, `first + 1`, ..."""
    return array(count) + sum(
        next(size for above, size in _INTEGERS if each < above) for each in range(first, first + count)
    )


def message(*fields: float) -> float:
    """Return the length of a message with fields of these lengths, in its envelope."""
    envelope = array(4) + 1 + binary(DIGEST_BYTES) + 1
    return envelope + array(len(fields)) + sum(fields)


INVITATION: Final = message()
"""The length of the first request of every protocol."""
