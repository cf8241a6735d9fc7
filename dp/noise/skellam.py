r"""Exact samples of the symmetric Skellam distribution, vectorised, from a cryptographic stream.

Skellam(variance) is the law of X - Y for independent X, Y ~ Poisson(mu), mu = variance / 2 (Agarwal, Kairouz, Liu, "The
Skellam Mechanism for Differentially Private Federated Learning", arXiv 2110.04995v2). Sums of independent ones are
Skellam again, whatever their variances, so noise shares may be arbitrarily small.

Each Poisson is the inverse of its distribution function F at a real number U, uniform in [0, 1) and read lazily (Knuth
and Yao, "The complexity of nonuniform random number generation", 1976): the sample is the number of x >= 0 with
F(x) <= U, which is k with probability F(k) - F(k - 1). Let u be the first B bits of U, so that u <= 2^B U < u + 1, and
t(x) = floor(2^B F(x)). Then

    t(x) < u   implies  2^B F(x) < t(x) + 1 <= u <= 2^B U,      x counts;
    t(x) > u   implies  2^B F(x) >= t(x) >= u + 1 > 2^B U,      x does not count;

and if no t(x) equals u, the number of t(x) below u is the sample, whatever the rest of U is. Otherwise 64 more bits of
U are read: with B = 64, for less than one Skellam sample in 2^43. Since 0 and 2^B - 1 may be the t(x) of infinitely
many x, more bits are always read for them. Reading never ends only if U is an F(x), 0 or 1, which has probability 0. A
table of a word's first 18 bits gives a first position among the t(x). For most words one further step gives the answer,
for the others a binary search. All comparisons are between integers.

It remains to compute t(x) exactly. Weigh x by W(x) = mu^x / x! over its value at the mode m = floor(mu). With each step
away from m, W is multiplied by mu / (x + 1) upwards and x / mu downwards, at most 1. In units of 2^-P, a product that
is rounded down after each step is too small by at most one unit more than the one before; after j steps, by at most j.
The steps end when the product (or x) is 0. From there on, j steps from m at x, the true weights are at most j units and
falling, so they sum to at most j (x + 1) below and j / (1 - mu / (x + 1)) above. With E the sum of all these errors,
A(x) the sum of the products up to x and A the sum of all products,

    A(x) / (A + E) <= F(x) <= (A(x) + E) / A,

and if the floors of both ends differ, P is increased. F(x) is exp(-mu) times a rational, hence irrational (Lambert: exp
of a rational other than 0 is irrational), so some P is large enough. No floating-point numbers are used.

The running time depends on the samples and is not constant.
"""

import functools
import itertools
import math
import os
from bisect import bisect_left
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.checks import integer_at_least, positive_rational
from dp.errors import InvalidParameter
from dp.noise.discrete_gaussian import CHUNK, MAXIMUM_SIZE, Bits, Entropy, KeyStream

MINIMUM_VARIANCE: Final = Fraction(1, 1 << 30)
MAXIMUM_VARIANCE: Final = Fraction(1 << 32)
WORD_BITS: Final = 64
GUIDE_BITS: Final = 18
GUARD_BITS: Final = 48


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoissonTable:
    """The table for samples of one Poisson distribution; the module's docstring defines the letters.

    Attributes:
        mean: The mean mu.
        first: The number of x with t(x) = 0, for B = 64.
        limits: The numbers 0, the t(x) that are neither 0 nor 2^64 - 1, and 2^64 - 1; ascending, uint64.
        guide: For each value of a word's first 18 bits, the number of limits whose first bits have a smaller value;
            shape `(262144,)`, int32.
    """

    mean: Fraction
    first: int
    limits: NDArray[np.uint64]
    guide: NDArray[np.int32]

    @staticmethod
    @functools.lru_cache(maxsize=80)  # This is enough for all components of `dp.noise.removal`.
    def of(mean: Fraction) -> "PoissonTable":
        """Build the table for a mean above 0."""
        first, floors = thresholds(mean, WORD_BITS)
        limits = np.array([0, *floors, (1 << WORD_BITS) - 1], dtype=np.uint64)
        hit = (limits >> np.uint64(WORD_BITS - GUIDE_BITS)).view(np.int64)
        limits_of = np.bincount(hit, minlength=1 << GUIDE_BITS)
        guide = (np.cumsum(limits_of) - limits_of).astype(np.int32)
        limits.setflags(write=False)
        guide.setflags(write=False)
        return PoissonTable(mean=mean, first=first, limits=limits, guide=guide)

    def draw(self, count: int, bits: Bits) -> NDArray[np.int64]:
        """Draw `count` samples; shape `(count,)`, int64."""
        words = bits.words(count)
        below = self.guide[(words >> np.uint64(WORD_BITS - GUIDE_BITS)).view(np.int64)].astype(np.int64)
        # Few values of the first bits belong to more than one limit; only they need a search.
        below += self.limits[below] < words
        late = np.flatnonzero(self.limits[below] <= words)
        late_words = words[late]
        late_below = np.searchsorted(self.limits, late_words)
        below[late] = late_below
        # The limit 0 is below every settled word and belongs to no x.
        below += self.first - 1
        for index in late[self.limits[late_below] == late_words]:
            below[index] = settle(self.mean, int(words[index]), bits)
        return below


