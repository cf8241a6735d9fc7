"""Vectors on the wire: entries of `b` bits, packed without gaps, least significant bit first.

Sixty-four entries of b bits fill exactly b 64-bit words; packing works on columns of such blocks, so its cost is
sixty-four shifts and adds over short arrays, whatever b is.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 64
_WORD = np.dtype("<u8")


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
    blocks = -(-vector.size // _BLOCK)
    padded = np.zeros(blocks * _BLOCK, dtype=_WORD)
    padded[: vector.size] = vector
    columns = np.ascontiguousarray(padded.reshape(blocks, _BLOCK).T)
    words = np.zeros((bits, blocks), dtype=_WORD)
    for index in range(_BLOCK):
        word, shift = divmod(index * bits, _BLOCK)
        words[word] |= columns[index] << np.uint64(shift)
        if shift + bits > _BLOCK:
            words[word + 1] |= columns[index] >> np.uint64(_BLOCK - shift)
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
    blocks = -(-length // _BLOCK)
    padded = np.zeros(blocks * bits * 8, dtype=np.uint8)
    padded[: len(data)] = np.frombuffer(data, dtype=np.uint8)
    words = np.ascontiguousarray(padded.view(_WORD).reshape(blocks, bits).T)
    columns = np.empty((_BLOCK, blocks), dtype=_WORD)
    mask = np.uint64(2**bits - 1)
    for index in range(_BLOCK):
        word, shift = divmod(index * bits, _BLOCK)
        np.right_shift(words[word], np.uint64(shift), out=columns[index])
        if shift + bits > _BLOCK:
            columns[index] |= words[word + 1] << np.uint64(_BLOCK - shift)
        columns[index] &= mask
    entries = columns.T.reshape(-1)
    if entries[length:].any():
        raise ValueError("a packed vector whose padding is not zero")
    vector = entries[:length].astype(np.uint64, copy=False)
    if modulus != 2**bits and int(vector.max()) >= modulus:
        raise ValueError(f"a packed vector with an entry at or above the modulus {modulus}")
    return vector
