r"""The proposals of the discrete Gaussian sampler, and the proof that accepting from them is exact.

Let f(x) = exp(-x^2 / (2 sigma^2)). Cut the non-negative integers into blocks of w = 2^shift. Of 2^16 equally likely
slots give block i, which starts at i w, a number c_i of slots with

    c_i >= M f(i w)                                          M a whole number, the same for all blocks,

for every block of the table; draw a slot, then an x uniform in its block, and accept it with probability
M f(x) / c_i, at most 1 since f falls within a block. Any x of the table is then proposed and accepted with probability

    c_i / 2^16 * 1/w * M f(x) / c_i = M f(x) / (2^16 w),     proportional to f(x).

The table ends at T. All x from T on are the tail, which has c slots. Count the heads g before the first tail of a fair
coin, draw x uniform in [T + g w', T + (g+1) w') with w' = 2^tail_shift, and accept with probability
f(x) M 2^(g+1) (w'/w) / c. The product is again M f(x) / (2^16 w). It is a probability for every g because
c >= 2 M (w'/w) f(T) makes it one for g = 0, and T w' >= sigma^2 makes f fall by more than e from one step to the next,
while 2^(g+1) only doubles. Slots that are left over are rejections. A uniform sign, with minus zero rejected, gives the
distribution on all integers.

The counts are computed from rigorous upper bounds in arbitrary precision, so the proof does not depend on
floating-point numbers.
"""

import decimal
import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.errors import InvalidParameter

SLOT_BITS: Final = 16
SLOTS: Final = 1 << SLOT_BITS
MINIMUM_SIGMA: Final = Fraction(1, 4)
MAXIMUM_SIGMA: Final = Fraction(1 << 40)
TABLE_DIGITS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Envelope:
    """The table of proposals for one sigma; the module's docstring defines the letters.

    Attributes:
        exponent_unit: The number 1 / (2 sigma^2).
        shift: The base-2 logarithm of the width w of a block.
        scale: The number M.
        counts: The counts c_i, one for each block of the table.
        slots: The block of each slot, shape `(65536,)`, uint8; `tail_block` is the tail, `tail_block + 1` a rejection.
        ratios: The ratios M / c_i rounded to float64, and -1 for the tail and for rejections, shape `(len(counts) +
            2,)`.
        tail_block: The number that stands for the tail.
        tail_start: The start T of the tail.
        tail_shift: The base-2 logarithm of w'.
        tail_count: The count c of the tail's slots.
    """

    exponent_unit: Fraction
    shift: int
    scale: int
    counts: tuple[int, ...]
    slots: NDArray[np.uint8]
    ratios: NDArray[np.float64]
    tail_block: int
    tail_start: int
    tail_shift: int
    tail_count: int

    @staticmethod
    @functools.lru_cache(maxsize=16)
    def of(sigma: Fraction) -> "Envelope":
        """Build the table for `sigma`.

        Raises:
            InvalidParameter: `sigma` is not within `[1/4, 2**40]`. Above that range, samples or their squares could
                leave the range in which int64 and float64 are exact.
        """
        if not MINIMUM_SIGMA <= sigma <= MAXIMUM_SIGMA:
            raise InvalidParameter(
                f"sigma: expected a value from {float(MINIMUM_SIGMA)} to {float(MAXIMUM_SIGMA):.6g}, found "
                f"{float(sigma):.6g}. Change the scale of the integer grid."
            )
        return _build(sigma)


def exponential_bounds(exponent: Fraction, *, digits: int) -> tuple[Fraction, Fraction]:
    """Return rationals that enclose exp(-exponent), for a non-negative exponent, to about `digits` digits."""
    numerator, denominator = decimal.Decimal(exponent.numerator), decimal.Decimal(exponent.denominator)
    down, up = _context(digits, decimal.ROUND_FLOOR), _context(digits, decimal.ROUND_CEILING)
    # In any context, exp is correctly rounded to nearest, so one step outwards makes it a bound.
    low = down.next_minus(down.exp(up.divide(numerator, denominator).copy_negate()))
    high = up.next_plus(up.exp(down.divide(numerator, denominator).copy_negate()))
    return max(Fraction(low), Fraction(0)), Fraction(high)


def _context(digits: int, rounding: str) -> decimal.Context:
    return decimal.Context(
        prec=digits, rounding=rounding, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX, clamp=0, flags=[], traps=[]
    )


def _build(sigma: Fraction) -> Envelope:
    exponent_unit = 1 / (2 * sigma * sigma)
    shift = max(0, (math.floor(sigma) // 8).bit_length() - 1)
    heights = [Fraction(1)]
    while heights[-1] > Fraction(1, 4 * SLOTS):
        start = len(heights) << shift
        heights.append(exponential_bounds(start * start * exponent_unit, digits=TABLE_DIGITS)[1])
    scale = math.floor(SLOTS / sum(heights))
    # Blocks that would round up from less than half a slot cost more in rejections than the tail does.
    blocks = sum(scale * height >= Fraction(1, 2) for height in heights)
    tail_start = blocks << shift
    tail_shift = shift
    while (tail_start << tail_shift) < sigma * sigma:
        tail_shift += 1
    tail_height = heights[blocks] * (2 << (tail_shift - shift))
    while True:
        counts = [math.ceil(scale * height) for height in heights[:blocks]]
        tail_count = math.ceil(scale * tail_height)
        spare = SLOTS - sum(counts) - tail_count
        if spare >= 0:
            break
        scale -= 1 + scale // 1024
    return Envelope(
        exponent_unit=exponent_unit,
        shift=shift,
        scale=scale,
        counts=tuple(counts),
        slots=np.repeat(np.arange(blocks + 2, dtype=np.uint8), [*counts, tail_count, spare]),
        ratios=np.array([scale / count for count in counts] + [-1.0, -1.0]),
        tail_block=blocks,
        tail_start=tail_start,
        tail_shift=tail_shift,
        tail_count=tail_count,
    )
