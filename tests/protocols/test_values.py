"""Entries modulo m as numbers from 0, and their sums back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.crypto.keystream import word_dtype
from protocols.errors import InputError, ParameterError
from protocols.values import Values, headroom_bits

MODULI = (2, 3, 2**8, 251, 2**16, 2**31 - 1, 2**61 - 1, 2**63 + 11, 2**64 - 59, 2**64)


@given(data=st.data(), modulus=st.sampled_from(MODULI))
def test_entries_are_stored_above_the_smallest(data: st.DataObject, modulus: int) -> None:
    bits = data.draw(st.one_of(st.none(), st.integers(1, min(63, modulus.bit_length() - 1))))
    values = Values(modulus=modulus, value_bits=bits)
    half = 2 ** (bits - 1) if bits else modulus // 2
    largest = half - 1 if bits else (modulus - 1) // 2
    row = data.draw(st.lists(st.integers(-half, largest), min_size=3, max_size=3))
    vector = np.array([entry % modulus for entry in row], dtype=word_dtype(modulus))
    values.check(vector)
    values.store(vector)
    assert vector.tolist() == [entry + values.shift for entry in row]
    assert (values.shift, values.bound) == (half, 2 * half if bits else modulus)


@given(data=st.data(), modulus=st.sampled_from(MODULI))
def test_any_sums_are_reduced_modulo_m(data: st.DataObject, modulus: int) -> None:
    sums = data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5))
    reduced = Values(modulus=modulus, value_bits=None).reduced(np.array(sums, dtype=np.int64))
    assert reduced.dtype == np.uint64
    assert reduced.tolist() == [each % modulus for each in sums]


def test_entries_beyond_the_promised_bits_are_refused() -> None:
    values = Values(modulus=1000, value_bits=4)
    values.check(np.array([0, 7, 992, 999], dtype=np.uint16))
    for entry in (8, 991, 500):
        with pytest.raises(InputError, match="value_bits is 4"):
            values.check(np.array([0, entry, 0], dtype=np.uint16))


@pytest.mark.parametrize("bits", [0, -1, 64, 11, 4.0, True, "4"])
def test_impossible_numbers_of_bits_are_refused(bits: int) -> None:
    with pytest.raises(ParameterError, match="value_bits"):
        Values(modulus=1024, value_bits=bits)


@pytest.mark.parametrize(
    ("modulus", "bound", "clients", "expected"),
    [(2**16, 2**16, 1000, 16), (2**16, 2**16, 1, None), (2**32, 2**16, 1000, None), (65_521, 65_521, 3, 16)],
)
def test_headroom_saves_bits_or_is_not_used(modulus: int, bound: int, clients: int, expected: int | None) -> None:
    assert headroom_bits(modulus=modulus, bound=bound, clients=clients) == expected
