"""Lanes: sums of vectors whose entries share words, at both ends of headroom, and beyond them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import packing
from protocols.crypto.keystream import Words, word_dtype
from protocols.lanes import Lanes

BITS = st.integers(1, 64)
THREE = Lanes(length=7, modulus=2**21, headroom=True)


def residues(integers: list[int], modulus: int) -> Words:
    return np.array([integer % modulus for integer in integers], dtype=word_dtype(modulus))


def masked_sum(lanes: Lanes, rows: list[list[int]], seed: int) -> list[int]:
    """The sum of these rows of integers, each under a mask that is removed from the total."""
    generator, total, masks = np.random.default_rng(seed), lanes.nothing(), lanes.nothing()
    for row in rows:
        mask = np.frombuffer(generator.bytes(masks.nbytes), dtype=masks.dtype)
        masks += mask
        lanes.add_packed(total, lanes.pack(lanes.fold(residues(row, lanes.modulus)) + mask))
    return [int(entry) for entry in lanes.unfold(total - masks)]


@pytest.mark.parametrize(
    ("bits", "lanes"),
    [(1, 64), (3, 21), (7, 9), (8, 1), (9, 7), (10, 6), (12, 5), (13, 1), (16, 1), (17, 3), (21, 3), (22, 1), (32, 1)],
)
def test_entries_share_a_word_only_if_it_holds_more_of_them_than_small_words_do(bits: int, lanes: int) -> None:
    assert Lanes(length=5, modulus=2**bits, headroom=True).lanes == lanes
    assert Lanes(length=5, modulus=2**bits, headroom=False).lanes == 1


@given(data=st.data(), bits=BITS, length=st.integers(1, 70))
@settings(max_examples=150, deadline=None)
def test_masked_sums_with_headroom_are_exact_to_both_ends(data: st.DataObject, bits: int, length: int) -> None:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    ends = st.sampled_from(sorted({low, min(-1, high), 0, min(1, high), high}))
    first = data.draw(st.lists(ends, min_size=length, max_size=length))
    # The partial sums of the rows leave the range on the way, and the last row brings them back.
    rows = [first, [high] * length, [-high] * length]
    lanes = Lanes(length=length, modulus=2**bits, headroom=True)
    assert masked_sum(lanes, rows, data.draw(st.integers(0, 2**32))) == [entry % 2**bits for entry in first]


@given(data=st.data(), bits=BITS)
@settings(max_examples=50, deadline=None)
def test_masked_sums_without_headroom_are_exact_for_any_entries(data: st.DataObject, bits: int) -> None:
    entries = st.lists(st.integers(0, 2**bits - 1), min_size=5, max_size=5)
    rows = data.draw(st.lists(entries, min_size=1, max_size=4))
    lanes = Lanes(length=5, modulus=2**bits, headroom=False)
    expected = [sum(column) % 2**bits for column in zip(*rows, strict=True)]
    assert masked_sum(lanes, rows, data.draw(st.integers(0, 2**32))) == expected


def test_sums_are_exact_where_a_vector_has_more_words_than_a_piece() -> None:
    lanes = Lanes(length=100_001, modulus=2**17, headroom=True)
    generator = np.random.default_rng(1)
    rows = generator.integers(-(2**15), 2**15, (2, lanes.length)).tolist()
    assert masked_sum(lanes, rows, 2) == [sum(column) % 2**17 for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("bits", [1, 3, 5, 7, 9, 10, 11, 12, 17, 20, 21, 8, 16, 30, 32, 64])
@pytest.mark.parametrize("length", [1, 2, 5, 64, 1000, 50_001])
def test_sum_whose_words_are_in_the_memory_of_its_vector_is_that_of_words_of_their_own(bits: int, length: int) -> None:
    lanes = Lanes(length=length, modulus=2**bits, headroom=True)
    vector = np.zeros(length, dtype=word_dtype(2**bits))
    total, other = lanes.within(vector), lanes.nothing()
    assert (total.shape, total.dtype) == (other.shape, other.dtype)
    assert not total.any()
    assert np.shares_memory(total, vector) or total.nbytes > vector.nbytes
    generator = np.random.default_rng(bits)
    for _ in range(3):
        words = np.frombuffer(generator.bytes(total.nbytes), dtype=total.dtype)
        total += words
        other += words
    lanes.unfold_into(total, vector)
    assert np.array_equal(vector, lanes.unfold(other))


def test_a_sum_that_leaves_the_range_moves_only_the_lane_above_it() -> None:
    """Lanes are 0 to 2, 3 to 5 and 6; the sum of entry 1 wraps around, and the one of entry 5 has no lane above it."""
    top = 2**20 - 1
    row = [1, top, 3, 4, 5, top, 7]
    assert masked_sum(THREE, [row, row], 3) == [2, 2 * top, 7, 8, 10, 2 * top, 14]


def test_the_wire_has_as_many_bytes_as_entries_of_their_own() -> None:
    for length in range(1, 30):
        lanes = Lanes(length=length, modulus=2**21, headroom=True)
        assert len(lanes.pack(lanes.nothing())) == packing.packed_bytes(length, 2**21)


def test_packed_words_have_the_bits_of_packed_entries() -> None:
    """The entries are not negative, so each lane of a word that is not masked holds the entry itself."""
    vector = residues([0, 1, 2, 2**20 - 1, 5, 6, 7], 2**21)
    assert THREE.pack(THREE.fold(vector)) == packing.pack(vector, 2**21)


def test_masks_of_lanes_without_entries_are_not_sent() -> None:
    ones = np.full(THREE.words, 2**64 - 1, dtype=np.uint64)
    packed = packing.unpack(THREE.pack(ones), 7, 2**21)
    assert packed.tolist() == [2**21 - 1] * 7


def test_masked_lanes_are_uniform_and_independent() -> None:
    """Words modulo 2^15 of all values, added to one folded vector, give each triple of entries once."""
    lanes = Lanes(
        length=12, modulus=2**5, headroom=True
    )  # Twelve lanes; the words take all values of the lowest three.
    word = lanes.fold(residues([3, -4, 15, *[-1] * 9], 2**5))[0]
    masked = word + np.arange(2**15, dtype=np.uint64)
    triples = masked & np.uint64(2**15 - 1)
    assert np.unique(triples).size == 2**15


def test_data_of_another_length_or_padding_are_refused_before_anything_is_added() -> None:
    total, packed = THREE.nothing(), bytes(THREE.pack(THREE.fold(residues([1] * 7, 2**21))))
    for wrong in (packed[:-1], packed + b"\0", packed[:-1] + b"\xff", b""):
        with pytest.raises(ValueError, match="packed vector: expected"):
            THREE.add_packed(total, wrong)
    assert not total.any()


def test_words_of_a_vector_take_less_memory() -> None:
    wide, narrow = (Lanes(length=999, modulus=2**21, headroom=headroom) for headroom in (False, True))
    assert (wide.memory_bytes, narrow.memory_bytes) == (4 * 999, 8 * 333)
