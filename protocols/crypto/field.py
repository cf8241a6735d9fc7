"""Arithmetic over a prime field F_p, 3 <= p <= 2^61 - 1, that cannot overflow: sums, matrix products, uniform vectors.

A matrix product runs on float64 matrix multiplication. This is exact if all terms are integers of at least 0 and their
sum stays below 2^53, no matter in which order they are added. So entries are split into limbs, and the products of
limbs are joined by Horner's rule, with a reduction modulo p at each step. With b bits in p, k columns in the matrix,
at most 2^16, and c = max(1, ceil(log2 k)):

- Up to p = 2^31 only the matrix is split, into limbs of w bits with b + w + c <= 52. A limb's product is below
  2^52. The accumulator, below 2p, times 2^w is below 2^(b + 1 + w) <= 2^52. So each step stays below 2^53.
- Above, matrix and vectors are both split into l limbs of w bits, and limb products of equal weight are added by the
  same matrix multiplication: at most l * k terms below 2^(2w), where 2w + ceil(log2(l * k)) <= 53. They are joined
  in uint64 modulo 2^64. The remainder is below 2p < 2^62, so it is exact although its dividend wraps around.

A quotient x / p is estimated as x * r in float64, where r is four units in the last place below the rounded 1/p. At
most four roundings go up (1/p, the accumulator, the sum, the product), so the estimate never exceeds x / p. Since x / p
is below 2^36, the estimate is less than 1 too small. So the remainder is in [0, 2p), and one subtraction is left.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from protocols.crypto.integers import shown
from protocols.crypto.keystream import CHUNK_BYTES, Keystream, Words, word_dtype
from protocols.crypto.secret import Secret

Matrix = Sequence[Sequence[int]]

MAX_PRIME: Final = 2**61 - 1
MAX_COLUMNS: Final = 2**16

_NARROW = 2**31
_EXACT_BITS = 53
_SCRATCH_BYTES = 2 * 1024 * 1024
_MILLER_RABIN_BASES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


@lru_cache(maxsize=256)  # Every party asks it of the same modulus, many times in a session.
def is_prime(number: int) -> bool:
    """Return whether a number below 2^64 is prime, with certainty.

    Miller-Rabin with the first twelve primes as bases: the least composite number that passes is above 2^78 (Sorenson
    and Webster, Strong pseudoprimes to twelve prime bases, arXiv 1509.00864, theorem 1.1).

    Raises:
        ValueError: The number is 2^64 or more.
    """
    if number >= 2**64:
        raise ValueError(f"number: expected below 2^64, found {number}")
    if number < 2 or any(number % base == 0 for base in _MILLER_RABIN_BASES):
        return number in _MILLER_RABIN_BASES
    return all(_is_strong_probable_prime(number, base) for base in _MILLER_RABIN_BASES)


def _is_strong_probable_prime(number: int, base: int) -> bool:
    twos = ((number - 1) & (1 - number)).bit_length() - 1
    power = pow(base, (number - 1) >> twos, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False


def largest_prime(bits: int) -> int:
    """Return the largest prime below 2^bits, for bits in [2, 61]."""
    if not 2 <= bits <= MAX_PRIME.bit_length():
        raise ValueError(f"bits: expected 2 to {MAX_PRIME.bit_length()}, found {bits}")
    return next(number for number in range(2**bits - 1, 1, -2) if is_prime(number))


@dataclass(frozen=True, slots=True)
class Field:
    """The integers modulo an odd prime.

    Attributes:
        prime: A prime in [3, 2^61 - 1].

    Raises:
        ValueError: `prime` is not a prime or is out of range.
    """

    prime: int

    def __post_init__(self) -> None:
        if not 3 <= self.prime <= MAX_PRIME or not is_prime(self.prime):
            raise ValueError(f"prime: expected a prime in [3, 2^61 - 1], found {shown(self.prime)}")

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        """The smallest little-endian unsigned type that holds every element."""
        return word_dtype(self.prime)

    def add(self, total: Words, vector: Words) -> None:
        """Add a vector to `total`, in place.

        Args:
            total: Shape `(length,)`, contiguous, of `dtype`, entries in [0, prime).
            vector: Shape `(length,)`, contiguous, of `dtype`, entries in [0, prime).
        """
        for piece, added in _pieces(total, vector):
            # Compare with the distance to the prime: total + vector may not fit in a word.
            wraps = piece >= self.dtype.type(self.prime) - added
            piece += added
            piece -= wraps * self.dtype.type(self.prime)

    def subtract(self, total: Words, vector: Words) -> None:
        """Subtract a vector from `total`, in place; the arguments are those of `add`."""
        for piece, taken in _pieces(total, vector):
            wraps = piece < taken
            piece -= taken
            piece += wraps * self.dtype.type(self.prime)

    def uniform(self, seed: Secret, length: int) -> Words:
        """Return the vector that a seed expands to; it is uniform for anyone who does not know the seed.

        The keystream of AES-256 in counter mode is read as words of `dtype`, cut to the bits of the prime. Words at or
        above the prime are skipped.

        Args:
            seed: 32 bytes that are expanded to nothing else.
            length: At least 0.

        Returns:
            Shape `(length,)`, of `dtype`, entries in [0, prime).
        """
        stream = Keystream(seed, expected_bytes=length * self.dtype.itemsize)
        mask = self.dtype.type(2 ** self.prime.bit_length() - 1)
        buffer = np.empty(CHUNK_BYTES // self.dtype.itemsize, dtype=self.dtype)
        drawn = np.empty(length, dtype=self.dtype)
        filled = 0
        while filled < length:
            stream.fill(buffer.view(np.uint8).data)
            np.bitwise_and(buffer, mask, out=buffer)
            accepted = buffer if buffer.max() < self.prime else buffer[buffer < self.prime]
            taken = min(accepted.size, length - filled)
            drawn[filled : filled + taken] = accepted[:taken]
            filled += taken
        return drawn

    def product(self, matrix: Matrix, vectors: Words) -> Words:
        """Return the exact product of a matrix and column vectors.

        Args:
            matrix: `rows` rows of `k` integers in [0, prime), k at most 2^16.
            vectors: Shape `(k, length)`, of `dtype`, entries in [0, prime).

        Returns:
            Shape `(rows, length)`, of `dtype`, entries in [0, prime).

        Raises:
            ValueError: The shapes do not fit.
        """
        if any(len(row) != len(vectors) for row in matrix) or not 1 <= len(vectors) <= MAX_COLUMNS:
            raise ValueError(
                f"matrix: expected one column for each vector and 1 to {MAX_COLUMNS} vectors, "
                f"found another shape with {len(vectors)} vectors"
            )
        result = np.empty((len(matrix), vectors.shape[1]), dtype=self.dtype)
        if result.size:
            kernel = _narrow_product if self.prime <= _NARROW else _wide_product
            kernel(self.prime, np.array(matrix, dtype=np.uint64), vectors, result)
        return result

    def interpolation(self, knots: Sequence[int], targets: Sequence[int]) -> list[list[int]]:
        """Return Lagrange's matrix, which maps a polynomial's values at the knots to its values at the targets.

        Args:
            knots: k distinct points in [0, prime); the polynomial has a degree below k.
            targets: Points in [0, prime).

        Returns:
            A row of k integers in [0, prime) for each target.

        Raises:
            ValueError: Two knots are equal.
        """
        prime = self.prime
        if len({knot % prime for knot in knots}) != len(knots):
            raise ValueError("knots: expected points that differ modulo the prime, found two equal ones")
        weights = []
        for knot in knots:
            weight = 1
            for other in knots:
                if other != knot:
                    weight = weight * (knot - other) % prime
            weights.append(pow(weight, -1, prime))
        return [self._row(knots, weights, target) for target in targets]

    def _row(self, knots: Sequence[int], weights: Sequence[int], target: int) -> list[int]:
        """Return, for each knot, its weight times the product of target - other over all other knots.

        The product is made from the one over the knots to the left and the one over the knots to the right.
        """
        row, product = [], 1
        for knot, weight in zip(knots, weights, strict=True):
            row.append(product * weight % self.prime)
            product = product * (target - knot) % self.prime
        product = 1
        for index in range(len(knots) - 1, -1, -1):
            row[index] = row[index] * product % self.prime
            product = product * (target - knots[index]) % self.prime
        return row


def _pieces(one: Words, other: Words) -> Iterator[tuple[Words, Words]]:
    """Yield both vectors in pieces that stay in cache."""
    size = CHUNK_BYTES // one.itemsize
    for start in range(0, one.size, size):
        yield one[start : start + size], other[start : start + size]


def _reciprocal(prime: int) -> float:
    """Return a float that is at most 1 / prime even after four roundings up; see the module's docstring."""
    rounded = 1 / prime
    return rounded - 4 * math.ulp(rounded)


