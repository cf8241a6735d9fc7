"""Vectors on the wire: entries of `b` bits, packed without gaps, least significant bit first; at least one entry.

`pack` makes the bytes. `add_packed` checks them and adds them to a running sum without holding the whole vector.
`unpack` makes a vector of them, for callers that need all of it.

All three work on pieces that fit into the cache, in three stages:

1. Words that hold one entry each are read as 64-bit words. Their 1, 2, 4 or 8 entries are moved together into the
   lowest `B` bits.
2. The smallest number of such words that fills whole bytes makes a block, at most eight words. Their bits are joined in
   columns, one for each 64-bit word of a joined block.
3. The bytes of the columns are copied into records, one after the other. The records are the bytes of the wire.

This takes a few dozen operations over a whole piece, for every b.
"""

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols.crypto.keystream import Words, word_dtype

Packed = bytes | memoryview

_WORD_BITS = 64
_WORD = np.dtype("<u8")
_PIECE_BYTES = 256 * 1024


def packed_bytes(length: int, modulus: int) -> int:
    """Return the number of bytes of a packed vector: ceil(length * bits / 8)."""
    return -(-length * (modulus - 1).bit_length() // 8)


def pack(vector: Words, modulus: int) -> bytes:
    """Bit-pack a vector.

    Args:
        vector: Shape `(length,)`, any unsigned dtype, entries in [0, modulus).
        modulus: At least 2, at most 2^64.

    Raises:
        ValueError: An entry is at or above the modulus.
    """
    if modulus == 2 ** (8 * vector.itemsize):
        return vector.astype(word_dtype(modulus), copy=False).tobytes()  # Each entry fills its word.
    layout = _Layout(modulus, vector.size)
    packed = io.BytesIO(bytes(packed_bytes(vector.size, modulus)))  # `getvalue` returns its bytes without a copy.
    for start in range(0, vector.size, layout.entries):
        piece = vector[start : start + layout.entries]
        if int(piece.max()) >= modulus:
            raise ValueError(f"vector: expected entries below the modulus {modulus}, found a larger one")
        packed.write(layout.join(piece)[: packed_bytes(piece.size, modulus)])
    return packed.getvalue()


def unpack(data: Packed, length: int, modulus: int) -> NDArray[np.uint64]:
    """Return the vector that `pack` packed.

    Returns:
        Shape `(length,)`, uint64, entries in [0, modulus).

    Raises:
        ValueError: The data has another length, an entry at or above the modulus, or padding that is not zero.
    """
    check_frame(data, length, modulus)
    layout = _Layout(modulus, length)
    vector = np.empty(length, dtype=np.uint64)
    for start, entries in layout.split(data):
        _check_entries(entries, modulus)
        vector[start : start + entries.size] = entries
    return vector


def add_packed(total: Words, data: Packed, modulus: int) -> None:
    """Add a packed vector to a running sum, in place, modulo `modulus`. All of it is checked before anything is added.

    Args:
        total: Shape `(length,)`, any unsigned dtype that holds the modulus, entries in [0, modulus) before and after.
        data: The bytes that `pack` made.
        modulus: At least 2, at most 2^64.

    Raises:
        ValueError: The data has another length, an entry at or above the modulus, or padding that is not zero; or the
            total's type cannot hold the modulus. The total is unchanged.
    """
    if modulus > 2 ** (8 * total.itemsize):
        raise ValueError(f"total: expected words that hold the modulus {modulus}, found {total.dtype}")
    check_frame(data, total.size, modulus)
    layout = _Layout(modulus, total.size)
    if not layout.full:
        for _, entries in layout.split(data):
            _check_entries(entries, modulus)
    for start, entries in layout.split(data):
        piece = total[start : start + entries.size]
        if layout.full:
            np.add(piece, entries, out=piece)
            if layout.bits < 8 * total.itemsize:
                piece &= total.dtype.type(modulus - 1)
        else:
            _add_below(piece, entries, entries.dtype.type(modulus))


def check_frame(data: Packed, length: int, modulus: int) -> None:
    """Raise `ValueError` unless packed bytes have the right length and padding; a power of two needs no more."""
    expected = packed_bytes(length, modulus)
    if len(data) != expected:
        raise ValueError(f"packed vector: expected {expected} bytes, found {len(data)}")
    padding = 8 * expected - length * (modulus - 1).bit_length()
    if data[-1] >> (8 - padding):
        raise ValueError("packed vector: expected padding of zeros, found other bits")


def _check_entries(entries: Words, modulus: int) -> None:
    if int(entries.max()) >= modulus:
        raise ValueError(f"packed vector: expected entries below the modulus {modulus}, found a larger one")


def _add_below(total: Words, entries: Words, modulus: np.unsignedinteger[Any]) -> None:
    """Add entries to a total, both below the modulus, within the word size; the entries are overwritten.

    If total + entry is below the modulus, the result is total - (modulus - entry) + modulus. Otherwise it is
    total - (modulus - entry), which is then not negative. The difference may wrap around the word, and wraps back.
    """
    lacking = np.subtract(modulus, entries, out=entries)
    below = total < lacking
    np.subtract(total, lacking, out=total)
    np.multiply(below, modulus, out=lacking)
    np.add(total, lacking, out=total)


class _Layout:
    """The layout of entries of one width in words, columns and records, and the buffers of one piece.

    Attributes:
        bits: Number of bits of one entry.
        full: Whether every value of `bits` bits is below the modulus.
        entries: Number of entries in one piece; the last piece may have fewer.
    """

    def __init__(self, modulus: int, length: int) -> None:
        self._length = length
        self.bits = (modulus - 1).bit_length()
        self.full = modulus == 2**self.bits
        entry = word_dtype(modulus)
        # Each item joins pairs of lanes: a mask of the lower lanes, one of the upper, and how far the upper ones move.
        self._steps: list[tuple[np.uint64, np.uint64, np.uint64]] = []
        lane, held = 8 * entry.itemsize, self.bits
        while lane < _WORD_BITS:
            low = sum((2**held - 1) << offset for offset in range(0, _WORD_BITS, 2 * lane))
            if held < lane:
                self._steps.append((np.uint64(low), np.uint64(low << lane), np.uint64(lane - held)))
            lane, held = 2 * lane, 2 * held
        self._held = held

        # A block has two words even if one fills whole bytes: then there are fewer and longer units to copy.
        block = 1 if held == _WORD_BITS else max(2, 8 // math.gcd(held, 8))
        lanes = _WORD.itemsize // entry.itemsize
        blocks = min(_PIECE_BYTES // (8 * block), -(-length // (block * lanes)))
        record = block * held // 8
        self.entries = blocks * block * lanes
        words = np.zeros((blocks, block), dtype=_WORD)
        self._words = words.reshape(-1)
        self._entries = self._words.view(entry)
        self._spare = np.empty_like(self._words)
        self._sources: list[Words] = []
        self._links: list[tuple[Words, Words]] = []
        self._records: NDArray[np.uint8] = self._words.view(np.uint8)
        if block > 1:
            self._sources = list(words.T)
            self._columns = np.zeros((-(-record // 8), blocks), dtype=_WORD)
            self._column = np.empty(blocks, dtype=_WORD)
            self._records = np.empty(blocks * record, dtype=np.uint8)
            self._links = list(self._linked(record))

    def _linked(self, record: int) -> Iterator[tuple[Words, Words]]:
        """Yield views of the same bytes in records and in columns, in units of 8, 4, 2 and 1 that NumPy copies fast."""
        at = 0
        while at < record:
            unit = next(unit for unit in (8, 4, 2, 1) if unit <= record - at)
            dtype = np.dtype(f"<u{unit}")
            here: Words = np.ndarray(self._column.shape, dtype, self._records.data, offset=at, strides=(record,))
            yield here, self._columns[at // 8].view(dtype)[at % 8 // unit :: 8 // unit]
            at += unit

    def join(self, piece: Words) -> memoryview:
        """Return the packed bytes of a piece, and zeros after them; valid until the next call."""
        self._entries[: piece.size] = piece
        self._entries[piece.size :] = 0
        words, spare = self._words, self._spare
        for low, high, shift in self._steps:
            np.bitwise_and(words, high, out=spare)
            np.right_shift(spare, shift, out=spare)
            np.bitwise_and(words, low, out=words)
            np.bitwise_or(words, spare, out=words)
        for index, source in enumerate(self._sources):
            word, bit = divmod(index * self._held, _WORD_BITS)
            if bit:
                np.left_shift(source, np.uint64(bit), out=self._column)
                self._columns[word] |= self._column
            else:
                self._columns[word] = source
            if bit + self._held > _WORD_BITS:
                np.right_shift(source, np.uint64(_WORD_BITS - bit), out=self._columns[word + 1])
        for record, column in self._links:
            record[...] = column
        return self._records.data

    def split(self, data: Packed) -> Iterator[tuple[int, Words]]:
        """Yield the entries of packed bytes piece by piece, each with its start index; valid until the next piece."""
        raw = np.frombuffer(data, dtype=np.uint8)
        step = self._records.size
        for number, start in enumerate(range(0, self._length, self.entries)):
            part = raw[number * step : (number + 1) * step]
            self._records[: part.size] = part
            self._separate()
            yield start, self._entries[: self._length - start]

    def _separate(self) -> None:
        for record, column in self._links:
            column[...] = record
        for index, target in enumerate(self._sources):
            word, bit = divmod(index * self._held, _WORD_BITS)
            np.right_shift(self._columns[word], np.uint64(bit), out=target)
            if bit + self._held > _WORD_BITS:
                np.left_shift(self._columns[word + 1], np.uint64(_WORD_BITS - bit), out=self._column)
                target |= self._column
        words, spare = self._words, self._spare
        if not self._steps:  # The steps, if there are any, mask the bits above the lowest ones.
            words &= np.uint64(2**self._held - 1)
        for low, high, shift in reversed(self._steps):
            np.left_shift(words, shift, out=spare)
            np.bitwise_and(spare, high, out=spare)
            np.bitwise_and(words, low, out=words)
            np.bitwise_or(words, spare, out=words)
