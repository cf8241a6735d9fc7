"""Entries of vectors modulo m as numbers that are never negative, and their exact sums back modulo m.

An entry represents the integer in [-m/2, m/2) congruent to it modulo m; a negative integer v is represented by m + v.
The opened value is the sum of these integers over the integers, before it is reduced modulo m. If that sum lies in
[-m/2, m/2), as encodings with headroom ensure, it tells no more than the sum modulo m. Otherwise it also tells how
often each coordinate wrapped around. A sum of the entries as they are would also tell how many represent negative
integers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocols.crypto.integers import shown
from protocols.crypto.keystream import Words
from protocols.errors import InputError, ParameterError

MOST_VALUE_BITS = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The stored form of entries: shifted so that the smallest integer that they represent is stored as 0.

    Attributes:
        modulus: m, at least 2, at most 2^64.
        value_bits: b in [1, 63], if entries represent only integers in [-2^(b-1), 2^(b-1)); 2^b is at most m. None if
            they may be anything in [0, m).

    Raises:
        ParameterError: `value_bits` has another type or is out of its range.
    """

    modulus: int
    value_bits: int | None

    def __post_init__(self) -> None:
        bits = self.value_bits
        if bits is None:
            return
        if type(bits) is not int or not 1 <= bits <= MOST_VALUE_BITS or 2**bits > self.modulus:
            raise ParameterError(
                f"value_bits: expected an int in [1, {MOST_VALUE_BITS}] with 2^value_bits at most the modulus "
                f"{self.modulus}, found {shown(bits)}"
            )

    @property
    def bound(self) -> int:
        """The exclusive upper bound of stored values."""
        return self.modulus if self.value_bits is None else 2**self.value_bits

    @property
    def shift(self) -> int:
        """The number that is added to an integer to store it; at least 1."""
        return self.bound // 2

    def check(self, vector: Words) -> None:
        """Refuse entries that are out of range.

        Args:
            vector: Shape `(length,)`, unsigned, entries in [0, modulus).

        Raises:
            InputError: An entry represents an integer outside [-2^(b-1), 2^(b-1)).
        """
        if bool(np.any((vector >= self.bound - self.shift) & (vector < self.modulus - self.shift))):
            raise InputError(
                f"the input: expected entries that represent integers in [{-self.shift}, {self.shift}), since "
                f"value_bits is {self.value_bits}, found another"
            )

    def store(self, vector: Words) -> None:
        """Convert a checked vector to stored values, in place."""
        negative = vector >= self.bound - self.shift
        vector += vector.dtype.type(self.shift)
        if self.modulus < 2 ** (8 * vector.itemsize):  # Otherwise the word has wrapped around by itself.
            np.subtract(vector, vector.dtype.type(self.modulus), out=vector, where=negative)

    def reduced(self, sums: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return sums of the integers that entries represent, modulo m, in the same memory.

        Args:
            sums: Shape `(length,)`, int64.

        Returns:
            Shape `(length,)`, uint64, entries in [0, modulus).
        """
        if self.modulus < 2**63:
            sums %= self.modulus
            return sums.view(np.uint64)
        words = sums.view(np.uint64)
        if self.modulus < 2**64:  # Otherwise the word has wrapped around by itself.
            np.add(words, np.uint64(self.modulus), out=words, where=sums < 0)
        return words


def headroom_bits(*, modulus: int, bound: int, clients: int) -> int | None:
    """Return the bits of a signed sum that never leaves [-m/2, m/2); None if the sum needs no more bits without that.

    Args:
        modulus: m.
        bound: The exclusive upper bound of stored values.
        clients: The largest number of values that are added up.
    """
    bits = (modulus - 1).bit_length()
    return bits if bits < (clients * (bound - 1)).bit_length() else None
