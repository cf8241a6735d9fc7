"""Products of powers of many bases, at a much lower cost than computing the powers one by one.

There are two methods, and the cheaper one is used. Both square as many times as the longest exponent has bits, once for
all bases:

- windows (Straus, Addition chains of vectors, American Mathematical Monthly 71, 1964; interleaved sliding windows as
  in Moeller, Algorithms for multi-exponentiation, SAC 2001): the first odd powers of each base are computed, and one of
  them is multiplied in wherever a window of its exponent ends;
- buckets (after Pippenger, On the evaluation of powers and related problems, FOCS 1976): in each window, bases with the
  same digit are multiplied first, and then each digit's product is raised to its digit, all of them together by two
  products each.

A product by a base that is shorter than the modulus is cheaper, nearly in proportion to the length of the base. Windows
of one bit multiply only by bases, and buckets are filled only with bases. Neither the time nor the memory accesses hide
the exponents: use this module only for public bases and exponents.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate

_Way = Callable[[Sequence[int], Sequence[int], int, int], int]

_WINDOW_BITS = range(1, 9)
_BUCKET_BITS = range(1, 17)


def product_of_powers(bases: Sequence[int], exponents: Sequence[int], modulus: int) -> int:
    """Return the product of all bases[i] ** exponents[i], modulo the modulus.

    Args:
        bases: Integers, which are reduced first; bases shorter than the modulus are cheaper.
        exponents: One for each base, each at least 0.
        modulus: At least 1; its type does the arithmetic.

    Returns:
        The product in [0, modulus), of the modulus's type; 1 % modulus for no bases.

    Raises:
        ValueError: There are not as many exponents as bases, an exponent is negative, or the modulus is below 1.
    """
    if len(bases) != len(exponents):
        raise ValueError(f"exponents: expected {len(bases)}, one for each base, found {len(exponents)}")
    if modulus < 1:
        raise ValueError(f"modulus: expected at least 1, found {modulus}")
    if any(exponent < 0 for exponent in exponents):
        raise ValueError("exponents: expected integers of at least 0, found a negative one")
    integer = type(modulus)
    reduced = [integer(base) % modulus for base in bases]
    plain = [int(exponent) for exponent in exponents]
    if not any(plain):
        return integer(1) % modulus
    share = sum(base.bit_length() for base in reduced) / (len(reduced) * modulus.bit_length())
    lengths = [exponent.bit_length() for exponent in plain]
    way, width = _cheapest(lengths, share)
    return way(reduced, plain, modulus, width)


def _cheapest(lengths: Sequence[int], share: float) -> tuple[_Way, int]:
    """Return the cheaper of the two methods, and its width in bits.

    Args:
        lengths: Lengths of the exponents, in bits.
        share: Cost of a product by a base, relative to a product by a number as long as the modulus.
    """
    windows_cost, window_bits = min((_windows_cost(lengths, share, bits), bits) for bits in _WINDOW_BITS)
    buckets_cost, bucket_bits = min((_buckets_cost(lengths, share, bits), bits) for bits in _BUCKET_BITS)
    return (_by_windows, window_bits) if windows_cost <= buckets_cost else (_by_buckets, bucket_bits)


def _windows_cost(lengths: Sequence[int], share: float, width: int) -> float:
    """Return the expected number of products besides the squarings: one window of `width` bits in `width` + 1 bits."""
    if width == 1:
        return sum(lengths) / 2 * share
    return len(lengths) * 2.0 ** (width - 1) + sum(lengths) / (width + 1)


def _buckets_cost(lengths: Sequence[int], share: float, width: int) -> float:
    """Return the expected number of products besides the squarings.

    There is one product for each digit other than 0, and two for each bucket of each window.
    """
    digits = sum(-(-length // width) for length in lengths)
    windows = -(-max(lengths) // width)
    return digits * (1 - 2.0**-width) * share + 2 * windows * (2.0**width - 1)


def _by_windows(bases: Sequence[int], exponents: Sequence[int], modulus: int, width: int) -> int:
    factors: list[list[int]] = [[] for _ in range(max(exponent.bit_length() for exponent in exponents))]
    for base, exponent in zip(bases, exponents, strict=True):
        powers = _odd_powers(base, modulus, 2 ** (width - 1))
        for position, digit in _odd_digits(exponent, width):
            factors[position].append(powers[digit >> 1])
    product = type(modulus)(1)
    for found in reversed(factors):
        product = product * product % modulus
        for factor in found:
            product = product * factor % modulus
    return product % modulus


def _odd_powers(base: int, modulus: int, count: int) -> list[int]:
    """Return the first, third, fifth ... power, `count` of them."""
    if count == 1:
        return [base]
    square = base * base % modulus
    return list(accumulate([base] + [square] * (count - 1), lambda power, step: power * step % modulus))


def _odd_digits(exponent: int, width: int) -> list[tuple[int, int]]:
    """Return odd digits below 2^width, with the positions at which they add up to the exponent."""
    digits = []
    position, mask = 0, 2**width - 1
    while exponent:
        zeros = (exponent & -exponent).bit_length() - 1
        exponent >>= zeros
        digits.append((position + zeros, exponent & mask))
        exponent >>= width
        position += zeros + width
    return digits


def _by_buckets(bases: Sequence[int], exponents: Sequence[int], modulus: int, width: int) -> int:
    mask, product = 2**width - 1, type(modulus)(1)
    bits = max(exponent.bit_length() for exponent in exponents)
    for shift in reversed(range(0, bits, width)):
        for _ in range(width):
            product = product * product % modulus
        buckets = [type(modulus)(1)] * (mask + 1)
        for base, exponent in zip(bases, exponents, strict=True):
            digit = exponent >> shift & mask
            if digit:
                buckets[digit] = buckets[digit] * base % modulus
        # The product of the running products contains each bucket to the power of its digit.
        running = type(modulus)(1)
        for bucket in buckets[:0:-1]:
            running = running * bucket % modulus
            product = product * running % modulus
    return product % modulus
