"""Vectors that are read piece by piece, so that a party needs no memory for all of a long vector.

Pieces of packed vectors, joined, are the bytes of `packing.pack`: a piece has a multiple of eight entries, so it ends
at the end of a byte.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from protocols import packing
from protocols.crypto.keystream import Masks, SignedMask, Words, word_dtype
from protocols.errors import InputError

PIECE: Final = 2**18
"""Number of entries of a piece; a multiple of eight."""


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


def check_reader(reader: VectorReader, *, length: int, modulus: int) -> None:
    """Read a client's input once, unless its words can hold no entry that is too large.

    Raises:
        InputError: The length, the type of the words or an entry is wrong.
    """
    if reader.length != length:
        raise InputError(f"the input must have {length} entries, not {reader.length}")
    word = word_dtype(modulus)
    exact = modulus == 1 << 8 * word.itemsize
    for start in range(0, length, PIECE):
        piece = reader.read(start, min(PIECE, length - start))
        if piece.dtype != word:
            raise InputError(f"the input must have words of type {word}, not {piece.dtype}")
        if exact:
            return
        if int(piece.max()) >= modulus:
            raise InputError(f"the input has an entry at or above the modulus {modulus}; encode it in [0, modulus)")


def packed_pieces(reader: VectorReader, *, modulus: int, masks: Sequence[SignedMask] = ()) -> Iterator[bytes]:
    """Yield a vector under its masks, bit-packed, piece by piece.

    Args:
        reader: The vector, entries in [0, modulus).
        modulus: The modulus; a power of two if there are masks.
        masks: As for `apply_masks`.
    """
    word = word_dtype(modulus)
    added = Masks(masks, word, expected_bytes=reader.length * word.itemsize)
    for start in range(0, reader.length, PIECE):
        words = reader.read(start, min(PIECE, reader.length - start))
        if masks:
            added.apply(words)
            words &= words.dtype.type(modulus - 1)
        yield packing.pack(words, modulus)


def summed_pieces(masks: Sequence[tuple[int, Sequence[SignedMask]]], *, length: int, modulus: int) -> Iterator[bytes]:
    """Yield a weighted sum of masks, bit-packed, piece by piece.

    Args:
        masks: Weights, and for each weight the masks that count with it.
        length: Number of entries.
        modulus: A power of two.
    """
    word = word_dtype(modulus)
    groups = [(weight, Masks(some, word, expected_bytes=length * word.itemsize)) for weight, some in masks]
    for start in range(0, length, PIECE):
        total = np.zeros(min(PIECE, length - start), dtype=word)
        for weight, group in groups:
            if weight == 1:
                group.apply(total)
                continue
            part = np.zeros_like(total)
            group.apply(part)
            total += part * word.type(weight % (1 << 8 * word.itemsize))
        total &= word.type(modulus - 1)
        yield packing.pack(total, modulus)
