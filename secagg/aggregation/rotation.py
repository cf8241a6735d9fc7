"""A public random rotation that spreads a vector's norm evenly over its coordinates.

Random signs, then the orthonormal Walsh-Hadamard transform, block by block (Kairouz, Liu and Steinke, arXiv
2102.06387v4, section 4.2). The blocks are ours: they keep the padding at or below one sixteenth of the dimension. One
transform over the next power of two may double the vector.

A block of size B with l2 norm at most c has, for signs independent of it, coordinates above t in magnitude with
probability at most 2 exp(-t^2 B / (2 c^2)) each (Hoeffding), which is what `flat_bound` inverts.
"""

import hashlib
import math
from functools import lru_cache

import numpy as np
from cryptography.hazmat.primitives.hashes import SHAKE256, XOFHash
from numpy.typing import NDArray

from secagg.errors import EncodingError

_LARGEST_BLOCK = 2**14
_PADDING = 16
PIECE = 2**16
"""The number of entries that are transformed at a time, a multiple of every block."""

FAILURE = 2.0**-40


class Rotation:
    """The rotation of vectors of one dimension; `rotate` and `restore` are inverses up to float64 rounding.

    Args:
        dimension: Coordinates before padding, at least 1.
        seed: Public bytes; the same for all parties.

    Raises:
        EncodingError: The dimension is not an int of at least 1; `rotate` and `restore` raise it for another shape.

    Attributes:
        block: Size of a block, a power of two.
        padded: Coordinates after padding, a multiple of `block`, at most 17/16 of the dimension.
    """

    def __init__(self, dimension: int, seed: bytes) -> None:
        if type(dimension) is not int or dimension < 1:
            raise EncodingError(f"dimension: expected an int of at least 1, found {dimension!r}")
        self.dimension = dimension
        self.block = block_size(dimension)
        self.padded = padded_length(dimension)
        self._signs = _signs(hashlib.shake_256(seed).digest(-(-self.padded // 8)), self.padded)

    def rotate(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rotate a vector of shape `(dimension,)` to shape `(padded,)`; the l2 norm is unchanged."""
        _check_shape(vector, self.dimension)
        padded = np.zeros(self.padded)
        padded[: self.dimension] = vector
        padded *= self._signs
        self._transform(padded)
        return padded

    def restore(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rotate a vector of shape `(padded,)` back to shape `(dimension,)`, in its own memory, and return a view."""
        _check_shape(vector, self.padded)
        self._transform(vector)
        vector *= self._signs
        return vector[: self.dimension]

    def _transform(self, vector: NDArray[np.float64]) -> None:
        """Put the transform of a vector in its place, in pieces, so that no second vector is in memory."""
        for start in range(0, self.padded, PIECE):
            _transform_piece(vector[start : start + PIECE], self.block)


class PiecewiseRotation:
    """The rotation of one vector that comes piece by piece, from its beginning: what `Rotation.rotate` returns.

    Args:
        dimension: Coordinates before padding, at least 1.
        seed: Public bytes; the same for all parties.
    """

    def __init__(self, dimension: int, seed: bytes) -> None:
        self._block, self._left = block_size(dimension), padded_length(dimension)
        self._stream = XOFHash(SHAKE256(digest_size=-(-self._left // 8)))
        self._stream.update(seed)

    def rotate(self, piece: NDArray[np.float64]) -> None:
        """Rotate the next `PIECE` coordinates of the padded vector, or all that are left, in their own memory.

        Raises:
            EncodingError: The piece has another length.
        """
        _check_shape(piece, min(PIECE, self._left))
        self._left -= piece.size
        piece *= _signs(self._stream.squeeze(-(-piece.size // 8)), piece.size)
        _transform_piece(piece, self._block)


def _signs(data: bytes, count: int) -> NDArray[np.int8]:
    """Return a sign for each bit, from the most significant one of each byte on: -1 for a one, 1 for a zero."""
    signs = np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=count).view(np.int8)
    signs *= -2
    signs += 1
    return signs


def _transform_piece(piece: NDArray[np.float64], block: int) -> None:
    """Put the transform of whole blocks in their place."""
    # H_B is the Kronecker product of two smaller ones: two matrix products instead of log2(B) passes.
    rows = 1 << (block.bit_length() - 1) // 2
    left, right = _hadamard(rows), _hadamard(block // rows)
    piece[:] = (left @ piece.reshape(-1, rows, block // rows) @ right).reshape(-1)


def block_size(dimension: int) -> int:
    """Return the size of a block: doubled from 1 as long as padding is at most a sixteenth of the dimension."""
    block = 1
    while 2 * block <= _LARGEST_BLOCK and -dimension % (2 * block) <= dimension // _PADDING:
        block *= 2
    return block


def padded_length(dimension: int) -> int:
    """Return the dimension, rounded up to whole blocks."""
    block = block_size(dimension)
    return -(-dimension // block) * block


def flat_bound(norm: float, dimension: int) -> float:
    """Return a bound on all rotated coordinates of a vector of this norm; it fails with probability at most 2^-40."""
    block = block_size(dimension)
    return norm * min(1.0, math.sqrt(2 * math.log(2 * padded_length(dimension) / FAILURE) / block))


def float_error(norm: float, dimension: int) -> float:
    """Return a bound on the float64 error of any coordinate in one rotation, either way, of a vector of this norm.

    A coordinate is a product with two factors of r and c rows, r c = B and r + c < 2.2 sqrt(B), of entries 1 / sqrt(B)
    in all, so that its error is at most (r + c + 16) 2^-53 times the block's l1 norm over sqrt(B) (Higham, "Accuracy
    and Stability of Numerical Algorithms", section 3.5).
    """
    return norm * (3 * math.sqrt(block_size(dimension)) + 20) * 2.0**-53


def _check_shape(vector: NDArray[np.float64], length: int) -> None:
    if vector.shape != (length,):
        raise EncodingError(f"vector: expected shape ({length},) for the rotation, found {vector.shape}")


@lru_cache(maxsize=16)
def _hadamard(size: int) -> NDArray[np.float64]:
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]]) / math.sqrt(2)
    return matrix
