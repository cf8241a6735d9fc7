"""Exact products in Z[X]/(X^N + 1) modulo 2^64, N = 4096, by floating-point FFT, of a uniform and a small polynomial.

A real polynomial p modulo X^N + 1 is determined by p modulo X^(N/2) - i: the coefficients there are
p[j] + i p[j + N/2]. With X = w Y, w = exp(i pi / N), the modulus becomes Y^(N/2) - 1, so a product is one cyclic
convolution of L = N/2 = 2048 complex numbers, twisted by powers of w before and after (the right-angle convolution of
Crandall and Fagin, Discrete weighted transforms and large-integer arithmetic, Math. Comp. 62, 1994).

The uniform polynomial a is split into k limbs of b bits, b k >= 64. Each limb's product with s is an integer
polynomial, computed in float64 and rounded; if every error is below 1/2, the rounded products are exact, and so is
their sum, shifted and wrapped in uint64.

Error bound. Let u = 2^-53. A complex sum is off by a factor 1 + d, |d| <= u, and a complex product by |d| <= u sqrt 5
(Brent, Percival, Zimmermann, Error bounds on complex floating-point multiplication, Math. Comp. 76, 2007; with fused
multiply-adds 2u, Jeannerod et al., Math. Comp. 86, 2017), times 1 + t where one operand is a tabulated root of unity
that is off by t. A transform of length 2^11, of whatever radix 2, 4 or 8, is eleven levels of sums and differences of
pairs and at most as many of products with roots; i is exact, and (1 + i) / sqrt 2 applied as one sum and one product
is within the same bound. Each level is, up to a factor, unitary, so with the twist

    |computed - true|_2 <= (F - 1) |true|_2,                F = (1 + u)^11 (1 + u sqrt 5)^12 (1 + t)^12,

and seen from one output, a sum over paths from all inputs, each input's term is off by a factor within F - 1 of 1.
The spectra A and S have norms |a|_2 sqrt L and |s|_2 sqrt L, so by Cauchy and Schwarz the products A[k] S[k] add up to
at most L |a|_2 |s|_2 in absolute value, and their errors to at most F^2 (1 + u sqrt 5) - 1 times that. The transform
back weighs each with 1/L, exact, and adds a path's factor. So every coefficient is within

    |a|_2 |s|_2 G,    G = F^3 (1 + u sqrt 5) - 1 < 405 u with t = 8u,    |a|_2 < 2^b sqrt N,

of the truth. (Percival, Rapid multiplication modulo the sum and difference of highly composite numbers, Math. Comp.
72, 2003, has a bound of this form.) For roots from products of two rounded ones, t is below 6u.

The width b is the largest of 22, 16, 13, 11 and 8 for which this bound is below 1/4. Rounding needs 1/2; the factor of
two is the margin. At b = 22 the condition is |s|_2 < 20,000, so any s with entries up to 312 satisfies it.
"""

import functools
import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DEGREE: Final = 4096
"""N, the degree of X^N + 1."""

_HALF = DEGREE // 2
_BITS = 64
_LIMB_BITS = (22, 16, 13, 11, 8)
_TOLERANCE = 0.25
_GROWTH = 405 * 2.0**-53
_MIDDLE = np.float64(3 * 2**51)
_BATCH = 8  # The number of polynomials at once. Their complex limb, of 256 KiB, stays in cache.

Ring = NDArray[np.uint64]


def limb_bits(norm: float) -> int:
    """Return the widest limb, in bits, for which a product with a polynomial of this Euclidean norm is exact.

    Raises:
        ValueError: No limb is exact; the norm is above 3e8.
    """
    for bits in _LIMB_BITS:
        if 2.0**bits * math.sqrt(DEGREE) * norm * _GROWTH < _TOLERANCE:
            return bits
    raise ValueError(f"no split of 64 bits is exact for a polynomial of norm {norm:.3g}")


