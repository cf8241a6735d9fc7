"""Randomised rounding to integers whose norm is bounded.

Source: Kairouz, Liu and Steinke, arXiv 2102.06387v4, algorithm 1 (conditional rounding). The bound is checked last,
on the integers themselves, so that privacy does not depend on floating-point errors.
"""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocols.crypto import keystream
from protocols.crypto.secret import Secret
from secagg.errors import EncodingError

TRIES: Final = 64

_PIECE = 2**15  # The number of entries whose temporary arrays stay in the cache.


def round_at_random(
    scaled: NDArray[np.float64], *, l2_bound: float, entropy: Callable[[int], bytes]
) -> NDArray[np.int64]:
    """Round each entry up or down at random; repeat until the norm is within its bound, at most `TRIES` times.

    If every try fails, entries are rounded towards zero. The result is unbiased except for this conditioning and for
    the 2^-32 resolution of the coins.

    Args:
        scaled: Shape `(length,)`, finite, entries below 2^61 in magnitude, l2 norm at most `l2_bound`.
        l2_bound: Bound on the result's l2 norm.
        entropy: Secret randomness, 32 bytes for each try.

    Returns:
        Shape `(length,)`, int64; each entry differs from the given one by less than 1.

    Raises:
        EncodingError: The given vector exceeds the bound even when rounded towards zero.
    """
    rounded = np.empty(0, dtype=np.int64)
    for rounding in roundings(scaled.size, l2_bound=l2_bound, entropy=entropy):
        rounded = rounding.round(scaled)
        if rounding.fits:
            break
    return rounded


def roundings(length: int, *, l2_bound: float, entropy: Callable[[int], bytes]) -> "Iterator[Rounding]":
    """Yield the tries of `round_at_random`, for a vector that comes piece by piece; stop at the first one that fits.

    Raises:
        EncodingError: As `round_at_random`, once the last try does not fit either.
    """
    limit = math.floor(Fraction(l2_bound) ** 2)
    for _ in range(TRIES):
        yield Rounding(keystream.Keystream(Secret(entropy(32)), expected_bytes=4 * length), limit)
    last = Rounding(None, limit)
    yield last
    if not last.fits:
        raise EncodingError(
            f"vector: expected an l2 norm of at most {l2_bound:g}, found one above it even when rounded towards zero"
        )


class Rounding:
    """One try at rounding a vector, piece by piece; it has failed unless `fits` after the last piece.

    Args:
        coins: What rounds at random; None to round towards zero.
        limit: The bound on the result's squared l2 norm.
    """

    def __init__(self, coins: keystream.Keystream | None, limit: int) -> None:
        self._coins, self._limit, self._norm = coins, limit, 0

    def round(self, scaled: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the next entries, rounded."""
        if self._coins is None:
            rounded = np.trunc(scaled).astype(np.int64)
            norm = squared_norm(rounded)
        else:
            rounded, norm = _rounded(scaled, self._coins)
        self._norm += norm
        return rounded

    @property
    def fits(self) -> bool:
        """Whether the norm of all pieces so far is within the bound."""
        return self._norm <= self._limit


def _rounded(scaled: NDArray[np.float64], coins: keystream.Keystream) -> tuple[NDArray[np.int64], int]:
    """Return the entries, rounded at random, and the squared l2 norm of the result.

    An entry is rounded up if a coin of 32 bits is below its fraction in units of 2^-32, and down otherwise. So the
    chance to round up is the fraction, rounded up to a multiple of 2^-32.
    """
    rounded, norm = np.empty(scaled.size, dtype=np.int64), 0
    buffers = np.empty((3, min(_PIECE, scaled.size)), dtype=np.float64)
    words = np.empty(buffers.shape[1], dtype="<u4")
    for start in range(0, scaled.size, _PIECE):
        given = scaled[start : start + _PIECE]
        whole, fraction, coin = buffers[:, : given.size]
        np.floor(given, out=whole)
        np.subtract(given, whole, out=fraction)
        np.multiply(fraction, 2.0**32, out=fraction)
        coins.fill(words[: given.size].view(np.uint8).data)
        np.copyto(coin, words[: given.size])
        np.add(whole, coin < fraction, out=whole)  # Exact: from 2^52 on there is no fraction, or it ends at 2^53.
        result = rounded[start : start + _PIECE]
        np.copyto(result, whole, casting="unsafe")
        # Squares and sums of whole numbers are exact in float64 as long as the total is below 2^53.
        squares = float(whole @ whole)
        norm += int(squares) if squares < 2.0**53 else squared_norm(result)
    return rounded, norm


def squared_norm(vector: NDArray[np.int64]) -> int:
    """Return the squared l2 norm, exact for entries below 2^62 in magnitude."""
    magnitude = np.abs(vector)
    # High and low halves apart, so that no partial sum leaves 64 bits.
    high, low = magnitude >> 20, magnitude & (2**20 - 1)
    return (_dot(high, high) << 40) + (_dot(high, low) << 21) + _dot(low, low)


def _dot(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    if int(one.max(initial=0)) * int(other.max(initial=0)) * one.size < 2**63:
        return int(one @ other)
    return sum(int(a) * int(b) for a, b in zip(one, other, strict=True))
