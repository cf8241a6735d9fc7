"""Pieces: the same bytes as those of whole vectors."""

import numpy as np
import pytest

from protocols import packing, pieces
from protocols.crypto.keystream import SignedMask, Words, apply_masks, word_dtype
from protocols.crypto.secret import Secret
from protocols.errors import InputError
from protocols.pieces import ArrayReader, check_reader, packed_pieces, summed_pieces
from protocols.testing.repeatable import repeatable_entropy

MODULI = (2, 2**7, 2**8, 2**13, 2**16, 2**31, 2**32, 2**64)
SEEDS = [Secret(bytes([number]) * 32) for number in range(3)]


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", 64)


def vector(length: int, modulus: int) -> Words:
    words = np.frombuffer(repeatable_entropy(b"pieces")(8 * length), dtype="<u8")
    return (words & np.uint64(modulus - 1)).astype(word_dtype(modulus))


@pytest.mark.parametrize("modulus", MODULI)
@pytest.mark.parametrize("length", [1, 63, 64, 65, 500])
def test_masked_pieces_are_the_bytes_of_the_masked_vector(modulus: int, length: int) -> None:
    given = vector(length, modulus)
    masks: list[SignedMask] = [(np.add, SEEDS[0]), (np.subtract, SEEDS[1])]
    whole = given.copy()
    apply_masks(whole, masks)
    whole &= whole.dtype.type(modulus - 1)
    found = list(packed_pieces(ArrayReader(given), modulus=modulus, masks=masks))
    assert b"".join(found) == packing.pack(whole, modulus)
    assert len(found) == -(-length // 64)


@pytest.mark.parametrize("modulus", [3, 1000, 2**16])
def test_pieces_without_masks_are_the_vector(modulus: int) -> None:
    given = vector(200, 2) * word_dtype(modulus).type(modulus - 1)
    assert b"".join(packed_pieces(ArrayReader(given), modulus=modulus)) == packing.pack(given, modulus)
    assert given.max() == modulus - 1


@pytest.mark.parametrize("modulus", MODULI)
def test_weighted_sum_of_masks_is_that_of_whole_masks(modulus: int) -> None:
    word = word_dtype(modulus)
    total = np.zeros(150, dtype=word)
    for seed, weight in zip(SEEDS, (1, 5, 5), strict=True):
        mask = np.zeros(150, dtype=word)
        apply_masks(mask, [(np.add, seed)])
        for _ in range(weight):
            total += mask
    total &= word.type(modulus - 1)
    groups = ((1, [(np.add, SEEDS[0])]), (5, [(np.add, SEEDS[1]), (np.add, SEEDS[2])]))
    assert b"".join(summed_pieces(groups, length=150, modulus=modulus)) == packing.pack(total, modulus)


def test_input_that_fits_is_accepted() -> None:
    check_reader(ArrayReader(vector(200, 2**16)), length=200, modulus=2**16)
    check_reader(ArrayReader(vector(200, 2**10)), length=200, modulus=2**10)


def test_entry_at_the_modulus_in_the_last_piece_is_refused() -> None:
    given = np.zeros(200, dtype=np.uint16)
    given[-1] = 1024
    with pytest.raises(InputError, match="an entry at or above the modulus 1024"):
        check_reader(ArrayReader(given), length=200, modulus=2**10)


def test_other_length_and_other_words_are_refused() -> None:
    with pytest.raises(InputError, match="must have 201 entries, not 200"):
        check_reader(ArrayReader(np.zeros(200, dtype=np.uint16)), length=201, modulus=2**16)
    with pytest.raises(InputError, match="must have words of type uint16, not uint32"):
        check_reader(ArrayReader(np.zeros(200, dtype=np.uint32)), length=200, modulus=2**16)


def test_reader_gives_a_copy() -> None:
    given = np.zeros(10, dtype=np.uint16)
    ArrayReader(given).read(0, 10)[:] = 1
    assert not given.any()
