"""Vectors on the wire: entries of `b` bits, packed without gaps, least significant bit first.

The fewest entries that fill whole 64-bit words make a block: 64 / gcd(b, 64) of them.  Packing works on columns of
blocks, so its cost is a few dozen shifts and adds over short arrays, whatever b is.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WORD_BITS = 64
_WORD = np.dtype("<u8")


def _block(bits: int) -> tuple[int, int]:
    """The fewest entries that fill whole words, and how many words that is."""
    common = math.gcd(bits, _WORD_BITS)
    return _WORD_BITS // common, bits // common


def packed_bytes(length: int, modulus: int) -> int:
    """Bytes of a packed vector: ceil(length * bits / 8)."""
    return -(-length * (modulus - 1).bit_length() // 8)


def pack(vector: NDArray[np.unsignedinteger[Any]], modulus: int) -> bytes:
    """Bit-pack a vector.

    Args:
        vector: Shape `(length,)`, unsigned integers in [0, modulus).
        modulus: At least 2, at most 2^64.
    """
    bits = (modulus - 1).bit_length()
    entries, width = _block(bits)
    blocks = -(-vector.size // entries)
    padded = np.zeros(blocks * entries, dtype=_WORD)
    padded[: vector.size] = vector
    columns = np.ascontiguousarray(padded.reshape(blocks, entries).T)
    words = np.zeros((width, blocks), dtype=_WORD)
    for index in range(entries):
        word, shift = divmod(index * bits, _WORD_BITS)
        words[word] |= columns[index] << np.uint64(shift)
        if shift + bits > _WORD_BITS:
            words[word + 1] |= columns[index] >> np.uint64(_WORD_BITS - shift)
    return words.T.tobytes()[: packed_bytes(vector.size, modulus)]


def unpack(data: bytes, length: int, modulus: int) -> NDArray[np.uint64]:
    """The vector that `pack` packed.

    Returns:
        Shape `(length,)`, uint64, entries in [0, modulus).

    Raises:
        ValueError: The data has another length, an entry at or above the modulus, or padding that is not zero.
    """
    bits = (modulus - 1).bit_length()
    if len(data) != packed_bytes(length, modulus):
        raise ValueError(f"a packed vector of {len(data)} bytes, where {packed_bytes(length, modulus)} are expected")
    entries, width = _block(bits)
    blocks = -(-length // entries)
    padded = np.zeros(blocks * width * 8, dtype=np.uint8)
    padded[: len(data)] = np.frombuffer(data, dtype=np.uint8)
    words = np.ascontiguousarray(padded.view(_WORD).reshape(blocks, width).T)
    columns = np.empty((entries, blocks), dtype=_WORD)
    mask = np.uint64(2**bits - 1)
    for index in range(entries):
        word, shift = divmod(index * bits, _WORD_BITS)
        np.right_shift(words[word], np.uint64(shift), out=columns[index])
        if shift + bits > _WORD_BITS:
            columns[index] |= words[word + 1] << np.uint64(_WORD_BITS - shift)
        columns[index] &= mask
    flat = columns.T.reshape(-1)
    if flat[length:].any():
        raise ValueError("a packed vector whose padding is not zero")
    vector = flat[:length].astype(np.uint64, copy=False)
    if modulus != 2**bits and int(vector.max()) >= modulus:
        raise ValueError(f"a packed vector with an entry at or above the modulus {modulus}")
    return vector
