"""Keystreams and masks: AES-256 in counter mode (NIST SP 800-38A), keyed by a 32-byte seed with no other use.

A mask's keystream is read as little-endian words of the smallest unsigned type that holds every entry below the
modulus, a power of two, so words are uniform modulo it. Expansion and addition use one small buffer that stays in
cache.
"""

from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from protocols.crypto.secret import Secret

Words = NDArray[np.unsignedinteger[Any]]

CHUNK_BYTES: Final = 128 * 1024
"""Largest buffer of `Keystream.fill`, in bytes; a buffer of this size stays in cache."""

_ZEROS = memoryview(bytes(CHUNK_BYTES))


def word_dtype(modulus: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the smallest little-endian unsigned type that holds every entry below a modulus of at most 2^64."""
    bits = (modulus - 1).bit_length()
    size = next(size for size in (1, 2, 4, 8) if 8 * size >= bits)
    return np.dtype(f"<u{size}")


class Keystream:
    """The expansion of a seed, read from its beginning; two readers of one seed read the same bytes.

    Args:
        seed: 32 bytes that are expanded to nothing else. Otherwise the constant first counter block is not secure.
    """

    __slots__ = ("_encryptor",)

    def __init__(self, seed: Secret) -> None:
        self._encryptor = Cipher(algorithms.AES256(seed.reveal()), modes.CTR(bytes(16))).encryptor()

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        return self._encryptor.update(bytes(size))

    def fill(self, buffer: memoryview) -> None:
        """Write the next bytes over a buffer of at most `CHUNK_BYTES` bytes."""
        self._encryptor.update_into(_ZEROS[: buffer.nbytes], buffer)


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
    stream = Keystream(seed)
    buffer = np.empty(min(CHUNK_BYTES, total.nbytes) // total.itemsize, dtype=total.dtype)
    raw = buffer.view(np.uint8).data
    for start in range(0, total.size, buffer.size):
        piece = total[start : start + buffer.size]
        stream.fill(raw[: piece.nbytes])
        operation(piece, buffer[: piece.size], out=piece)
