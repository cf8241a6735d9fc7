"""Bit-packing: every width, against Python's own big integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.packing import pack, packed_bytes, unpack


def reference(entries: list[int], bits: int) -> bytes:
    """The entries as one little-endian number, entry i at bit i * bits."""
    number = sum(entry << (index * bits) for index, entry in enumerate(entries))
    return number.to_bytes(-(-len(entries) * bits // 8), "little")


@pytest.mark.parametrize("bits", range(1, 65))
def test_packing_every_width_matches_one_big_number(bits: int) -> None:
    generator = np.random.default_rng(bits)
    for length in (1, 2, 7, 63, 64, 65, 127, 128, 129, 200):
        vector = generator.integers(0, 2**bits - 1, length, dtype=np.uint64, endpoint=True)
        vector[0] = 2**bits - 1
        packed = pack(vector, 2**bits)
        assert packed == reference(vector.tolist(), bits)
        assert len(packed) == packed_bytes(length, 2**bits)
        restored = unpack(packed, length, 2**bits)
        assert restored.dtype == np.uint64
        assert (restored == vector).all()


@given(data=st.data(), modulus=st.integers(2, 2**64))
def test_unpacking_reverses_packing(data: st.DataObject, modulus: int) -> None:
    entries = data.draw(st.lists(st.integers(0, modulus - 1), min_size=1, max_size=140))
    packed = pack(np.array(entries, dtype=np.uint64), modulus)
    assert packed == reference(entries, (modulus - 1).bit_length())
    assert unpack(packed, len(entries), modulus).tolist() == entries


@given(data=st.binary(max_size=60), length=st.integers(1, 70), modulus=st.integers(2, 2**64))
def test_bytes_unpack_to_a_vector_that_packs_to_them_or_not_at_all(data: bytes, length: int, modulus: int) -> None:
    data = data[: packed_bytes(length, modulus)]
    try:
        vector = unpack(data, length, modulus)
    except ValueError:
        return
    assert pack(vector, modulus) == data


@pytest.mark.parametrize("change", [-1, 1, 8])
def test_packed_vector_of_a_wrong_length_is_refused(change: int) -> None:
    with pytest.raises(ValueError, match="are expected"):
        unpack(bytes(packed_bytes(100, 2**13) + change), 100, 2**13)


def test_padding_that_is_not_zero_is_refused() -> None:
    packed = bytearray(pack(np.arange(3, dtype=np.uint64), 2**5))
    assert unpack(bytes(packed), 3, 2**5).tolist() == [0, 1, 2]
    packed[-1] |= 0x80
    with pytest.raises(ValueError, match="padding"):
        unpack(bytes(packed), 3, 2**5)


@pytest.mark.parametrize("modulus", [3, 255, 65_521, 2**61 - 1, 2**64 - 1])
def test_entry_at_the_modulus_is_refused(modulus: int) -> None:
    bits = (modulus - 1).bit_length()
    assert unpack(reference([modulus - 1, 0], bits), 2, modulus).tolist() == [modulus - 1, 0]
    with pytest.raises(ValueError, match="modulus"):
        unpack(reference([0, modulus], bits), 2, modulus)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u4", "<u8"])
def test_packing_takes_every_unsigned_dtype(dtype: str) -> None:
    assert pack(np.array([1, 200, 255], dtype=dtype), 2**8) == bytes([1, 200, 255])
