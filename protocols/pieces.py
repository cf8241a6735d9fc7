"""Vectors that are read piece by piece, so that a party needs no memory for all of a long vector.

Pieces of packed vectors, joined, are the bytes of the whole packed vector: a piece has a multiple of eight words, so it
ends at the end of a byte.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from protocols import packing
from protocols.crypto.keystream import Masks, SignedMask, Words, word_dtype
from protocols.errors import InputError
from protocols.lanes import Lanes

PIECE: Final = 2**18
"""Number of words of a piece; a multiple of eight. A word has one entry, or several of them (`protocols.lanes`)."""


class VectorReader(ABC):
    """A vector that can be read again and again, and does not change as long as it is in use.

    Attributes:
        length: Number of entries.
    """

    length: int

    @abstractmethod
    def read(self, start: int, size: int) -> Words:
        """Return `size` entries from `start` on: a new array, in the smallest words that hold the modulus."""


class ArrayReader(VectorReader):
    """A vector that is in memory."""

    def __init__(self, vector: Words) -> None:
        self._vector, self.length = vector, vector.size

    def read(self, start: int, size: int) -> Words:
        """See `VectorReader.read`."""
        return self._vector[start : start + size].copy()


def spans(length: int, *, lanes: int = 1) -> Iterator[tuple[int, int]]:
    """Yield the first entry and the number of entries of each piece of a vector.

    Args:
        length: Number of entries of the vector.
        lanes: The number of entries that share a word.
    """
    step = PIECE * lanes
    for start in range(0, length, step):
        yield start, min(step, length - start)


def check_reader(reader: VectorReader, *, length: int, modulus: int) -> None:
    """Read a client's input once, unless its words can hold no entry that is too large.

    Raises:
        InputError: The length, the type of the words or an entry is wrong.
    """
    if reader.length != length:
        raise InputError(f"the input: expected {length} entries, found {reader.length}")
    word = word_dtype(modulus)
    exact = modulus == 1 << 8 * word.itemsize
    for start, size in spans(length):
        piece = reader.read(start, size)
        if piece.dtype != word:
            raise InputError(f"the input: expected words of type {word}, found {piece.dtype}")
        if exact:
            return
        if int(piece.max()) >= modulus:
            raise InputError(f"the input has an entry at or above the modulus {modulus}; encode it in [0, modulus)")


def packed_pieces(reader: VectorReader, *, modulus: int) -> Iterator[bytes]:
    """Yield a vector, bit-packed, piece by piece.

    Args:
        reader: The vector, entries in [0, modulus).
        modulus: The modulus.
    """
    for start, size in spans(reader.length):
        yield packing.pack(reader.read(start, size), modulus)


def masked_pieces(reader: VectorReader, *, lanes: Lanes, masks: Sequence[SignedMask]) -> Iterator[memoryview]:
    """Yield a vector under its masks, bit-packed, piece by piece.

    Args:
        reader: The vector, entries in [0, modulus).
        lanes: The words in which it is masked.
        masks: As for `apply_masks`.
    """
    added = Masks(masks, lanes.word, expected_bytes=lanes.memory_bytes)
    for start, size in spans(reader.length, lanes=lanes.lanes):
        piece = replace(lanes, length=size)
        words = piece.fold(reader.read(start, size))
        added.apply(words)
        yield piece.pack(words)
