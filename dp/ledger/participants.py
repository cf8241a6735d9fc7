"""The clients of one release, as numbers and as text.

A set of clients has one text. It is a letter and the base64 of one of two forms, the shorter one, `d` if both are
equally long:

    d   the differences of the sorted numbers, the first one from -1, each of at least 1, as variable-length integers:
        seven bits to a byte, the lowest first, with the highest bit set in all bytes but the last of a difference.
    b   a bitmap: client i is bit i % 8 of byte i // 8, up to the last byte that is not 0.

Reading writes the set again and compares, so that no second text of a set is accepted.
"""

import base64
import binascii
import itertools
from collections.abc import Iterable
from numbers import Integral
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.errors import InvalidParameter

Clients = NDArray[np.int64]
"""The numbers of different clients, ascending."""

_DIFFERENCES: Final = "d"
_BITMAP: Final = "b"
_BITS: Final = 7
_MORE: Final = 1 << _BITS
_LONGEST: Final = 4  # Numbers are below 2**22, so a difference has at most 23 bits.


def checked_clients(name: str, clients: object, *, size: int) -> Clients:
    """Return the numbers of clients, sorted.

    Args:
        name: The name of the argument in errors.
        clients: Different integers in `[0, size)`, in any order; an iterable or an array.
        size: The number of clients in the population.

    Raises:
        InvalidParameter: They are not distinct integers of the population.
    """
    found = np.sort(_integers(name, clients, size))
    if len(found) and not 0 <= found[0] <= found[-1] < size:
        raise InvalidParameter(
            f"{name}: expected clients of the population, numbered 0 to {size - 1}, found another number. Use the "
            "numbers of the list whose digest the ledger has."
        )
    repeated = found[1:][found[1:] == found[:-1]]
    if len(repeated):
        raise InvalidParameter(
            f"{name}: expected different clients, found client {int(repeated[0])} more than once. Give each one once."
        )
    return found


def encode_clients(clients: Clients) -> str:
    """Return the text of a set of clients; `clients` are different numbers in `[0, 2**22)`, ascending."""
    differences = _varints(np.diff(clients, prepend=-1))
    bitmap_bytes = int(clients[-1]) // 8 + 1 if len(clients) else 0
    if len(differences) <= bitmap_bytes or not len(clients):
        return _DIFFERENCES + base64.b64encode(differences).decode()
    bits = np.zeros(bitmap_bytes * 8, dtype=np.uint8)
    bits[clients] = 1
    return _BITMAP + base64.b64encode(np.packbits(bits, bitorder="little").tobytes()).decode()


def decode_clients(text: str, *, size: int) -> Clients:
    """Return the clients of a text.

    Args:
        text: As `encode_clients` returns it.
        size: The number of clients in the population.

    Raises:
        InvalidParameter: The text is not the one text of a set of clients of the population.
    """
    try:
        content = base64.b64decode(text[1:].encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise _no_text("base64") from None
    if len(content) > (size + 7) // 8:  # The bitmap of everybody has this length.
        raise _no_text(f"at most {(size + 7) // 8} bytes")
    match text[:1]:
        case "d":
            clients = _from_differences(content)
        case "b":
            bits = np.unpackbits(np.frombuffer(content, dtype=np.uint8), bitorder="little")
            clients = np.flatnonzero(bits).astype(np.int64)
        case _:
            raise _no_text("d or b at its beginning")
    if len(clients) and not int(clients[-1]) < size:
        raise InvalidParameter(f"clients: expected numbers of 0 to {size - 1}, found {int(clients[-1])}")
    if (np.diff(clients, prepend=-1) < 1).any():
        raise InvalidParameter(
            "clients: expected ascending numbers, found a number that is not above the one before it"
        )
    if encode_clients(clients) != text:
        raise _no_text("the text that this set of clients has")
    return clients


def _integers(name: str, clients: object, size: int) -> Clients:
    if isinstance(clients, np.ndarray):
        if clients.ndim != 1 or clients.dtype.kind not in "iu":
            raise InvalidParameter(
                f"{name}: expected integers in one dimension, found an array of {clients.dtype} in {clients.ndim}"
            )
        if clients.dtype.kind == "u":  # Larger numbers, which int64 may not hold, belong to no population either.
            clients = np.minimum(clients.astype(np.uint64), np.uint64(np.iinfo(np.int64).max))
        return clients.astype(np.int64)
    if isinstance(clients, str | bytes) or not isinstance(clients, Iterable):
        raise InvalidParameter(f"{name}: expected the numbers of clients, found {type(clients).__name__}")
    listed = list(itertools.islice(clients, size + 1))
    for one in listed:
        if isinstance(one, bool) or not isinstance(one, Integral):
            raise InvalidParameter(f"{name}: expected integers, found {type(one).__name__}")
    # A number that int64 may not hold becomes the nearest one outside of the population.
    return np.array([min(max(int(one), -1), size) for one in listed], dtype=np.int64)


def _varints(values: NDArray[np.int64]) -> bytes:
    lengths = np.ones(len(values), dtype=np.int64)
    for place in range(1, _LONGEST):
        lengths += values >= 1 << (_BITS * place)
    starts = np.cumsum(lengths) - lengths
    content = np.zeros(int(lengths.sum()), dtype=np.uint8)
    for place in range(_LONGEST):
        has = lengths > place
        more = np.where(lengths[has] > place + 1, _MORE, 0)
        content[starts[has] + place] = ((values[has] >> (_BITS * place)) & (_MORE - 1)) | more
    return content.tobytes()


def _from_differences(content: bytes) -> Clients:
    octets = np.frombuffer(content, dtype=np.uint8).astype(np.int64)
    last = np.flatnonzero(octets < _MORE)
    if len(octets) and (not len(last) or last[-1] != len(octets) - 1):
        raise _no_text("whole differences")
    starts = np.concatenate([[0], last[:-1] + 1]) if len(last) else last
    lengths = last - starts + 1
    if len(lengths) and lengths.max() > _LONGEST:
        raise _no_text(f"differences of at most {_LONGEST} bytes")
    differences = np.zeros(len(last), dtype=np.int64)
    for place in range(_LONGEST):
        has = lengths > place
        differences[has] |= (octets[starts[has] + place] & (_MORE - 1)) << (_BITS * place)
    clients: Clients = np.cumsum(differences) - 1
    return clients


def _no_text(expected: str) -> InvalidParameter:
    return InvalidParameter(f"clients: expected {expected}, as in the text of a set of clients, found another text")
