"""Keystreams and masks against counter mode computed another way, in both modes."""

from collections.abc import Iterator
from itertools import cycle

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from protocols.crypto import counter_mode, keystream
from protocols.crypto.counter_mode import VARIABLE, CounterMode, mode_of_long_streams
from protocols.crypto.keystream import CHUNK_BYTES, LONG_BYTES, Keystream, SignedMask, Words
from protocols.crypto.secret import Secret
from tests.support.counter_blocks import counter_blocks

SEED = bytes(range(32))


@pytest.fixture(params=list(CounterMode))
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[CounterMode]:
    """The mode of long keystreams, for the time of a test."""
    mode: CounterMode = request.param
    monkeypatch.setenv(VARIABLE, mode)
    mode_of_long_streams.cache_clear()
    yield mode
    mode_of_long_streams.cache_clear()


def ctr(seed: bytes, size: int) -> bytes:
    """Return the first bytes of the library's CTR, which `test_counter_mode.py` compares with single blocks."""
    return Cipher(algorithms.AES256(seed), modes.CTR(bytes(16))).encryptor().update(bytes(size))


def mask_of(seed: bytes, total: Words) -> Words:
    """Return the mask of a seed, of the type and length of a total."""
    return np.frombuffer(ctr(seed, total.nbytes), dtype=total.dtype)


@pytest.mark.parametrize("modulus", [2, 2**8, 2**9, 2**16, 2**24, 2**32, 2**33, 2**64])
@pytest.mark.parametrize("length", [1, 3, 16, 1000])
def test_mask_is_the_keystream_from_counter_zero(modulus: int, length: int) -> None:
    dtype = keystream.word_dtype(modulus)
    total = np.zeros(length, dtype=dtype)
    keystream.add_mask(total, Secret(SEED))
    assert total.tobytes() == counter_blocks(SEED, 0, length * dtype.itemsize)
    assert dtype.byteorder in "<|="


@pytest.mark.parametrize("excess", [-1, 0, 1, 5])
def test_mask_is_seamless_across_chunks(excess: int, mode: CounterMode) -> None:
    length = 2 * 128 * 1024 // 4 + excess
    total = np.zeros(length, dtype="<u4")
    keystream.add_mask(total, Secret(SEED))
    assert total.tobytes() == counter_blocks(SEED, 0, 4 * length)


@pytest.mark.parametrize("dtype", ["<u1", "<u2", "<u4", "<u8"])
@pytest.mark.parametrize("around", [0, 16, 32, LONG_BYTES, CHUNK_BYTES, CHUNK_BYTES + 32, 2 * CHUNK_BYTES])
def test_masks_of_both_modes_have_the_same_words(dtype: str, around: int, mode: CounterMode) -> None:
    size = np.dtype(dtype).itemsize
    for length in range(max(0, around // size - 2), around // size + 3):
        total = np.zeros(length, dtype=dtype)
        keystream.add_mask(total, Secret(SEED))
        assert total.tobytes() == ctr(SEED, length * size)


@pytest.mark.parametrize(("bits", "size"), [(1, 1), (8, 1), (9, 2), (16, 2), (17, 4), (32, 4), (33, 8), (64, 8)])
def test_words_are_the_smallest_that_hold_the_modulus(bits: int, size: int) -> None:
    assert keystream.word_dtype(2**bits).itemsize == size


@pytest.mark.parametrize("expected", [0, LONG_BYTES])
def test_keystream_reads_on_and_fills_the_same_bytes(expected: int, mode: CounterMode) -> None:
    whole = Keystream(Secret(SEED)).read(CHUNK_BYTES + 48)
    pieces = Keystream(Secret(SEED), expected_bytes=expected)
    filled = Keystream(Secret(SEED), expected_bytes=expected)
    buffer = bytearray(whole)
    for start, end in ((0, 5), (5, 5 + CHUNK_BYTES), (5 + CHUNK_BYTES, len(whole))):
        assert pieces.read(end - start) == whole[start:end]
        buffer[start:end] = b"\xff" * (end - start)
        filled.fill(memoryview(buffer)[start:end])
    assert buffer == whole


@pytest.mark.parametrize("sizes", [(1,), (0, 7), (16,), (31, 1), (33,), (32, 0, 5), (1000, 17), (65_537, 3)])
def test_reads_of_any_sizes_give_one_stream(sizes: tuple[int, ...], mode: CounterMode) -> None:
    whole = ctr(SEED, 3 * LONG_BYTES)
    read, filled = (Keystream(Secret(SEED), expected_bytes=len(whole)) for _ in range(2))
    start = 0
    for size in cycle(sizes):
        if start + size > min(len(whole), 300 * max(sizes)):
            break
        buffer = bytearray(size)
        filled.fill(memoryview(buffer))
        assert read.read(size) == buffer == whole[start : start + size]
        start += size


def test_stream_that_is_longer_than_expected_goes_on(mode: CounterMode, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is longer than a plaintext of GCM may be, here 4096 blocks."""
    monkeypatch.setattr(counter_mode, "_GCM_BLOCKS", LONG_BYTES // 16)
    read, filled = (Keystream(Secret(SEED), expected_bytes=LONG_BYTES) for _ in range(2))
    buffer = bytearray(CHUNK_BYTES)
    filled.fill(memoryview(buffer))
    assert read.read(CHUNK_BYTES) == buffer == ctr(SEED, CHUNK_BYTES)


def test_only_long_streams_take_the_faster_mode(mode: CounterMode, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, gcm = list[bytes](), counter_mode._gcm

    def noted(key: bytes) -> CipherContext:
        opened.append(key)
        return gcm(key)

    mode_of_long_streams()
    monkeypatch.setattr(counter_mode, "_gcm", noted)
    for size in (LONG_BYTES - 1, LONG_BYTES):
        assert not opened
        total = np.zeros(size, dtype="<u1")
        keystream.add_mask(total, Secret(SEED))
        assert total.tobytes() == ctr(SEED, size)
    assert opened == ([SEED] if mode is CounterMode.GCM else [])


def test_short_streams_need_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "neither")
    mode_of_long_streams.cache_clear()
    assert Keystream(Secret(SEED), expected_bytes=LONG_BYTES - 1).read(32) == ctr(SEED, 32)


def test_adding_and_subtracting_a_mask_cancel() -> None:
    start = np.arange(70_000, dtype="<u2")
    total = start.copy()
    keystream.add_mask(total, Secret(SEED))
    assert (total != start).mean() > 0.99
    keystream.subtract_mask(total, Secret(SEED))
    assert (total == start).all()


@pytest.mark.parametrize("dtype", ["<u1", "<u2", "<u4", "<u8"])
@pytest.mark.parametrize("length", [1, 1000, CHUNK_BYTES + 1])
@pytest.mark.parametrize("at_once", [1, 3, 64])
def test_masks_that_are_applied_together_are_those_of_their_seeds(
    dtype: str, length: int, at_once: int, mode: CounterMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keystream, "_MASKS_AT_ONCE", at_once)
    total = (np.arange(length) % 251).astype(dtype)
    expected, masks = total.copy(), list[SignedMask]()
    for number in range(8):
        seed = bytes([number]) * 32
        if number % 3:
            masks.append((np.add, Secret(seed)))
            expected += mask_of(seed, total)
        else:
            masks.append((np.subtract, Secret(seed)))
            expected -= mask_of(seed, total)
    keystream.apply_masks(total, masks)
    assert (total == expected).all()


def test_no_masks_change_nothing() -> None:
    total = np.arange(10, dtype="<u4")
    keystream.apply_masks(total, [])
    assert (total == np.arange(10)).all()
