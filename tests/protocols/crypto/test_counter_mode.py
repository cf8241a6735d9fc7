"""Two modes that give the same counter blocks, against published vectors and against single blocks of AES.

AES-256-CTR: NIST SP 800-38A, F.5.5.  AES-256-GCM: McGrew and Viega, The Galois/Counter Mode of Operation, test cases 13
and 14, which have a key, a nonce and a plaintext of zeros.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from protocols.crypto import counter_mode
from protocols.crypto.counter_mode import VARIABLE, CounterMode, mode_of_long_streams, segments
from protocols.errors import ParameterError
from tests.support.counter_blocks import counter_blocks

KEY = bytes(range(7, 39))


@pytest.fixture(autouse=True)
def undecided(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test finds a process that has not chosen yet, and leaves one."""
    monkeypatch.delenv(VARIABLE, raising=False)
    mode_of_long_streams.cache_clear()
    yield
    mode_of_long_streams.cache_clear()


def read(key: bytes, mode: CounterMode, size: int) -> bytes:
    """Return the first bytes of all segments, joined."""
    found = b""
    for context, left in segments(key, mode):
        found += context.update(bytes(min(left, size - len(found))))
        if len(found) == size:
            return found
    raise AssertionError("the segments end")


def context_from(counter: int) -> CipherContext:
    """Return what GCM would be if its plaintext began with another counter block."""
    return Cipher(algorithms.AES256(bytes(range(32))), modes.CTR(counter.to_bytes(16, "big"))).encryptor()


def test_reference_keystream_matches_nist_vector() -> None:
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    plaintext = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    ciphertext = bytes.fromhex(
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
    )
    stream = counter_blocks(key, int("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", 16), len(plaintext))
    assert bytes(a ^ b for a, b in zip(plaintext, stream, strict=True)) == ciphertext


@pytest.mark.parametrize("mode", CounterMode)
def test_first_blocks_are_those_that_gcm_publishes(mode: CounterMode) -> None:
    """Block 0 is the key of GCM's hash, block 1 the tag of an empty text, block 2 the first ciphertext of zeros."""
    published = "dc95c078a2408989ad48a21492842087530f8afbc74536b9a963b4f1c4cb738bcea7403d4d606b6e074ec5d3baf39d18"
    assert read(bytes(32), mode, 48).hex() == published


@pytest.mark.parametrize("mode", CounterMode)
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 255 * 16, 256 * 16 + 1, 70_000])
def test_both_modes_give_the_blocks_of_aes(mode: CounterMode, size: int) -> None:
    assert read(KEY, mode, size) == counter_blocks(KEY, 0, size)


@pytest.mark.parametrize("mode", CounterMode)
def test_segments_cover_all_counter_blocks_once(mode: CounterMode) -> None:
    sizes = [size for _, size in segments(KEY, mode)]
    assert sum(sizes) == 16 * 2**128
    if mode is CounterMode.GCM:
        assert sizes[:2] == [2 * 16, (2**39 - 256) // 8]  # GCM's longest plaintext, in SP 800-38D section 5.2.1.1.


def test_blocks_beyond_the_longest_plaintext_of_gcm_have_a_counter_of_128_bits() -> None:
    *_, (context, _) = segments(KEY, CounterMode.GCM)
    assert context.update(bytes(64)) == counter_blocks(KEY, 2**32, 64)


@pytest.mark.parametrize("blocks", [0, 1, 2, 9])
def test_stream_goes_on_in_ctr_at_the_limit_of_gcm(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter_mode, "_GCM_BLOCKS", blocks)
    for size in range(33 + 16 * blocks + 33):
        assert read(KEY, CounterMode.GCM, size) == counter_blocks(KEY, 0, size)


def test_first_use_chooses_by_a_trial_and_keeps_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert {*pool.map(lambda _: mode_of_long_streams(), range(2))} <= set(CounterMode)
    chosen = mode_of_long_streams()
    monkeypatch.setattr(counter_mode, "_trial_ns", lambda mode: 1 / 0)
    assert mode_of_long_streams() is chosen


@pytest.mark.parametrize("faster", CounterMode)
def test_mode_that_wins_the_trial_is_chosen(faster: CounterMode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter_mode, "_trial_ns", lambda mode: 1 if mode is faster else 2)
    assert mode_of_long_streams() is faster


@pytest.mark.parametrize("mode", CounterMode)
def test_variable_replaces_the_trial(mode: CounterMode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter_mode, "_trial_ns", lambda mode: 1 / 0)
    monkeypatch.setenv(VARIABLE, mode)
    assert mode_of_long_streams() is mode


@pytest.mark.parametrize("value", ["", "CTR", "gcm ", "auto"])
def test_other_values_of_the_variable_are_refused_at_every_use(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)
    for _ in range(2):
        with pytest.raises(ParameterError, match=f"SECAGG_KEYSTREAM: expected ctr or gcm, found {value!r}"):
            mode_of_long_streams()


@pytest.mark.parametrize("asked", [None, "gcm"])
@pytest.mark.parametrize("counter", [0, 1, 3, 2**32 + 2])
def test_gcm_that_gives_other_blocks_is_never_used(
    counter: int, asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The self-test finds a GCM whose plaintext begins with a counter block other than 2, whatever was asked for."""
    if asked is not None:
        monkeypatch.setenv(VARIABLE, asked)
    monkeypatch.setattr(counter_mode, "_trial_ns", lambda mode: 1 if mode is CounterMode.GCM else 2)
    assert mode_of_long_streams() is CounterMode.GCM
    mode_of_long_streams.cache_clear()
    monkeypatch.setattr(counter_mode, "_gcm", lambda key: context_from(counter))
    assert mode_of_long_streams() is CounterMode.CTR


@pytest.mark.parametrize("start", [1, 3])
def test_gcm_that_is_joined_at_another_block_is_never_used(start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that takes one block or three from CTR before those of GCM fails the self-test, and would be wrong."""
    monkeypatch.setenv(VARIABLE, "gcm")
    monkeypatch.setattr(counter_mode, "_GCM_START", start)
    assert read(KEY, CounterMode.GCM, 100) != counter_blocks(KEY, 0, 100)
    assert mode_of_long_streams() is CounterMode.CTR
