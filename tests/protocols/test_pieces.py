"""Pieces: the same bytes as those of whole vectors."""

import numpy as np
import pytest

from protocols import packing, pieces
from protocols.crypto.keystream import SignedMask, Words, apply_masks, word_dtype
from protocols.crypto.secret import Secret
from protocols.errors import InputError
from protocols.lanes import Lanes
from protocols.pieces import ArrayReader, check_reader, masked_pieces, packed_pieces
from protocols.testing.repeatable import repeatable_entropy

MODULI = (2, 2**7, 2**8, 2**13, 2**16, 2**31, 2**32, 2**64)
SEEDS = [Secret(bytes([number]) * 32) for number in range(2)]
MASKS: list[SignedMask] = [(np.add, SEEDS[0]), (np.subtract, SEEDS[1])]


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
    whole = given.copy()
    apply_masks(whole, MASKS)
    whole &= whole.dtype.type(modulus - 1)
    lanes = Lanes(length=length, modulus=modulus, headroom=False)
    found = list(masked_pieces(ArrayReader(given), lanes=lanes, masks=MASKS))
    assert b"".join(found) == packing.pack(whole, modulus)
    assert len(found) == -(-length // 64)


@pytest.mark.parametrize("modulus", [*MODULI, 2**5, 2**9, 2**12, 2**17, 2**21])
@pytest.mark.parametrize("length", [1, 64, 191, 192, 193, 1000])
def test_masked_pieces_of_lanes_are_the_bytes_of_the_masked_words(modulus: int, length: int) -> None:
    given = vector(length, modulus)
    lanes = Lanes(length=length, modulus=modulus, headroom=True)
    whole = lanes.fold(given.copy())
    apply_masks(whole, MASKS)
    found = list(masked_pieces(ArrayReader(given), lanes=lanes, masks=MASKS))
    assert b"".join(found) == lanes.pack(whole)
    assert len(found) == -(-lanes.words // 64)


@pytest.mark.parametrize("modulus", [3, 1000, 2**16])
def test_pieces_without_masks_are_the_vector(modulus: int) -> None:
    given = vector(200, 2) * word_dtype(modulus).type(modulus - 1)
    assert b"".join(packed_pieces(ArrayReader(given), modulus=modulus)) == packing.pack(given, modulus)
    assert given.max() == modulus - 1


def test_input_that_fits_is_accepted() -> None:
    check_reader(ArrayReader(vector(200, 2**16)), length=200, modulus=2**16)
    check_reader(ArrayReader(vector(200, 2**10)), length=200, modulus=2**10)


def test_entry_at_the_modulus_in_the_last_piece_is_refused() -> None:
    given = np.zeros(200, dtype=np.uint16)
    given[-1] = 1024
    with pytest.raises(InputError, match="an entry at or above the modulus 1024"):
        check_reader(ArrayReader(given), length=200, modulus=2**10)


def test_other_length_and_other_words_are_refused() -> None:
    with pytest.raises(InputError, match="expected 201 entries, found 200"):
        check_reader(ArrayReader(np.zeros(200, dtype=np.uint16)), length=201, modulus=2**16)
    with pytest.raises(InputError, match="expected words of type uint16, found uint32"):
        check_reader(ArrayReader(np.zeros(200, dtype=np.uint32)), length=200, modulus=2**16)


def test_reader_gives_a_copy() -> None:
    given = np.zeros(10, dtype=np.uint16)
    ArrayReader(given).read(0, 10)[:] = 1
    assert not given.any()
