"""Logarithm and exponential of numbers that are 1 modulo a base, against powers of them."""

import pytest

from protocols.crypto.integers import Arithmetic
from protocols.crypto.paillier.one_units import OneUnits
from tests.support.paillier_keys import ARITHMETICS

BASE = 10_007 * 10_009
XS = (0, 1, 2, 3, 12_345_678, BASE - 1, BASE + 1)

each_arithmetic = pytest.mark.parametrize("arithmetic", dict(ARITHMETICS).values(), ids=dict(ARITHMETICS))
each_s = pytest.mark.parametrize("s", [1, 2, 3, 4])


@each_arithmetic
@each_s
def test_logarithm_turns_powers_into_multiples(s: int, arithmetic: Arithmetic) -> None:
    units, modulus = OneUnits(BASE, s, arithmetic), BASE ** (s + 1)
    for x in XS:
        for exponent in (2, 7, BASE + 5):
            power = pow(1 + BASE * x, exponent, modulus)
            assert units.logarithm(power // BASE) == exponent * units.logarithm(x) % BASE**s


@each_arithmetic
@each_s
def test_logarithm_turns_products_into_sums(s: int, arithmetic: Arithmetic) -> None:
    units, modulus = OneUnits(BASE, s, arithmetic), BASE ** (s + 1)
    for one, other in zip(XS, reversed(XS), strict=True):
        product = (1 + BASE * one) * (1 + BASE * other) % modulus
        assert units.logarithm(product // BASE) == (units.logarithm(one) + units.logarithm(other)) % BASE**s


@each_arithmetic
@each_s
def test_exponential_and_logarithm_are_inverse(s: int, arithmetic: Arithmetic) -> None:
    units = OneUnits(BASE, s, arithmetic)
    assert units.modulus == BASE**s
    for each in XS:
        assert units.exponential(units.logarithm(each)) == each % BASE**s
        assert units.logarithm(units.exponential(each)) == each % BASE**s
