"""Balanced digits: exact at the extremes and in sums, and refused where they do not fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from protocols.crypto.paillier.digits import Digits
from protocols.errors import DamagedSum, InputError, ParameterError

MODULUS = 3**400 - 2


@given(data=st.data(), reach=st.sampled_from([1, 2, 127, 1762, 2**40, 2**62 - 1]))
def test_digits_of_any_coefficients_come_back(data: st.DataObject, reach: int) -> None:
    digits = Digits(reach=reach, message_modulus=MODULUS)
    length = data.draw(st.integers(1, 3 * digits.count))
    coefficients = data.draw(arrays.arrays(np.int64, length, elements=st.integers(-reach, reach)))
    messages = digits.pack(coefficients)
    assert len(messages) == digits.messages(length)
    assert all(0 <= message < MODULUS for message in messages)
    assert digits.unpack(messages, length).tolist() == coefficients.tolist()


@pytest.mark.parametrize("sign", [-1, 0, 1])
def test_digits_add_up_to_the_very_reach(sign: int) -> None:
    digits, length = Digits(reach=30, message_modulus=MODULUS), 500
    messages = [digits.pack(np.full(length, 3 * sign, dtype=np.int64)) for _ in range(10)]
    sums = [sum(column) % MODULUS for column in zip(*messages, strict=True)]
    assert digits.unpack(sums, length).tolist() == [30 * sign] * length


def test_digits_fill_a_message_to_the_last() -> None:
    for count in (1, 2, 57):
        assert Digits(reach=4, message_modulus=9**count).count == count
        assert Digits(reach=4, message_modulus=9 ** (count + 1) - 1).count == count


def test_digits_refuse_what_no_coefficients_add_up_to() -> None:
    digits = Digits(reach=4, message_modulus=10**9)
    count = digits.count
    assert count == 9
    largest = (9**count - 1) // 2
    digits.unpack([largest], count)
    for message in (largest + 1, 10**9 - largest - 1):
        with pytest.raises(DamagedSum, match="not a sum"):
            digits.unpack([message], count)
    with pytest.raises(DamagedSum, match="messages"):
        digits.unpack([0, 0], count)
    short = digits.pack(np.ones(count, dtype=np.int64))
    with pytest.raises(DamagedSum, match="not a sum"):
        digits.unpack(short, count - 1)


@pytest.mark.parametrize(("reach", "modulus"), [(0, 100), (-1, 100), (2**62, 2**100), (50, 100), (1.0, 9), (True, 9)])
def test_digits_of_impossible_sizes_are_refused(reach: int, modulus: int) -> None:
    with pytest.raises(ParameterError):
        Digits(reach=reach, message_modulus=modulus)


@pytest.mark.parametrize(
    "coefficients",
    [
        np.array([5]),
        np.array([-5]),
        np.array([1.0]),
        np.array([], dtype=np.int64),
        np.array([[1]]),
        np.array([1], "i4"),
    ],
)
def test_digits_refuse_coefficients_out_of_range(coefficients: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> None:
    with pytest.raises(InputError):
        Digits(reach=4, message_modulus=MODULUS).pack(coefficients)
