"""Products modulo X^4096 + 1 and 2^64: exact in the worst case, and refused where the bound does not prove it."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.fft import fft

from protocols.crypto.lattice.ring import DEGREE, Multiplier, Ring, _twist, limb_bits

ONES = np.full(DEGREE, 2**64 - 1, dtype=np.uint64)


def schoolbook(uniform: Ring, small: NDArray[np.int64]) -> Ring:
    """The definition: X^i shifts, and what leaves at the top comes back negated."""
    shifted = np.concatenate([np.uint64(0) - uniform, uniform])
    result = np.zeros(DEGREE, dtype=np.uint64)
    for power, coefficient in enumerate(small):
        if coefficient:
            result += shifted[DEGREE - power : 2 * DEGREE - power] * np.uint64(int(coefficient) % 2**64)
    return result


def alternating(magnitude: int) -> NDArray[np.int64]:
    return np.where(np.arange(DEGREE) % 2, magnitude, -magnitude).astype(np.int64)


@pytest.mark.parametrize("magnitude", [1, 127, 312, 4_000, 127_000, 5_000_000])
def test_products_are_exact_at_every_limb_width(magnitude: int) -> None:
    generator = np.random.default_rng(magnitude)
    uniform = np.stack([generator.integers(0, 2**64, DEGREE, dtype=np.uint64), ONES, ONES << np.uint64(63)])
    for small in (
        np.full(DEGREE, magnitude),
        alternating(magnitude),
        generator.integers(-magnitude, magnitude + 1, DEGREE),
    ):
        products = Multiplier(small).times(uniform)
        for product, factor in zip(products, uniform, strict=True):
            assert np.array_equal(product, schoolbook(factor, small))


def test_products_do_not_depend_on_how_many_there_are() -> None:
    generator = np.random.default_rng(0)
    uniform = generator.integers(0, 2**64, (19, DEGREE), dtype=np.uint64)
    multiplier = Multiplier(generator.integers(-127, 128, DEGREE))
    together = multiplier.times(uniform)
    for one, product in zip(uniform, together, strict=True):
        assert np.array_equal(multiplier.times(one[None])[0], product)
    assert multiplier.times(uniform[:0]).shape == (0, DEGREE)


def test_powers_of_x_shift_and_negate() -> None:
    small = np.zeros(DEGREE, dtype=np.int64)
    small[DEGREE - 1] = 1
    product = Multiplier(small).times(np.arange(1, DEGREE + 1, dtype=np.uint64)[None])[0]
    assert int(product[-1]) == 1
    assert product[:-1].view(np.int64).tolist() == [-value for value in range(2, DEGREE + 1)]


def test_limb_width_follows_the_error_bound() -> None:
    unit, root5 = 2.0**-53, math.sqrt(5)
    level = 11 * math.log1p(unit) + 12 * math.log1p(unit * root5) + 12 * math.log1p(8 * unit)
    growth = math.expm1(3 * level + math.log1p(unit * root5))
    previous = math.inf
    for norm in np.geomspace(1, 3e8, 200):
        bits = limb_bits(float(norm))
        assert 2.0**bits * 64 * norm * growth < 0.25
        assert bits <= previous
        previous = bits
    assert limb_bits(312 * 64.0) == 22
    assert limb_bits(330 * 64.0) == 16


def test_too_large_a_polynomial_is_refused() -> None:
    with pytest.raises(ValueError, match="no split"):
        Multiplier(np.full(DEGREE, 2**40))


@pytest.mark.parametrize("small", [np.zeros(DEGREE - 1, dtype=np.int64), np.zeros(DEGREE, dtype=np.int32)])
def test_other_shapes_and_types_are_refused(small: NDArray[np.int64]) -> None:
    with pytest.raises(ValueError, match="expected 4096 int64"):
        Multiplier(small)


def test_roots_are_as_accurate_as_the_bound_assumes() -> None:
    """Both tables: ours, through products with X^0, and the library's, through the transform of a unit vector."""
    if np.finfo(np.longdouble).eps > 2.0**-60:
        pytest.skip("no extended precision to compare with")
    places = np.arange(DEGREE // 2)
    turn = np.longdouble("3.14159265358979323846264338327950288")
    angle = -2 * turn * places.astype(np.longdouble) / (DEGREE // 2)
    unit = np.zeros(DEGREE // 2, dtype=np.complex128)
    unit[1] = 1
    computed = fft(unit)
    # Through eleven levels at most; each root by itself is to be within 8 units.
    worst = max(np.abs(computed.real - np.cos(angle)).max(), np.abs(computed.imag - np.sin(angle)).max())
    assert worst < 11 * 8 * 2.0**-53
    angle = turn * places.astype(np.longdouble) / DEGREE
    ours = _twist()
    assert np.hypot(ours.real - np.cos(angle), ours.imag - np.sin(angle)).max() < 8 * 2.0**-53


def test_multiplier_does_not_show_its_polynomial() -> None:
    assert repr(Multiplier(np.full(DEGREE, 77))) == "Multiplier(<a polynomial>)"
