"""Powers from a table: what plain exponentiations give, for exponents of every length."""

import pytest

from protocols.crypto.integers import Arithmetic
from protocols.crypto.paillier.ciphertext_pairs import join, split
from protocols.crypto.paillier.fixed_base import FURTHER_BITS, FixedBase
from tests.support.paillier_keys import ARITHMETICS, private_key

both = pytest.mark.parametrize("arithmetic", [pytest.param(value, id=name) for name, value in ARITHMETICS])


@pytest.mark.parametrize("s", [1, 2, 3])
@both
def test_powers_of_every_length_are_right(s: int, arithmetic: Arithmetic) -> None:
    """Also beyond the table, and at the ends of its two parts."""
    key = private_key(s, arithmetic).public_key
    base = key.modulus // 3 * 2 + 1
    table = FixedBase(key, base, bits=20, window_bits=3)
    covered = 21 + FURTHER_BITS
    for bits in (0, 1, 3, 19, 20, 21, 22, 100, covered - 1, covered, covered + 1, covered + 90):
        for exponent in {2**bits - 1, 2**bits, 2**bits // 3}:
            product, logarithm = table.power(exponent)
            assert join(key, product, logarithm) == pow(base, exponent, key.modulus)


@pytest.mark.parametrize("window_bits", [1, 2, 4, 5, 8])
def test_window_width_changes_no_power(window_bits: int) -> None:
    key = private_key(1).public_key
    table = FixedBase(key, key.arithmetic.integer(7), bits=17, window_bits=window_bits)
    for exponent in (2**17 - 1, 2**200 + 12345, 2**400 - 2**17):
        assert join(key, *table.power(exponent)) == pow(key.arithmetic.integer(7), exponent, key.modulus)


@pytest.mark.parametrize("s", [1, 2, 3])
def test_entries_are_the_pairs_of_the_powers(s: int) -> None:
    key = private_key(s).public_key
    base = key.modulus - 12
    table = FixedBase(key, base, bits=4, window_bits=4)
    expected = split(key, [pow(base, exponent, key.modulus) for exponent in range(16)])
    assert [split(key, [join(key, *table.power(exponent))])[0] for exponent in range(16)] == expected
    for exponent, pair in enumerate(expected):
        product, logarithm = table.power(exponent)
        assert (product, logarithm % key.message_modulus) == pair
