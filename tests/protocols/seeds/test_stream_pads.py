"""Sums of stream pads against an independent expansion: AES-256 in counter mode by blocks, and Python's integers."""

from typing import Final

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from protocols import packing, pieces
from protocols.crypto.keystream import word_dtype
from protocols.crypto.secret import Secret
from protocols.errors import MalformedMessage, ParameterError
from protocols.seeds.pads import SetKeys
from protocols.seeds.stream_pads import StreamPads
from protocols.session import Session

MODULI: Final = [2**bits for bits in (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 63, 64)]
KEYS: Final = [SetKeys(pad=Secret(bytes([each]) * 32), wrap=Secret(b"")) for each in range(4)]
EACH: Final = pytest.mark.parametrize("modulus", MODULI)


def pads_of(modulus: int, length: int) -> StreamPads:
    return StreamPads(Session(session_id=bytes(16), clients=(0, 1), threshold=2, length=length, modulus=modulus))


def nothing_is_drawn(count: int) -> bytes:
    raise AssertionError(count)


def expansion(key: SetKeys, length: int, modulus: int) -> list[int]:
    """Return a pad: the encrypted blocks 0, 1, ..., read as little-endian words of 1, 2, 4 or 8 bytes."""
    bits = (modulus - 1).bit_length()
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4 if bits <= 32 else 8
    cipher = Cipher(algorithms.AES256(key.pad.reveal()), modes.ECB())  # It builds the counter mode by hand.
    stream = b""
    for block in range(-(-length * size // 16)):
        encryptor = cipher.encryptor()
        stream += encryptor.update(block.to_bytes(16, "big")) + encryptor.finalize()
    return [int.from_bytes(stream[at : at + size], "little") % modulus for at in range(0, length * size, size)]


def unpacked(data: bytes | memoryview, length: int, modulus: int) -> list[int]:
    """Return the entries of a bit-packed vector, least significant bit first."""
    bits, whole = (modulus - 1).bit_length(), int.from_bytes(data, "little")
    return [whole >> at & (modulus - 1) for at in range(0, length * bits, bits)]


@EACH
@pytest.mark.parametrize("length", [1, 5, 33])
def test_padded_vector_is_the_vector_plus_all_pads(modulus: int, length: int) -> None:
    vector = np.array([(modulus - 1) * (each % 2) for each in range(length)], dtype=word_dtype(modulus))
    before = vector.tolist()
    found = unpacked(pads_of(modulus, length).padded(vector, KEYS, nothing_is_drawn), length, modulus)
    streams = [expansion(key, length, modulus) for key in KEYS]
    assert found == [(x + sum(column)) % modulus for x, *column in zip(before, *streams, strict=True)]


@pytest.mark.parametrize("modulus", [2**8, 2**16, 2**32, 2**64])
def test_pads_of_more_than_4_294_967_296_blocks_are_refused(modulus: int) -> None:
    """The bound of docs/seeds.md on the distance of a keystream from uniform words is stated up to there."""
    most = 2**32 * 128 // (modulus - 1).bit_length()
    assert pads_of(modulus, most).padded_bytes == 2**36
    with pytest.raises(ParameterError, match=f"expected at most {most} words of .* 2\\^32 blocks, found {most + 1}"):
        pads_of(modulus, most + 1)


@EACH
@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (1, 2, 3, 2**16 + 1), (2**64 - 1, 2**63, 255, 1), (0, 0, 1, 0)])
def test_sum_of_pads_has_each_pad_times_its_weight(modulus: int, weights: tuple[int, ...]) -> None:
    length = 19
    pads = pads_of(modulus, length)
    data = pads.opening(KEYS, weights)
    assert len(data) == pads.opening_bytes(4) == pads.padded_bytes
    pads.check_opening(memoryview(data), (1,) * 4)
    streams = [expansion(key, length, modulus) for key in KEYS]
    expected = [
        sum(weight * word for weight, word in zip(weights, column, strict=True)) % modulus
        for column in zip(*streams, strict=True)
    ]
    assert unpacked(data, length, modulus) == expected


def test_pad_longer_than_one_buffer_is_the_same_stream() -> None:
    """128 KiB of keystream are made at a time; the next ones go on from there."""
    length, modulus = 70_001, 2**16
    data = pads_of(modulus, length).opening(KEYS[:2], (3, 1))
    one, other = expansion(KEYS[0], length, modulus), expansion(KEYS[1], length, modulus)
    assert packing.unpack(data, length, modulus).tolist() == [
        (3 * first + second) % modulus for first, second in zip(one, other, strict=True)
    ]


@EACH
@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (1, 5, 5, 2**16 + 1)])
def test_pieces_of_an_opening_are_packed_sums_of_consecutive_entries(
    modulus: int, weights: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE", 16)
    found = list(pads_of(modulus, 37).opening_pieces(KEYS, weights))
    assert len(found) == 3
    columns = zip(*(expansion(key, 37, modulus) for key in KEYS), strict=True)
    expected = [
        sum(weight * word for weight, word in zip(weights, column, strict=True)) % modulus for column in columns
    ]
    assert unpacked(b"".join(found), 37, modulus) == expected


@EACH
def test_weighted_sum_of_padded_vectors_is_the_same_in_pieces(modulus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pads, weights = pads_of(modulus, 37), (1, 5, 1, 3)
    padded = [memoryview(pads.opening([key], (1,))) for key in KEYS]
    expected = unpacked(pads.opening(KEYS, weights), 37, modulus)
    for piece in (16, 64):
        monkeypatch.setattr(pieces, "PIECE", piece)
        total = pads.nothing()
        pads.add_weighted(total, padded, weights)
        assert [int(entry) % modulus for entry in total] == expected


def test_sum_of_no_pads_is_zero() -> None:
    assert pads_of(2**16, 3).opening([], ()) == bytes(6)


@EACH
def test_vector_comes_back_if_the_openings_of_all_sets_are_removed(modulus: int) -> None:
    length, pads = 8, pads_of(modulus, 8)
    vector = np.arange(length, dtype=np.uint64).astype(word_dtype(modulus)) & word_dtype(modulus).type(modulus - 1)
    before, total = vector.tolist(), pads.nothing()
    padded = pads.padded(vector, KEYS, nothing_is_drawn)
    pads.check_padded(padded)
    pads.add(total, bytes(padded))
    opened = pads.opened(total, [pads.opening([key], (1,)) for key in KEYS], (1,))
    assert opened.dtype == word_dtype(modulus)  # `Server` makes it uint64.
    assert opened.tolist() == before


@pytest.mark.parametrize("modulus", [3, 2**16 - 1, 2**64 - 59])
def test_modulus_that_is_no_power_of_two_is_refused_with_what_to_do(modulus: int) -> None:
    with pytest.raises(
        ParameterError, match=r"modulus: expected a power of two, .* lattice pads, which accept any modulus"
    ):
        pads_of(modulus, 3)


def test_vectors_and_openings_of_another_length_or_with_padding_are_refused() -> None:
    pads = pads_of(2**3, 3)
    for wrong in (b"", bytes(1), bytes(3), b"\0\x02"):
        with pytest.raises(MalformedMessage, match="padded vector: packed vector: expected"):
            pads.check_padded(memoryview(wrong))
        with pytest.raises(MalformedMessage, match="sum of pads: packed vector: expected"):
            pads.check_opening(memoryview(wrong), (1,))
