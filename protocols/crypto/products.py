"""Products of powers of many bases, for much less than the powers one by one.

Two ways, of which the cheaper one is taken; both square as often as the longest exponent has bits, once for all bases:

- windows (Straus, Addition chains of vectors, American Mathematical Monthly 71, 1964; interleaved sliding windows as
  in Moeller, Algorithms for multi-exponentiation, SAC 2001): a few odd powers of each base are made, and one of them
  is multiplied in wherever a window of its exponent ends;
- buckets (after Pippenger, On the evaluation of powers and related problems, FOCS 1976): in each window, bases with the
  same digit are multiplied first, and then each digit's product is raised to its digit, all of them together by two
  products each.

Products by a base that is shorter than the modulus are the cheaper, nearly in proportion to its length, and windows of
one bit and buckets multiply by nothing else.  Neither the time nor the memory accesses hide the exponents: what is
raised here is public.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate

_Way = Callable[[Sequence[int], Sequence[int], int, int], int]

_WINDOW_BITS = range(1, 9)
_BUCKET_BITS = range(1, 17)


def product_of_powers(bases: Sequence[int], exponents: Sequence[int], modulus: int) -> int:
    """The product of all bases[i] ** exponents[i], modulo the modulus.

    Args:
        bases: Reduced first; those below the modulus's length are the cheaper.
        exponents: As many, each at least 0.
        modulus: At least 1; its type does the arithmetic.

    Returns:
        In [0, modulus), of the modulus's type; 1 % modulus for no bases.

    Raises:
        ValueError: There are not as many exponents as bases, an exponent is negative, or the modulus is below 1.
    """
    if len(bases) != len(exponents):
        raise ValueError(f"{len(exponents)} exponents for {len(bases)} bases")
    if modulus < 1:
        raise ValueError("a modulus must be at least 1")
    if any(exponent < 0 for exponent in exponents):
        raise ValueError("exponents must be at least 0")
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
    """Which of the two ways, and its width in bits.

    Args:
        lengths: Of the exponents, in bits.
        share: The cost of a product by a base, where one by a number as long as the modulus costs 1.
    """
    windows_cost, window_bits = min((_windows_cost(lengths, share, bits), bits) for bits in _WINDOW_BITS)
    buckets_cost, bucket_bits = min((_buckets_cost(lengths, share, bits), bits) for bits in _BUCKET_BITS)
    return (_by_windows, window_bits) if windows_cost <= buckets_cost else (_by_buckets, bucket_bits)


def _windows_cost(lengths: Sequence[int], share: float, width: int) -> float:
    """Expected products besides the squarings: a window of `width` bits ends in each `width` + 1 bits."""
    if width == 1:
        return sum(lengths) / 2 * share
    return len(lengths) * 2.0 ** (width - 1) + sum(lengths) / (width + 1)


def _buckets_cost(lengths: Sequence[int], share: float, width: int) -> float:
    """Expected products besides the squarings: one for each digit but 0, and two for each bucket of each window."""
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
    """The first, third, fifth ... power, `count` of them."""
    if count == 1:
        return [base]
    square = base * base % modulus
    return list(accumulate([base] + [square] * (count - 1), lambda power, step: power * step % modulus))


def _odd_digits(exponent: int, width: int) -> list[tuple[int, int]]:
    """Odd digits below 2^width, with positions at which they add up to the exponent."""
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
        # The product of the running products has each bucket as often as its digit says.
        running = type(modulus)(1)
        for bucket in buckets[:0:-1]:
            running = running * bucket % modulus
            product = product * running % modulus
    return product % modulus
