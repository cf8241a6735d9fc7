"""Exact samples of one narrow discrete Gaussian, by a table of its inverse distribution function.

The discrete Gaussian of width sigma = 13/2 gives every integer x a weight exp(-x^2 / (2 sigma^2)). Here it is cut to
|x| <= 127, which leaves out less than 2^-270 of it. With U uniform in [0, 1), the number of points x of its
distribution function F with F(x) <= U, less 127, is a sample. U is read only as far as needed (Knuth and Yao, The
complexity of nonuniform random number generation, 1976). Its first 16 bits settle the sample unless they are also the
first 16 bits of some F(x); a table of 2^16 bytes says which. In that case, one in 1,170, 64 more bits are read, and so
on. The thresholds are floors of F(x) 2^bits, certain at every level, so for uniform bits the samples have exactly this
distribution. The bits are AES-256 in counter mode, under a key used for nothing else.

`dp.noise.discrete_gaussian` also draws discrete Gaussians, of any width up to 2^40, by rejection. It serves another
package and another need. This module is only for the keys and errors of lattice masks, and about thirty times as fast
at its one width.

Not constant time: the table does not fit in every first-level cache, and the running time depends on the number of
samples that need more than 16 bits. An attacker who measures inside the client's machine is outside the model.
"""

import decimal
import functools
import itertools
from bisect import bisect_left
from collections.abc import Callable
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protocols.crypto.keystream import Keystream
from protocols.crypto.secret import Secret

WIDTH: Final = Fraction(13, 2)
"""sigma, which is nearly the standard deviation."""
REACH: Final = 127
"""Largest absolute value of a sample."""

_FIRST_BITS = 16
_MORE_BITS = 64
_UNSETTLED = -128


class GaussianStream:
    """Independent samples, expanded from a seed.

    Args:
        seed: 32 bytes that are expanded to nothing else.
    """

    __slots__ = ("_stream",)

    def __init__(self, seed: Secret) -> None:
        self._stream = Keystream(seed)

    def draw(self, count: int) -> NDArray[np.int8]:
        """Return the next samples: shape `(count,)`, entries in [-127, 127]."""
        prefixes = np.frombuffer(self._stream.read(count * _FIRST_BITS // 8), dtype="<u2")
        samples: NDArray[np.int8] = _table()[prefixes]
        unsettled: list[int] = np.flatnonzero(samples == _UNSETTLED).tolist()
        words = np.frombuffer(self._stream.read(len(unsettled) * _MORE_BITS // 8), dtype="<u8").tolist()
        more = itertools.chain(words, iter(self._more, None)).__next__  # The stream in order, mostly read at once.
        for index in unsettled:
            samples[index] = settle(int(prefixes[index]), more)
        return samples

    def _more(self) -> int:
        return int.from_bytes(self._stream.read(_MORE_BITS // 8), "little")


def settle(prefix: int, more: Callable[[], int]) -> int:
    """Return the sample whose uniform real starts with these 16 bits.

    Args:
        prefix: The first 16 bits, in [0, 2^16).
        more: Returns the next 64 bits; it is called as often as they are needed.
    """
    bits = _FIRST_BITS
    while True:
        limits = thresholds(bits)
        below = bisect_left(limits, prefix)
        if below == len(limits) or limits[below] != prefix:
            return below - REACH
        prefix = prefix << _MORE_BITS | more()
        bits += _MORE_BITS


@functools.cache
def thresholds(bits: int) -> tuple[int, ...]:
    """Return the floors of F(x) 2^bits, for x from -127 to 126; F(127) is 1."""
    digits = bits // 3 + 30
    while True:
        with decimal.localcontext(decimal.Context(prec=digits)):
            unit = decimal.Decimal(WIDTH.denominator**2) / (2 * WIDTH.numerator**2)
            weights = [(-unit * x * x).exp() for x in range(REACH + 1)]
            scale = 2**bits / (2 * sum(weights[1:]) + 1)
            scaled = [running * scale for running in itertools.accumulate(reversed(weights[1:]))]
            lower = [int(value) for value in scaled]
            # Less than 1,000 roundings of relative 10^(1 - digits), of numbers up to 2^bits < 10^(digits - 29).
            margin = decimal.Decimal("1e-20")
            certain = all(
                (floor == 0 or value - floor >= margin) and floor + 1 - value >= margin
                for floor, value in zip(lower, scaled, strict=True)
            )
        if certain:
            # F(x) + F(-x - 1) is 1, and F(x) is irrational, so the floors of a pair add up to 2^bits - 1.
            return (*lower, *(2**bits - 1 - floor for floor in reversed(lower)))
        digits += 20


@functools.cache
def _table() -> NDArray[np.int8]:
    limits = np.array(thresholds(_FIRST_BITS))
    prefixes = np.arange(2**_FIRST_BITS)
    table = (np.searchsorted(limits, prefixes) - REACH).astype(np.int8)
    table[limits] = _UNSETTLED
    table.setflags(write=False)
    return table