def _columns(stacked: int, vectors: int) -> int:
    """Return how many columns to process at once, so that the arrays in use stay in cache."""
    return max(64, _SCRATCH_BYTES // (8 * (stacked + vectors)))


def _narrow_product(prime: int, matrix: Words, vectors: Words, result: Words) -> None:
    """Write the product for a prime below 2^31 to `result`, computed in float64 throughout."""
    bits, (rows, count) = prime.bit_length(), matrix.shape
    limbs = -(-bits // (_EXACT_BITS - 1 - bits - max(1, (count - 1).bit_length())))
    width = -(-bits // limbs)
    shifts = [np.uint64(width * limb) for limb in reversed(range(limbs))]
    stacked = np.concatenate([matrix >> shift & np.uint64(2**width - 1) for shift in shifts]).astype(np.float64)
    reciprocal, scale = _reciprocal(prime), float(2**width)
    for start in range(0, vectors.shape[1], size := _columns(2 * len(stacked), count)):
        products = (stacked @ vectors[:, start : start + size].astype(np.float64)).reshape(limbs, rows, -1)
        total, quotient = products[0], np.empty_like(products[0])
        for limb in range(limbs):
            if limb:
                total *= scale
                total += products[limb]
            np.multiply(total, reciprocal, out=quotient)
            np.floor(quotient, out=quotient)
            quotient *= prime
            total -= quotient
        remainder = total.astype(np.uint32)
        np.minimum(remainder, remainder - np.uint32(prime), out=remainder)  # It wraps if below the prime.
        result[:, start : start + size] = remainder


def _wide_product(prime: int, matrix: Words, vectors: Words, result: Words) -> None:
    """Write the product for a prime above 2^31 to `result`: limbs on both sides, joined in wrapping uint64."""
    rows, count = matrix.shape
    limbs, width = _wide_limbs(prime.bit_length(), count)
    shifts, mask = [np.uint64(width * limb) for limb in range(limbs)], np.uint64(2**width - 1)
    # Row block g, column block j: the limb of the matrix that meets limb j of the vectors at weight 2^(width * g).
    stacked = np.zeros((2 * limbs - 1, rows, limbs, count))
    for weight in range(2 * limbs - 1):
        for limb in range(max(0, weight - limbs + 1), min(weight, limbs - 1) + 1):
            stacked[weight, :, limb] = matrix >> shifts[weight - limb] & mask
    flat = stacked[::-1].reshape(-1, limbs * count)
    reciprocal, scale, modulus = _reciprocal(prime), float(2**width), np.uint64(prime)
    for start in range(0, vectors.shape[1], size := _columns(2 * len(flat), 2 * limbs * count)):
        piece = vectors[:, start : start + size].astype(np.uint64)
        split = np.concatenate([piece >> shift & mask for shift in shifts]).astype(np.float64)
        total = np.zeros((rows, piece.shape[1]), dtype=np.uint64)
        for product in (flat @ split).reshape(2 * limbs - 1, rows, -1):
            quotient = ((total.astype(np.float64) * scale + product) * reciprocal).astype(np.uint64)
            total <<= np.uint64(width)
            total += product.astype(np.uint64)
            total -= quotient * modulus
        result[:, start : start + size] = np.minimum(total, total - modulus)


def _wide_limbs(bits: int, count: int) -> tuple[int, int]:
    """Return the number and width of limbs for which a sum of limbs * count products of two limbs is exact."""
    for limbs in range(2, bits):
        width = -(-bits // limbs)
        if 2 * width + (limbs * count - 1).bit_length() <= _EXACT_BITS:
            return limbs, width
    raise ValueError(
        f"terms: expected few enough that products of {bits}-bit integers are summed exactly, found {count}"
    )
