"""Vectors of signed integers packed into a few long integers, so that one encryption holds many values.

The sum of packed vectors is the packed sum of the vectors.

A value v of b bits, in [-2^(b-1), 2^(b-1)), is stored as v + 2^(b-1), which is not negative, in a slot of

    width = b + ceil(log2(clients)) + guard

bits, the first value in the lowest slot. A sum over k clients stays below k * 2^b, so it never reaches the next slot,
and k * 2^(b-1) is subtracted from it again. This is exact even if all values are the largest or the smallest. The
number of clients is known from the step, so nothing that depends on the values, such as an exponent, goes on the wire.

The guard does not repair sums that a client has spoilt with values out of range. It makes it more likely that they are
noticed, since a sum above k * (2^b - 1) is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocols.crypto.integers import is_integer, shown
from protocols.errors import DamagedSum, InputError, ParameterError

MOST_WIDTH_BITS: Final = 64
MOST_VALUE_BITS: Final = 63

_WORD = np.dtype("<u8")
_PIECE = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """The layout of values in messages.

    Attributes:
        value_bits: b, the length of one signed value; 1 to 63.
        clients: Largest number of vectors that are added up; at least 1.
        message_modulus: Messages are below this number.
        guard_bits: Bits of each slot beyond those that sums need; at least 0.

    Raises:
        ParameterError: A value is out of range, or a slot would be wider than 64 bits or than a message.
    """

    value_bits: int
    clients: int
    message_modulus: int = field(repr=False)  # It has thousands of digits, which Python does not print.
    guard_bits: int = 1

    def __post_init__(self) -> None:
        if not is_integer(self.value_bits) or not 1 <= self.value_bits <= MOST_VALUE_BITS:
            raise ParameterError(f"value_bits: expected from 1 to {MOST_VALUE_BITS}, found {shown(self.value_bits)}")
        if not is_integer(self.clients) or self.clients < 1:
            raise ParameterError(f"clients: expected at least 1, found {shown(self.clients)}")
        if not is_integer(self.guard_bits) or self.guard_bits < 0:
            raise ParameterError(f"guard_bits: expected at least 0, found {shown(self.guard_bits)}")
        if self.width > MOST_WIDTH_BITS:
            raise ParameterError(
                f"slots of {self.value_bits} value bits and {shown(self.guard_bits)} guard bits, for "
                f"{shown(self.clients)} clients, are wider than {MOST_WIDTH_BITS} bits"
            )
        if self.count < 1:
            raise ParameterError(
                f"a slot: expected at most the bits of one message, found {self.width} bits. Use a longer key."
            )

    @property
    def width(self) -> int:
        """Bits of a slot."""
        return self.value_bits + (self.clients - 1).bit_length() + self.guard_bits

    @property
    def count(self) -> int:
        """Number of slots in a message."""
        return (self.message_modulus.bit_length() - 1) // self.width

    def messages(self, length: int) -> int:
        """Return the number of messages that a vector of `length` values takes."""
        return -(-length // self.count)

    def pack(self, values: NDArray[np.int64]) -> list[int]:
        """Return messages that hold a vector; slots after its end are 0.

        Args:
            values: Shape `(length,)`, length at least 1, int64, entries in [-2^(b-1), 2^(b-1)).

        Returns:
            `messages(length)` integers in [0, message_modulus).

        Raises:
            InputError: The vector has another type, shape or range.
        """
        if values.dtype != np.int64 or values.ndim != 1 or not values.size:
            raise InputError(
                f"values: expected an int64 array of shape (length,) with at least one entry, "
                f"found {values.dtype} of shape {values.shape}"
            )
        half = 2 ** (self.value_bits - 1)
        if int(values.min()) < -half or int(values.max()) >= half:
            raise InputError(f"values: expected integers in [{-half}, {half}), found one outside")
        packed = []
        for start in range(0, values.size, step := self._step()):
            piece = values[start : start + step]
            stored = np.zeros((self.messages(piece.size), self.count), dtype=_WORD)
            stored.reshape(-1)[: piece.size] = piece.view(np.uint64) + np.uint64(half)
            bits = np.unpackbits(stored.view(np.uint8).reshape(len(stored), self.count, 8), axis=2, bitorder="little")
            rows = np.packbits(bits[:, :, : self.width].reshape(len(stored), -1), axis=1, bitorder="little")
            packed += [int.from_bytes(row.tobytes(), "little") for row in rows]
        return packed

    def unpack(self, sums: Sequence[int], length: int, *, clients: int) -> NDArray[np.int64]:
        """Return the sum of the vectors of `clients` clients, from the sums of their messages.

        Returns:
            Shape `(length,)`, int64, entries in [-clients * 2^(b-1), clients * (2^(b-1) - 1)].

        Raises:
            ParameterError: There are more clients than the slots have room for, or none; or the length is below 1.
            DamagedSum: The number of messages does not fit the length, or no values in range have these sums.
        """
        if not is_integer(clients) or not 1 <= clients <= self.clients:
            raise ParameterError(f"clients: expected 1 to {self.clients} in these slots, found {shown(clients)}")
        if not is_integer(length) or length < 1:
            raise ParameterError(f"length: expected at least 1, found {shown(length)}")
        if len(sums) != self.messages(length):
            raise DamagedSum(
                f"number of messages: expected {shown(self.messages(length))} for length {shown(length)}, found "
                f"{len(sums)}"
            )
        used = self.count * self.width
        if any(not is_integer(one) or one < 0 or one.bit_length() > used for one in sums):
            raise DamagedSum("a message is not a sum of packed messages: bits are set outside of its slots")
        slots = np.empty(len(sums) * self.count, dtype=_WORD)
        rows = self._step() // self.count
        for start in range(0, len(sums), rows):
            piece = self._slots(sums[start : start + rows])
            slots[start * self.count : start * self.count + piece.size] = piece
        if int(slots[:length].max()) > clients * (2**self.value_bits - 1) or slots[length:].any():
            raise DamagedSum(f"a slot is above the largest sum of {clients} values of {self.value_bits} bits")
        offset = np.uint64(clients * 2 ** (self.value_bits - 1))
        return (slots[:length].astype(np.uint64) - offset).view(np.int64)  # It wraps around below zero.

    def _step(self) -> int:
        """Return how many values to process at once: whole messages, as many as stay in cache but at least one."""
        return self.count * max(1, _PIECE // self.count)

    def _slots(self, sums: Sequence[int]) -> NDArray[np.uint64]:
        """Return the contents of all slots of these messages, in order."""
        size = -(-self.count * self.width // 8)
        raw = np.frombuffer(b"".join(one.to_bytes(size, "little") for one in sums), dtype=np.uint8)
        bits = np.unpackbits(raw.reshape(len(sums), size), axis=1, bitorder="little", count=self.count * self.width)
        wide = np.zeros((len(sums) * self.count, MOST_WIDTH_BITS), dtype=np.uint8)
        wide[:, : self.width] = bits.reshape(-1, self.width)
        return np.packbits(wide, axis=1, bitorder="little").view(_WORD).reshape(-1)
