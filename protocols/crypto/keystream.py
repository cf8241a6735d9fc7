"""Mask expansion: AES-256 in counter mode (NIST SP 800-38A), keyed by a 32-byte seed that expands nothing else.

The keystream is read as little-endian words of the smallest unsigned type that holds the modulus, a power of two,
so words are uniform modulo it.  Expansion and addition go through one small buffer that stays in cache.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from protocols.crypto.secret import Secret

Words = NDArray[np.unsignedinteger[Any]]

_CHUNK_BYTES = 128 * 1024
_ZEROS = bytes(_CHUNK_BYTES)


def word_dtype(modulus: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The smallest little-endian unsigned type that holds every entry below the modulus, at most 2^64."""
    bits = (modulus - 1).bit_length()
    size = next(size for size in (1, 2, 4, 8) if 8 * size >= bits)
    return np.dtype(f"<u{size}")


def stream(seed: Secret) -> Callable[[int], bytes]:
    """A source of bytes, each call the next ones of the expansion of `seed`, 32 bytes."""
    encryptor = Cipher(algorithms.AES256(seed.reveal()), modes.CTR(bytes(16))).encryptor()
    return lambda size: encryptor.update(bytes(size))


def add_mask(total: Words, seed: Secret) -> None:
    """Add the expansion of `seed` to `total`, in place, modulo the word size.

    Args:
        total: Shape `(length,)`, contiguous, of `word_dtype`.
        seed: 32 bytes.
    """
    _apply(np.add, total, seed)


def subtract_mask(total: Words, seed: Secret) -> None:
    """Subtract the expansion of `seed` from `total`, in place, modulo the word size."""
    _apply(np.subtract, total, seed)


def _apply(operation: np.ufunc, total: Words, seed: Secret) -> None:
    stream = Cipher(algorithms.AES256(seed.reveal()), modes.CTR(bytes(16))).encryptor()
    buffer = np.empty(min(_CHUNK_BYTES, total.nbytes) // total.itemsize, dtype=total.dtype)
    raw = buffer.view(np.uint8).data
    for start in range(0, total.size, buffer.size):
        piece = total[start : start + buffer.size]
        stream.update_into(memoryview(_ZEROS)[: piece.nbytes], raw[: piece.nbytes])
        operation(piece, buffer[: piece.size], out=piece)
