"""Products of powers: what plain exponentiations give, whichever way is the cheaper."""

import hashlib
from math import prod

import pytest

from protocols.crypto import products
from protocols.crypto.integers import Arithmetic
from protocols.crypto.products import product_of_powers
from tests.support.paillier_keys import ARITHMETICS

pytestmark = pytest.mark.slow

both = pytest.mark.parametrize("arithmetic", [pytest.param(value, id=name) for name, value in ARITHMETICS])
MODULUS = 2**1001 - 2**397 + 9


def numbers(seed: str, count: int, bits: int) -> list[int]:
    """Return integers of at most `bits` bits, the same in each run."""
    size = -(-bits // 8)
    data = hashlib.shake_256(f"{seed} {bits}".encode()).digest(count * size)
    return [int.from_bytes(data[at * size :][:size], "big") >> (8 * size - bits) for at in range(count)]


def plain(bases: list[int], exponents: list[int], modulus: int) -> int:
    powers = [pow(base, exponent, modulus) for base, exponent in zip(bases, exponents, strict=True)]
    product = 1 % modulus
    for power in powers:
        product = product * power % modulus
    return product


@both
@pytest.mark.parametrize("base_bits", [1, 300, 1000, 2000])
@pytest.mark.parametrize(
    ("count", "exponent_bits"), [(1, 1), (1, 3000), (2, 7), (8, 128), (8, 2000), (60, 128), (300, 40), (600, 1)]
)
def test_product_is_that_of_the_powers(count: int, exponent_bits: int, base_bits: int, arithmetic: Arithmetic) -> None:
    bases, exponents = numbers("bases", count, base_bits), numbers("exponents", count, exponent_bits)
    found = product_of_powers(bases, exponents, arithmetic.integer(MODULUS))
    assert found == plain(bases, exponents, MODULUS)
    assert type(found) is type(arithmetic.integer(1))


@both
def test_thousands_of_bases_are_right(arithmetic: Arithmetic) -> None:
    bases, exponents = numbers("bases", 5000, 300), numbers("exponents", 5000, 128)
    found = product_of_powers(bases, exponents, arithmetic.integer(MODULUS))
    assert found == plain(bases, exponents, MODULUS)


@both
def test_numbers_of_either_arithmetic_are_taken(arithmetic: Arithmetic) -> None:
    bases, exponents = numbers("bases", 40, 700), numbers("exponents", 40, 90)
    made = [arithmetic.integer(base) for base in bases], [arithmetic.integer(exponent) for exponent in exponents]
    found = product_of_powers(*made, MODULUS)
    assert found == plain(bases, exponents, MODULUS)
    assert type(found) is int


@pytest.mark.parametrize("width", range(1, 9))
def test_every_window_width_is_right(width: int) -> None:
    bases, exponents = numbers("bases", 9, 900), [*numbers("exponents", 7, 133), 0, 2**133 - 1]
    assert products._by_windows(bases, exponents, MODULUS, width) == plain(bases, exponents, MODULUS)


@pytest.mark.parametrize("width", range(1, 12))
def test_every_bucket_width_is_right(width: int) -> None:
    bases, exponents = numbers("bases", 9, 900), [*numbers("exponents", 7, 133), 0, 2**133 - 1]
    assert products._by_buckets(bases, exponents, MODULUS, width) == plain(bases, exponents, MODULUS)


def test_way_and_width_follow_the_work() -> None:
    """Few bases go to windows and many to buckets, short bases are multiplied as they are, and widths grow."""
    single = products._cheapest([3000], 1.0)
    few = products._cheapest([128] * 8, 1 / 3)
    hundreds = products._cheapest([128] * 500, 1 / 3)
    thousands = products._cheapest([128] * 5000, 1 / 3)
    assert single[0] is products._by_windows
    assert single[1] > 4
    assert few == (products._by_windows, 1)
    assert hundreds[0] is thousands[0] is products._by_buckets
    assert thousands[1] > hundreds[1] > 1


@pytest.mark.parametrize(
    ("bases", "exponents", "modulus", "expected"),
    [
        ([], [], 7, 1),
        ([], [], 1, 0),
        ([5], [0], 7, 1),
        ([5], [0], 1, 0),
        ([0], [0], 7, 1),
        ([0], [1], 7, 0),
        ([5, 3], [0, 1], 7, 3),
        ([5, 3], [1, 1], 1, 0),
        ([7], [3], 7, 0),
        ([-1], [3], 7, 6),
        ([8], [10**6], 7, 1),
        ([2, 3], [1, 200], 2**64, 2 * 3**200 % 2**64),
    ],
)
@both
def test_small_cases(
    bases: list[int], exponents: list[int], modulus: int, expected: int, arithmetic: Arithmetic
) -> None:
    assert product_of_powers(bases, exponents, arithmetic.integer(modulus)) == expected


def test_exponents_of_different_lengths_are_right() -> None:
    bases = numbers("bases", 200, 1000)
    exponents = [2**length for length in range(200)]
    expected = prod(pow(base, exponent, MODULUS) for base, exponent in zip(bases, exponents, strict=True)) % MODULUS
    assert product_of_powers(bases, exponents, MODULUS) == expected
    assert product_of_powers(bases[:8], [1, 0, 2**1000, 3, 0, 2**10 - 1, 5, 6], MODULUS) == plain(
        bases[:8], [1, 0, 2**1000, 3, 0, 2**10 - 1, 5, 6], MODULUS
    )


@pytest.mark.parametrize(
    ("bases", "exponents", "modulus", "message"),
    [
        ([1, 2], [1], 7, "expected 2, one for each base, found 1"),
        ([], [1], 7, "expected 0, one for each base, found 1"),
        ([1, 2], [1, -1], 7, "at least 0"),
        ([1], [1], 0, "modulus: expected at least 1"),
        ([1], [1], -7, "modulus: expected at least 1"),
    ],
)
def test_what_is_no_product_is_refused(bases: list[int], exponents: list[int], modulus: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        product_of_powers(bases, exponents, modulus)
