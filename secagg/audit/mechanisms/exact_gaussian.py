"""The discrete Gaussian sampler in integers and decimal fractions: the exact twin of `dp.noise.discrete_gaussian`.

It takes from the code only how words are read: the table of proposals, of which it checks that every probability of
acceptance is one, and the order of readings.
"""

import decimal
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.noise.discrete_gaussian import CHUNK, UNIFORM_BITS, Bits
from dp.noise.envelope import SLOT_BITS, Envelope
from secagg.audit.mechanisms.steered import DIGITS, MOST_STEERED, STEPS, WORD

_TAILS: Final = 100


@dataclass(frozen=True, kw_only=True)
class ExactGaussian:
    """The discrete Gaussian sampler with every probability of acceptance as an exact decimal fraction.

    Attributes:
        envelope: The table of proposals.
        limits: For each magnitude of the table, floor(2^47 M f(x) / c), where c is the count of its block; a uniform
            integer below it is accepted, one above it is not, and an equal one is refined.
    """

    envelope: Envelope
    limits: NDArray[np.int64]

    @staticmethod
    @cache
    def of(sigma: Fraction) -> "ExactGaussian":
        """Compute the table, and check that every probability of acceptance is one."""
        envelope = Envelope.of(sigma)
        width = 1 << envelope.shift
        limits = [
            math.floor(acceptance(envelope, x, envelope.counts[x // width]) * 2**UNIFORM_BITS)
            for x in range(envelope.tail_start)
        ]
        if max(limits) > 1 << UNIFORM_BITS:
            raise ArithmeticError("the table of proposals: expected probabilities of acceptance, found one above 1")
        return ExactGaussian(envelope=envelope, limits=np.array(limits, dtype=np.int64))

    def draw(self, size: int, bits: Bits) -> NDArray[np.int64]:
        """Return exact samples, reading as the sampler does."""
        drawn: list[NDArray[np.int64]] = []
        missing = size
        while missing:
            accepted = self._proposed(min(CHUNK, missing + missing // 8 + 16), bits)[:missing]
            drawn.append(accepted)
            missing -= accepted.size
        return np.concatenate(drawn)

    def _proposed(self, count: int, bits: Bits) -> NDArray[np.int64]:
        envelope = self.envelope
        words = bits.words(count)
        block = envelope.slots[(words >> np.uint64(WORD - SLOT_BITS)).astype(np.int64)].astype(np.int64)
        low = np.zeros(count, dtype=np.int64)
        if envelope.shift:
            low = (bits.words(count) >> np.uint64(WORD - envelope.shift)).astype(np.int64)
        magnitude = (block << envelope.shift) + low
        uniform = (words & np.uint64((1 << UNIFORM_BITS) - 1)).astype(np.int64)
        in_table = block < envelope.tail_block
        limit = np.where(in_table, self.limits[np.where(in_table, magnitude, 0)], 0)
        accepted = in_table & (uniform < limit)
        for index in np.flatnonzero(in_table & (uniform == limit)):
            probability = acceptance(envelope, int(magnitude[index]), envelope.counts[int(block[index])])
            accepted[index] = _refined(probability, int(uniform[index]), UNIFORM_BITS, bits)
        for index in np.flatnonzero(block == envelope.tail_block):
            magnitude[index], accepted[index] = self._tail(bits)
        negative = ((words >> np.uint64(UNIFORM_BITS)) & np.uint64(1)).astype(bool)
        accepted &= ~(negative & (magnitude == 0))
        return np.where(negative, -magnitude, magnitude)[accepted]

    def _tail(self, bits: Bits) -> tuple[int, bool]:
        envelope = self.envelope
        depth = 0
        while bits.integer(1):
            depth += 1
        x = envelope.tail_start + (depth << envelope.tail_shift) + bits.integer(envelope.tail_shift)
        factor = 1 << (depth + 1 + envelope.tail_shift - envelope.shift)
        return x, _refined(acceptance(envelope, x, envelope.tail_count) * factor, 0, 0, bits)

    def borders(self) -> list[tuple[NDArray[np.uint64], ...]]:
        """Return words that are next to a limit, for every magnitude of the table, and words of the tail."""
        envelope = self.envelope
        first_slot = {int(block): at for at, block in reversed(list(enumerate(envelope.slots)))}
        high: list[int] = []
        low: list[int] = []
        for x, limit in enumerate(self.limits.tolist()):
            if limit == 1 << UNIFORM_BITS:
                continue  # It is always accepted. The sampler may read on before it knows that.
            block, rest = x >> envelope.shift, x & ((1 << envelope.shift) - 1)
            for uniform in {min(max(limit + step, 0), (1 << UNIFORM_BITS) - 1) for step in STEPS}:
                high.append(first_slot[block] << (WORD - SLOT_BITS) | uniform)
                low.append(rest << (WORD - envelope.shift) if envelope.shift else 0)
        high += [first_slot[envelope.tail_block] << (WORD - SLOT_BITS)] * _TAILS
        low += [0] * _TAILS
        return [
            tuple(
                np.array(part[at : at + MOST_STEERED], dtype=np.uint64)
                for part in ((high, low) if envelope.shift else (high,))
            )
            for at in range(0, len(high), MOST_STEERED)
        ]


def acceptance(envelope: Envelope, x: int, count: int) -> Fraction:
    """Return M exp(-x^2 / (2 sigma^2)) / c to 120 digits."""
    exponent = x * x * envelope.exponent_unit
    context = decimal.Context(prec=DIGITS, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)
    ratio = context.divide(decimal.Decimal(exponent.numerator), decimal.Decimal(exponent.denominator))
    return Fraction(context.exp(ratio.copy_negate())) * envelope.scale / count


def _refined(probability: Fraction, prefix: int, length: int, bits: Bits) -> bool:
    """Return whether a uniform real with these first bits is below a probability, reading 64 more bits at a time."""
    while length < 3 * WORD:  # 120 digits are more than twice as many bits.
        floor = int(probability * 2**length)
        if prefix != floor:
            return prefix < floor
        prefix = prefix << WORD | bits.integer(WORD)
        length += WORD
    raise ArithmeticError("a comparison: expected it to be decided by 192 bits, found a tie")
