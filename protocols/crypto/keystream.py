"""Keystreams and masks: AES-256 in counter mode (NIST SP 800-38A), keyed by a 32-byte seed with no other use.

A mask's keystream is read as little-endian words of the smallest unsigned type that holds every entry below the
modulus, a power of two, so words are uniform modulo it. Masks are expanded and added piece by piece, so that one piece
of all masks and of the total stays in cache.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocols.crypto.counter_mode import CounterMode, mode_of_long_streams, segments
from protocols.crypto.secret import Secret

Words = NDArray[np.unsignedinteger[Any]]

SignedMask = tuple[np.ufunc, Secret]
"""`np.add` or `np.subtract`, and the seed of a mask."""

CHUNK_BYTES: Final = 128 * 1024
"""Largest buffer of `Keystream.fill`, in bytes; a buffer of this size stays in cache."""

LONG_BYTES: Final = 64 * 1024
"""The length from which on the mode is chosen. Below it, GCM's second context costs more time than GCM saves."""

_MASKS_AT_ONCE = 64  # Each holds two contexts of the library, of about 2.5 kB together.


def _zeros(size: int) -> NDArray[np.uint8]:
    """Return zero bytes that begin on a cache line; the wide instructions of GCM take 6% longer on others."""
    line = 64
    spare = np.zeros(size + line, dtype=np.uint8)
    start = -spare.ctypes.data % line
    return spare[start : start + size]


_ZEROS = _zeros(CHUNK_BYTES).data


def word_dtype(modulus: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the smallest little-endian unsigned type that holds every entry below a modulus of at most 2^64."""
    bits = (modulus - 1).bit_length()
    size = next(size for size in (1, 2, 4, 8) if 8 * size >= bits)
    return np.dtype(f"<u{size}")


class Keystream:
    """The expansion of a seed, read from its beginning; two readers of one seed read the same bytes.

    Args:
        seed: 32 bytes that are expanded to nothing else. Otherwise the constant first counter block is not secure.
        expected_bytes: About how many bytes will be read. It decides how fast the bytes come, and never what they are.
    """

    __slots__ = ("_context", "_left", "_segments")

    def __init__(self, seed: Secret, *, expected_bytes: int = 0) -> None:
        mode = CounterMode.CTR if expected_bytes < LONG_BYTES else mode_of_long_streams()
        self._segments = segments(seed.reveal(), mode)
        self._context, self._left = next(self._segments)

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        parts = []
        while size > self._left:
            size -= self._left
            parts.append(self._context.update(bytes(self._left)))
            self._context, self._left = next(self._segments)
        self._left -= size
        parts.append(self._context.update(bytes(size)))
        return b"".join(parts)

    def fill(self, buffer: memoryview) -> None:
        """Write the next bytes over a buffer of at most `CHUNK_BYTES` bytes."""
        size = buffer.nbytes
        while size > self._left:
            size -= self._left
            self._context.update_into(_ZEROS[: self._left], buffer[: self._left])
            buffer = buffer[self._left :]
            self._context, self._left = next(self._segments)
        self._left -= size
        self._context.update_into(_ZEROS[:size], buffer)


def add_mask(total: Words, seed: Secret) -> None:
    """Add the expansion of `seed` to `total`, in place, modulo the word size; arguments are those of `apply_masks`."""
    apply_masks(total, [(np.add, seed)])


def subtract_mask(total: Words, seed: Secret) -> None:
    """Subtract the expansion of `seed` from `total`, in place, modulo the word size."""
    apply_masks(total, [(np.subtract, seed)])


class Masks:
    """Expansions of seeds, which are added to a vector or subtracted from it piece by piece.

    Args:
        masks: For each mask, `np.add` or `np.subtract`, and a seed of 32 bytes.
        dtype: The words of the vector, a `word_dtype`.
        expected_bytes: About how many bytes the vector has. It decides how fast a mask comes, and never what it is.
    """

    __slots__ = ("_buffer", "_streams")

    def __init__(
        self, masks: Sequence[SignedMask], dtype: np.dtype[np.unsignedinteger[Any]], *, expected_bytes: int
    ) -> None:
        self._streams = [(operation, Keystream(seed, expected_bytes=expected_bytes)) for operation, seed in masks]
        entries = min(CHUNK_BYTES, expected_bytes) // dtype.itemsize
        self._buffer = _zeros(max(entries, 1) * dtype.itemsize).view(dtype)

    def apply(self, piece: Words) -> None:
        """Add or subtract the next entries of all masks, in place, modulo the word size; pieces come in order."""
        size = self._buffer.size
        for start in range(0, piece.size, size):
            part = piece[start : start + size]
            words = self._buffer[: part.size]
            raw = words.view(np.uint8).data
            for operation, stream in self._streams:
                stream.fill(raw)
                operation(part, words, out=part)


def apply_masks(total: Words, masks: Sequence[SignedMask]) -> None:
    """Add or subtract the expansions of seeds, in place, modulo the word size.

    Args:
        total: Shape `(length,)`, contiguous, of `word_dtype`.
        masks: For each mask, `np.add` or `np.subtract`, and a seed of 32 bytes.
    """
    for first in range(0, len(masks), _MASKS_AT_ONCE):
        some = masks[first : first + _MASKS_AT_ONCE]
        Masks(some, total.dtype, expected_bytes=total.nbytes).apply(total)
