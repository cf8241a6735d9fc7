"""A public random subset of the rows of a rotation, so that a client sends fewer coordinates than its update has.

Of each block of B rows, the same number k of rows is kept. Each subset of that size is equally likely, and the subsets
of different blocks are independent. Take the kept rows times B / k, and zeros in the other places: the expectation of
this vector is the rotated vector. The rows are computed from public bytes, so all parties keep the same rows. So a sum
of kept rows is the kept rows of the sum.

Source of the idea: Chen, Choquette-Choo, Kairouz and Suresh, arXiv 2203.03761 (a linear compression before a secure
sum). That paper uses sparse random projections, and of its text only the abstract and the introduction could be read
here. So the scheme and its proofs are ours; see `docs/decisions/0023-compression.md`.

Adversary: none. The rows are public, and no privacy follows from them. A party that chooses them can make a mean less
accurate.
"""

import hashlib
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocols.crypto.keystream import Keystream
from protocols.crypto.secret import Secret
from secagg.aggregation.rotation import Rotation
from secagg.errors import EncodingError

MOST_BIAS: Final = 0.05
"""The largest bias of a client's part that `least_kept` allows, as a fraction of the clip."""

_LABEL: Final = b"secagg: kept rows of a rotation\0"


class SubsampledRotation(Rotation):
    """A rotation of which some rows are kept; the expectation of `restore(rotate(x))` over the rows is `x`.

    Args:
        dimension: Coordinates before padding, at least 1.
        seed: Public bytes; the same for all parties.
        rows: Which rows are kept, shape `(padded,)`, from `kept_rows`: the same number in each block, at least 1.

    Raises:
        EncodingError: An argument does not fit; `rotate` and `restore` raise it for another shape.

    Attributes:
        length: The number of rows that are kept in all blocks together.
    """

    def __init__(self, dimension: int, seed: bytes, rows: NDArray[np.bool_]) -> None:
        super().__init__(dimension, seed)
        if rows.shape != (self.padded,) or rows.dtype != np.bool_:
            raise EncodingError(
                f"rows: expected shape ({self.padded},) and dtype bool, found {rows.shape} and {rows.dtype}"
            )
        counts = {int(count) for count in rows.reshape(-1, self.block).sum(axis=1)}
        if len(counts) != 1 or 0 in counts:
            raise EncodingError(f"rows: expected the same number in each block, at least 1, found {sorted(counts)}")
        self.length = int(rows.sum())
        self._factor = self.padded / self.length
        self._rows = rows

    def rotate(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rotate a vector of shape `(dimension,)`, and return its kept rows, shape `(length,)`, as they are."""
        return super().rotate(vector)[self._rows]

    def restore(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the vector of shape `(dimension,)` that kept rows, of shape `(length,)`, stand for.

        The rows are multiplied by the quotient of all rows and the kept ones. Rows that were not kept count as 0.
        """
        if vector.shape != (self.length,):
            raise EncodingError(f"vector: expected shape ({self.length},) for the kept rows, found {vector.shape}")
        padded = np.zeros(self.padded)
        padded[self._rows] = vector
        padded *= self._factor
        return super().restore(padded)


def kept_rows(seed: bytes, *, blocks: int, block: int, kept: int) -> NDArray[np.bool_]:
    """Return which rows are kept: in each block a subset of the given size, uniformly drawn and independent.

    Each row gets a number of 64 bits from an AES stream whose key is a hash of the seed. The rows with the smallest
    numbers are kept. If the largest number that is kept equals the smallest that is not, the block is drawn again. So
    the subset depends only on the order of the numbers, and all rows are treated alike. No division is used, so no
    remainder biases the subset.

    Args:
        seed: Public bytes.
        blocks: The number of blocks, at least 1.
        block: The number of rows of a block, in [2, 2^14].
        kept: The number of rows that are kept of each block, in [1, block - 1].

    Returns:
        Shape `(blocks * block,)`; True for a row that is kept.
    """
    stream = Keystream(Secret(hashlib.sha256(_LABEL + seed).digest()), expected_bytes=8 * blocks * block)
    rows = np.empty((blocks, block), dtype=np.bool_)
    numbers = np.empty(block, dtype="<u8")
    for row in rows:
        last = first = 0
        while last == first:
            stream.fill(numbers.view(np.uint8).data)
            last, first = np.partition(numbers, (kept - 1, kept))[kept - 1 : kept + 1]
        np.less_equal(numbers, last, out=row)
    return rows.reshape(-1)


def clip_bias(*, block: int, kept: int) -> float:
    """Return a bound on the bias that the clip of kept rows causes in a client's decoded part, over the clip.

    The bound holds for each update that does not depend on the signs of the rotation; see
    `docs/decisions/0023-compression.md` for the proof.
    """
    return 0.0 if kept == block else math.sqrt((block - kept) / (2 * kept * (block - 1)))


def least_kept(block: int) -> int:
    """Return the least number of rows to keep of a block with which the bias is at most `MOST_BIAS` of the clip."""
    return next(kept for kept in range(1, block + 1) if clip_bias(block=block, kept=kept) <= MOST_BIAS)
