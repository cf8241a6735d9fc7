"""The Poisson law in decimal fractions: the exact twin of the tables of `dp.noise.skellam`.

It takes from the code only the order in which words are read.
"""

import decimal
import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from dp.noise.discrete_gaussian import CHUNK, Bits
from secagg.audit.mechanisms.steered import DIGITS, MOST_STEERED, STEPS, WORD


@dataclass(frozen=True, kw_only=True)
class ExactPoisson:
    """The Poisson law by its distribution function, as exact decimal fractions.

    Attributes:
        cumulated: The values F(x) of the distribution function for x = 0, 1, ..., each to 120 digits. The list ends
            where 192 bits no longer tell F(x) from 1.
        limits: floor(2^64 F(x)), uint64.
    """

    cumulated: list[Fraction] = field(repr=False)
    limits: NDArray[np.uint64] = field(repr=False)

    @staticmethod
    @cache
    def of(mean: Fraction) -> "ExactPoisson":
        """Compute the distribution function."""
        context = decimal.Context(prec=DIGITS, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)
        mu = context.divide(decimal.Decimal(mean.numerator), decimal.Decimal(mean.denominator))
        weight = total = context.exp(mu.copy_negate())
        cumulated = [Fraction(total)]
        x = 0
        while x < mean or weight > decimal.Decimal(2) ** -200:
            x += 1
            weight = context.divide(context.multiply(weight, mu), decimal.Decimal(x))
            total = context.add(total, weight)
            cumulated.append(Fraction(total))
        limits = np.array([min(math.floor(value * 2**64), 2**64 - 1) for value in cumulated], dtype=np.uint64)
        return ExactPoisson(cumulated=cumulated, limits=limits)

    def differences(self, size: int, bits: Bits) -> NDArray[np.int64]:
        """Return exact Skellam samples, reading as the sampler does: a chunk of one Poisson, then of the other."""
        chunks: list[NDArray[np.int64]] = []
        for start in range(0, size, CHUNK):
            count = min(CHUNK, size - start)
            chunks.append(self.draw(count, bits) - self.draw(count, bits))
        return np.concatenate(chunks)

    def draw(self, count: int, bits: Bits) -> NDArray[np.int64]:
        """Return the number of F(x) that are at most each uniform real."""
        words = bits.words(count)
        drawn = np.searchsorted(self.limits, words, side="left").astype(np.int64)
        at = np.minimum(drawn, self.limits.size - 1)
        open_ends = (words == 0) | (words == np.uint64(2**64 - 1))
        for index in np.flatnonzero((self.limits[at] == words) | open_ends):
            drawn[index] = self._settled(int(words[index]), bits)
        return drawn

    def _settled(self, prefix: int, bits: Bits) -> int:
        """Return the sample of a word on a border; ends of the range are always refined, as their borders are many."""
        length = WORD
        while length < 3 * WORD:
            prefix = prefix << WORD | bits.integer(WORD)
            length += WORD
            floors = [math.floor(value * 2**length) for value in self._near(prefix, length)]
            if prefix not in floors:
                return self._below(prefix, length)
        raise ArithmeticError("a comparison: expected it to be decided by 192 bits, found a tie")

    def _near(self, prefix: int, length: int) -> list[Fraction]:
        at = self._below(prefix, length)
        return self.cumulated[max(at - 1, 0) : at + 2]

    def _below(self, prefix: int, length: int) -> int:
        low, high = 0, len(self.cumulated)
        while low < high:
            middle = (low + high) // 2
            if math.floor(self.cumulated[middle] * 2**length) < prefix:
                low = middle + 1
            else:
                high = middle
        return low

    def borders(self) -> list[tuple[NDArray[np.uint64], ...]]:
        """Return words next to each F(x), for either Poisson."""
        near = {int(limit) + step for limit in self.limits for step in STEPS} | {0, 2**64 - 1}
        words = np.array(sorted(word for word in near if 0 <= word < 2**64), dtype=np.uint64)
        pieces = [words[at : at + MOST_STEERED] for at in range(0, words.size, MOST_STEERED)]
        return [(piece, piece[::-1].copy()) for piece in pieces]
