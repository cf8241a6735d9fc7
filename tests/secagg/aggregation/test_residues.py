import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.aggregation.residues import centred, half, power_of_two, reduced

MODULI = st.one_of(
    st.integers(2, 40),
    st.integers(1, 62).map(power_of_two),
    st.integers(2, 62).map(lambda bits: 2**bits - 1),
    st.integers(1, 61).map(lambda bits: 2**bits + 1),
    st.integers(2, 2**62),
)
ENTRIES = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20)


@given(ENTRIES, MODULI)
def test_residues_are_those_of_pythons_own_integers(entries: list[int], modulus: int) -> None:
    found = reduced(np.array(entries, dtype=np.int64), modulus)
    assert found.dtype == np.uint64
    assert found.tolist() == [entry % modulus for entry in entries]


@given(ENTRIES, MODULI)
def test_residues_give_back_every_integer_that_is_nearer_to_0_than_half_the_modulus(
    entries: list[int], modulus: int
) -> None:
    small = [entry % (2 * half(modulus) - 1) - (half(modulus) - 1) for entry in entries]
    small += [half(modulus) - 1, 1 - half(modulus)]
    back = centred(reduced(np.array(small, dtype=np.int64), modulus), modulus)
    assert back.dtype == np.int64
    assert back.tolist() == small


@pytest.mark.parametrize("modulus", range(2, 34))
def test_residues_of_sums_come_back_exactly_where_they_fit(modulus: int) -> None:
    """Every pair of integers of a small modulus: right below the bound, and for positive sums only below it."""
    reach = range(-modulus, modulus + 1)
    for one in reach:
        sums = np.array([one + other for other in reach], dtype=np.int64)
        back = centred(reduced(sums, modulus), modulus)
        fits = np.abs(sums) < half(modulus)
        assert np.array_equal(back[fits], sums[fits])
        assert not (back == sums)[sums >= half(modulus)].any()
        assert ((2 * back >= -modulus) & (2 * back < modulus)).all()


def test_residues_leave_what_they_are_given_alone() -> None:
    for modulus in (16, 17):
        integers = np.arange(-8, 8)
        residues = reduced(integers, modulus)
        centred(residues, modulus)
        assert integers.tolist() == list(range(-8, 8))
        assert residues.tolist() == [entry % modulus for entry in range(-8, 8)]