@functools.cache
def _twist() -> NDArray[np.complex128]:
    """Return the powers w^0, ..., w^(N/2 - 1)."""
    powers: NDArray[np.complex128] = np.exp(1j * np.pi / DEGREE * np.arange(_HALF))
    powers.setflags(write=False)
    return powers


class Multiplier:
    """Multiplication by one small polynomial, whose transform is stored and is as secret as the polynomial.

    Args:
        small: Shape `(4096,)`, int64, coefficients of X^0, X^1, ...

    Raises:
        ValueError: The polynomial has another shape or type, or is so large that no split is exact.
    """

    __slots__ = ("_bits", "_spectrum", "_untwist")

    def __init__(self, small: NDArray[np.int64]) -> None:
        if small.shape != (DEGREE,) or small.dtype != np.int64:
            raise ValueError(f"expected {DEGREE} int64, found {small.dtype} of shape {small.shape}")
        # Rounded up: float64 sums of squares are off by far less than a part in 2^40.
        self._bits = limb_bits(math.sqrt(float(np.sum(np.square(small.astype(np.float64))))) * (1 + 2**-40))
        self._spectrum = _forward(_folded(small.astype(np.float64)[None]))[0]
        self._untwist = np.conj(_twist())

    def __repr__(self) -> str:
        return "Multiplier(<a polynomial>)"

    def times(self, uniform: Ring) -> Ring:
        """Return the exact product with each of several polynomials, modulo X^4096 + 1 and 2^64.

        Args:
            uniform: Shape `(count, 4096)`, uint64.

        Returns:
            Shape `(count, 4096)`, uint64.
        """
        result = np.empty(uniform.shape, dtype=np.uint64)
        for start in range(0, len(uniform), _BATCH):
            self._write_products(uniform[start : start + _BATCH], result[start : start + _BATCH])
        return result

    def _write_products(self, uniform: Ring, result: Ring) -> None:
        from scipy.fft import ifft

        mask, limb = np.uint64(2**self._bits - 1), np.empty_like(uniform)
        total = np.zeros_like(uniform)  # Coefficients j and j + N/2 by turns.
        for shift in range(0, _BITS, self._bits):
            np.right_shift(uniform, np.uint64(shift), out=limb)
            limb &= mask
            spectrum = _forward(_folded(limb.view(np.int64)))
            spectrum *= self._spectrum
            product: NDArray[np.complex128] = ifft(spectrum, axis=-1, overwrite_x=True)
            product *= self._untwist
            exact = _rounded(product)
            exact <<= np.uint64(shift)
            total += exact
        result[:, :_HALF], result[:, _HALF:] = total[:, 0::2], total[:, 1::2]


def _folded(polynomials: NDArray[Any]) -> NDArray[np.complex128]:
    """Return the polynomials modulo X^(N/2) - i."""
    folded = np.empty((len(polynomials), _HALF), dtype=np.complex128)
    folded.real = polynomials[:, :_HALF]
    folded.imag = polynomials[:, _HALF:]
    return folded


def _rounded(numbers: NDArray[np.complex128]) -> Ring:
    """Return the nearest integers to real and imaginary parts, by turns, modulo 2^64 and in the same memory.

    The parts are below 2^43 in absolute value: 405 u times a bound on them is below 1/4. The floats from 2^52 to 2^53
    are the integers, and their bits count them. So the sum of a part and 3 * 2^51 is rounded to an integer, and its
    bits less those of 3 * 2^51 are the part, rounded.
    """
    parts = numbers.view(np.float64)
    parts += _MIDDLE
    bits = parts.view(np.uint64)
    bits -= _MIDDLE.view(np.uint64)
    return bits


def _forward(folded: NDArray[np.complex128]) -> NDArray[np.complex128]:
    from scipy.fft import fft

    folded *= _twist()
    transformed: NDArray[np.complex128] = fft(folded, axis=-1, overwrite_x=True)
    return transformed
