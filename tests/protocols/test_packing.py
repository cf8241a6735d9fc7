"""Bit-packing: every width, against Python's own big integers; sums in place, checked before anything is added."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from protocols.crypto.keystream import Words
from protocols.packing import add_packed, pack, packed_bytes, unpack

WORDS = ("<u1", "<u2", "<u4", "<u8")


def reference(entries: list[int], bits: int) -> bytes:
    """The entries as one little-endian number, entry i at bit i * bits."""
    number = sum(entry << (index * bits) for index, entry in enumerate(entries))
    return number.to_bytes(-(-len(entries) * bits // 8), "little")


def long_vector(modulus: int) -> NDArray[np.uint64]:
    """Random entries for two of the pieces that packing goes by, 0.5 MiB of the smallest words, and a few more."""
    size = next(size for size in (1, 2, 4, 8) if 2 ** (8 * size) >= modulus)
    vector = np.random.default_rng(modulus % 2**32).integers(0, modulus, 2**19 // size + 13, dtype=np.uint64)
    vector[-1] = modulus - 1
    return vector


def words_for(modulus: int) -> list[str]:
    """The types that hold the modulus."""
    return [word for word in WORDS if 2 ** (8 * np.dtype(word).itemsize) >= modulus]


@pytest.mark.parametrize("bits", range(1, 65))
def test_packing_every_width_matches_one_big_number(bits: int) -> None:
    generator = np.random.default_rng(bits)
    for length in (1, 2, 7, 63, 64, 65, 127, 128, 129, 200):
        vector = generator.integers(0, 2**bits - 1, length, dtype=np.uint64, endpoint=True)
        vector[0] = 2**bits - 1
        packed = pack(vector, 2**bits)
        assert type(packed) is bytes
        assert packed == reference(vector.tolist(), bits)
        assert len(packed) == packed_bytes(length, 2**bits)
        restored = unpack(packed, length, 2**bits)
        assert restored.dtype == np.uint64
        assert (restored == vector).all()


@pytest.mark.parametrize("bits", [1, 3, 8, 11, 16, 17, 20, 21, 24, 28, 31, 32, 33, 40, 45, 64])
def test_packing_in_several_pieces_matches_numpys_own_bits(bits: int) -> None:
    vector = long_vector(2**bits)
    packed = pack(vector, 2**bits)
    of_bits = np.unpackbits(vector.astype("<u8").view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")[:, :bits]
    assert packed == np.packbits(of_bits, bitorder="little").tobytes()
    assert (unpack(packed, vector.size, 2**bits) == vector).all()


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
        total = np.zeros(length, dtype=np.uint64)
        with pytest.raises(ValueError, match="packed vector"):
            add_packed(total, data, modulus)
        return
    assert pack(vector, modulus) == data


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u4", "<u8"])
def test_packing_takes_every_unsigned_dtype(dtype: str) -> None:
    assert pack(np.array([1, 200, 255], dtype=dtype), 2**8) == bytes([1, 200, 255])


@pytest.mark.parametrize("modulus", [2, 7, 2**8, 2**20, 2**31 - 1, 2**33])
def test_packing_an_entry_at_the_modulus_is_refused(modulus: int) -> None:
    with pytest.raises(ValueError, match=f"modulus {modulus}"):
        pack(np.array([modulus - 1, modulus], dtype=np.uint64), modulus)


EXTREMES = st.sampled_from([2, 3, 2**8, 2**16 - 15, 2**20, 2**31 - 1, 2**32 - 5, 2**32, 2**61 - 1, 2**64 - 59, 2**64])


@given(data=st.data(), modulus=st.integers(2, 2**64) | EXTREMES)
def test_adding_packed_vectors_sums_modulo_any_modulus(data: st.DataObject, modulus: int) -> None:
    length = data.draw(st.integers(1, 40))
    entry = st.integers(0, modulus - 1) | st.just(modulus - 1)
    vectors = data.draw(st.lists(st.lists(entry, min_size=length, max_size=length), min_size=1, max_size=5))
    total: Words = np.zeros(length, dtype=data.draw(st.sampled_from(words_for(modulus))))
    for vector in vectors:
        add_packed(total, pack(np.array(vector, dtype=np.uint64), modulus), modulus)
    assert total.tolist() == [sum(column) % modulus for column in zip(*vectors, strict=True)]


@pytest.mark.parametrize("modulus", [2**7, 2**8, 2**13, 2**20, 2**32, 2**31 - 1, 2**40, 2**61 - 1, 2**64 - 59, 2**64])
def test_adding_in_several_pieces_and_from_unaligned_bytes_is_exact(modulus: int) -> None:
    vector = long_vector(modulus)
    message = b"head" + b"r" + pack(vector, modulus) + b"tail"
    expected = [2 * entry % modulus for entry in vector.tolist()]
    for word in words_for(modulus):
        total: Words = vector.astype(word)
        add_packed(total, memoryview(message)[5:-4], modulus)
        assert total.dtype == word
        assert total.tolist() == expected


@pytest.mark.parametrize("change", [-1, 1, 8])
@pytest.mark.parametrize("modulus", [2**13, 2**13 - 1, 2**32])
def test_packed_vector_of_a_wrong_length_is_refused(modulus: int, change: int) -> None:
    data = bytes(packed_bytes(100, modulus) + change)
    with pytest.raises(ValueError, match=r"packed vector: expected \d+ bytes"):
        unpack(data, 100, modulus)
    refused(np.zeros(100, dtype=np.uint32), data, modulus, r"packed vector: expected \d+ bytes")


def refused(total: Words, data: bytes, modulus: int, match: str) -> None:
    """That the data is not added, not even a part of it."""
    total += total.dtype.type(1)
    with pytest.raises(ValueError, match=match):
        add_packed(total, data, modulus)
    assert (total == 1).all()


@pytest.mark.parametrize("modulus", [2**5, 31])
def test_padding_that_is_not_zero_is_refused(modulus: int) -> None:
    packed = bytearray(pack(np.arange(3, dtype=np.uint64), modulus))
    assert unpack(bytes(packed), 3, modulus).tolist() == [0, 1, 2]
    packed[-1] |= 0x80
    with pytest.raises(ValueError, match="padding"):
        unpack(bytes(packed), 3, modulus)
    refused(np.zeros(3, dtype=np.uint8), bytes(packed), modulus, "padding")


@pytest.mark.parametrize("modulus", [3, 255, 65_521, 2**61 - 1, 2**64 - 1])
def test_entry_at_the_modulus_is_refused(modulus: int) -> None:
    bits = (modulus - 1).bit_length()
    assert unpack(reference([modulus - 1, 0], bits), 2, modulus).tolist() == [modulus - 1, 0]
    with pytest.raises(ValueError, match="modulus"):
        unpack(reference([0, modulus], bits), 2, modulus)
    refused(np.zeros(2, dtype=np.uint64), reference([0, modulus], bits), modulus, "modulus")


@pytest.mark.parametrize("modulus", [255, 2**31 - 1, 2**61 - 1])
def test_entry_at_the_modulus_in_the_last_piece_leaves_the_first_unchanged(modulus: int) -> None:
    vector = long_vector(modulus)
    vector[-1] = modulus
    packed = pack(vector, 2 ** (modulus - 1).bit_length())
    refused(np.zeros(vector.size, dtype=np.uint64), packed, modulus, "modulus")


@pytest.mark.parametrize(("word", "modulus"), [("u1", 257), ("<u2", 2**20), ("<u4", 2**32 + 1), ("<u4", 2**64)])
def test_total_that_does_not_hold_the_modulus_is_refused(word: str, modulus: int) -> None:
    total: Words = np.zeros(4, dtype=word)
    refused(total, pack(np.zeros(4, dtype=np.uint64), modulus), modulus, "words that hold")


def peak_bytes(work: Callable[[], object]) -> int:
    """The most memory that was in use at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("modulus", [2**20, 2**23, 2**32, 2**31 - 1])
def test_packing_and_adding_hold_no_second_vector(modulus: int) -> None:
    vector = np.full(1_000_000, modulus - 1, dtype=np.uint32)
    packed = pack(vector, modulus)
    assert peak_bytes(lambda: pack(vector, modulus)) < len(packed) + 1_500_000
    assert peak_bytes(lambda: add_packed(vector, packed, modulus)) < 2_000_000