def skellam(variance: float | Fraction, size: int, entropy: Entropy = os.urandom) -> NDArray[np.int64]:
    """Draw independent samples of the symmetric Skellam distribution: mean 0, the given variance.

    Args:
        variance: The variance, from 2**-30 to 2**32; its exact rational value is used.
        size: The number of samples, 1 to 2**32.
        entropy: Source of the 32-byte key from which all samples are expanded.

    Returns:
        Shape `(size,)`, int64.

    Formal guarantees:
        The samples are exactly distributed for uniform bits. With AES-256 in counter mode as the bits, they are
        computationally indistinguishable from that. The mechanism that adds them to integers states what this
        guarantees for its sensitivity, relation and unit.

    Raises:
        InvalidParameter: `variance` or `size` is out of range.
        EntropyFailure: `entropy` did not return the bytes that were asked for.
    """
    exact = positive_rational("variance", variance)
    if not MINIMUM_VARIANCE <= exact <= MAXIMUM_VARIANCE:
        raise InvalidParameter(
            f"variance: expected a value from {float(MINIMUM_VARIANCE):.6g} to {float(MAXIMUM_VARIANCE):.6g}, found "
            f"{float(exact):.6g}. Change the scale of the integer grid."
        )
    count = integer_at_least("size", size, 1, maximum=MAXIMUM_SIZE)
    bits = KeyStream(entropy)
    table = PoissonTable.of(exact / 2)
    samples = np.empty(count, dtype=np.int64)
    for start in range(0, count, CHUNK):
        chunk = samples[start : start + CHUNK]
        np.subtract(table.draw(chunk.size, bits), table.draw(chunk.size, bits), out=chunk)
    return samples


def settle(mean: Fraction, prefix: int, bits: Bits) -> int:
    """Return the Poisson sample whose uniform real starts with the 64 bits of `prefix`, reading further bits as needed.

    Args:
        mean: The mean mu, above 0.
        prefix: The first bits, in `[0, 2**64)`.
        bits: Source of the further bits, 64 at a time.
    """
    length = WORD_BITS
    while True:
        first, floors = thresholds(mean, length)
        below = bisect_left(floors, prefix)
        tied = below < len(floors) and floors[below] == prefix
        if not tied and 0 < prefix < (1 << length) - 1:
            return first + below
        prefix = prefix << WORD_BITS | bits.integer(WORD_BITS)
        length += WORD_BITS


def thresholds(mean: Fraction, bits: int) -> tuple[int, list[int]]:
    """Return how many x have floor(2^bits F(x)) = 0, and these floors for the next x, up to the last below 2^bits - 1.

    Args:
        mean: The mean mu, above 0.
        bits: The number B of bits.
    """
    precision = bits + 2 * math.ceil(mean).bit_length() + GUARD_BITS
    while True:
        start, weights, error = _weights(mean, precision)
        total = sum(weights)
        largest = (1 << bits) - 1
        sums = list(itertools.accumulate(weights, initial=0))
        lower = [(partial << bits) // (total + error) for partial in sums]
        # F is below 1, so its floor is at most the largest.
        certain = all(
            floor == min(((partial + error) << bits) // total, largest)
            for floor, partial in zip(lower, sums, strict=True)
        )
        # The first sum, of no weights, is for all x before `start`. The last one, of all weights, is for all x after.
        if certain and lower[-1] == largest:
            first = bisect_left(lower, 1)
            return start - 1 + first, lower[first : bisect_left(lower, largest)]
        precision += GUARD_BITS


def _weights(mean: Fraction, precision: int) -> tuple[int, list[int], int]:
    """Return an x, the products W from it on in units of 2^-precision, rounded down, and their error E in that unit."""
    numerator, denominator = mean.numerator, mean.denominator
    mode = math.floor(mean)
    down, up = [], [1 << precision]
    x, weight = mode, 1 << precision
    while x > 0 and weight:
        weight = weight * x * denominator // numerator
        x -= 1
        down.append(weight)
    start = x
    error = len(down) * (len(down) + 1) // 2 + len(down) * (x + 1)
    x, weight = mode, 1 << precision
    while weight:
        x += 1
        weight = weight * numerator // (denominator * x)
        up.append(weight)
    steps = x - mode
    error += steps * (steps + 1) // 2 + math.ceil(steps / (1 - mean / (x + 1)))
    return start, down[::-1] + up, error
