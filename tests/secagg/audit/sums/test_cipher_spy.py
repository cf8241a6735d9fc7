from collections.abc import Iterator

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from protocols import SecAgg
from protocols.crypto import keystream
from protocols.crypto.counter_mode import VARIABLE, CounterMode, mode_of_long_streams
from protocols.crypto.keystream import CHUNK_BYTES, LONG_BYTES, Keystream
from protocols.crypto.secret import Secret
from secagg.audit.sums.cipher_spy import CipherSpy
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.recorded import record, tapes_of
from secagg.audit.sums.subject import SumSubject

KEY = bytes(range(32))


@pytest.fixture(params=list(CounterMode))
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[CounterMode]:
    """The mode of long keystreams, for the time of a test."""
    mode: CounterMode = request.param
    monkeypatch.setenv(VARIABLE, mode)
    mode_of_long_streams.cache_clear()
    yield mode
    mode_of_long_streams.cache_clear()


def test_keystreams_are_noted_and_unchanged() -> None:
    expected, spy = Keystream(Secret(KEY)).read(100), CipherSpy()
    with spy.watching():
        stream = Keystream(Secret(KEY))
        head, buffer = stream.read(60), bytearray(40)
        stream.fill(memoryview(buffer))
    assert head + buffer == expected
    (seen,) = spy.expansions
    assert (seen.key, seen.counter, bytes(seen.words)) == (KEY, 0, expected)
    assert seen.place.endswith("test_keystreams_are_noted_and_unchanged")
    assert Keystream(Secret(KEY)).read(100) == expected
    assert len(spy.expansions) == 1


def test_keystreams_overlap_if_they_share_a_block() -> None:
    spy = CipherSpy()
    with spy.watching():
        for key, counter, size in ((KEY, 0, 33), (KEY, 2, 1), (KEY, 3, 1), (bytes(32), 0, 33), (KEY, 0, 0)):
            Cipher(algorithms.AES256(key), modes.CTR(counter.to_bytes(16, "big"))).encryptor().update(bytes(size))
    first, *others = spy.expansions
    assert [first.overlaps(other) for other in others] == [True, False, False, False]


def test_sealed_texts_are_noted_and_open_again() -> None:
    spy = CipherSpy()
    with spy.watching():
        for kind in (AESGCM, ChaCha20Poly1305):
            cipher = kind(KEY)
            assert cipher.decrypt(bytes(12), cipher.encrypt(bytes(12), b"text", b"bound"), b"bound") == b"text"
        encryptor = Cipher(algorithms.AES256(KEY), modes.CBC(bytes(16))).encryptor()
        sealed = encryptor.update(b"sixteen bytes ..") + encryptor.finalize()
        assert Cipher(algorithms.AES256(KEY), modes.CTR(bytes(16))).encryptor().update(b"masked") != b"masked"
    decryptor = Cipher(algorithms.AES256(KEY), modes.CBC(bytes(16))).decryptor()
    assert decryptor.update(sealed) + decryptor.finalize() == b"sixteen bytes .."
    assert [(each.plaintext, each.bound) for each in spy.sealings] == [
        (b"text", b"bound"),
        (b"text", b"bound"),
        (b"sixteen bytes ..", b""),
        (b"masked", b""),
    ]


def test_steered_keystream_begins_as_told_for_both_readers() -> None:
    expected, spy = Keystream(Secret(KEY)).read(64), CipherSpy(steer=lambda key: key[:5])
    with spy.watching():
        one, other = Keystream(Secret(KEY)), Keystream(Secret(KEY))
        assert one.read(3) + one.read(61) == other.read(64) == KEY[:5] + expected[5:]


def test_parties_and_steps_are_noted() -> None:
    cohort, spy = SumSubject.suggested(SecAgg).cohort(3, length=2), CipherSpy()
    with spy.watching():
        record(cohort, random_inputs(cohort, b"inputs"), tapes_of(b"seed"), watcher=spy)
    masks = [each for each in spy.expansions if each.moment.step == "mask_input"]
    assert [each.moment.party for each in masks] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert {each.moment.party for each in spy.expansions if each.moment.step == "end of reveal_shares"} == {None}
    assert len(spy.sealings) == 6


def test_long_keystream_is_noted_as_one_in_both_modes(mode: CounterMode) -> None:
    expected, spy = Keystream(Secret(KEY)).read(CHUNK_BYTES + 100), CipherSpy()
    with spy.watching():
        stream = Keystream(Secret(KEY), expected_bytes=LONG_BYTES)
        head, buffer = stream.read(100), bytearray(CHUNK_BYTES)
        stream.fill(memoryview(buffer))
    assert head + buffer == expected
    (seen,) = spy.expansions
    assert (seen.key, seen.counter, bytes(seen.words)) == (KEY, 0, expected)
    assert seen.place.endswith("test_long_keystream_is_noted_as_one_in_both_modes")
    assert not spy.sealings


def test_trial_of_the_modes_is_not_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    mode_of_long_streams.cache_clear()
    spy = CipherSpy()
    with spy.watching():
        Keystream(Secret(KEY), expected_bytes=LONG_BYTES).read(LONG_BYTES)
    assert [each.key for each in spy.expansions] == [KEY]


def test_long_keystream_that_is_expanded_twice_overlaps(mode: CounterMode) -> None:
    """Also where both readers take turns: each reads the blocks of CTR before the other reads those of GCM."""
    spy = CipherSpy()
    with spy.watching():
        readers = [Keystream(Secret(KEY), expected_bytes=LONG_BYTES) for _ in range(2)]
        for size in (32, 10, 1000):
            assert len({reader.read(size) for reader in readers}) == 1
    one, other = spy.expansions
    assert one.overlaps(other)
    assert one.words == other.words
    assert len(one.words) == 1042


def test_long_steered_keystream_begins_as_told(mode: CounterMode) -> None:
    expected, spy = Keystream(Secret(KEY)).read(LONG_BYTES), CipherSpy(steer=lambda key: 2 * key)
    with spy.watching():
        stream = Keystream(Secret(KEY), expected_bytes=LONG_BYTES)
        assert stream.read(5) + stream.read(LONG_BYTES - 5) == 2 * KEY + expected[64:]


def test_masks_that_are_applied_together_are_noted_each_for_their_caller(mode: CounterMode) -> None:
    seeds, spy, total = [bytes([number]) * 32 for number in range(5)], CipherSpy(), np.zeros(LONG_BYTES, dtype="<u1")
    with spy.watching():
        keystream.apply_masks(total, [(np.add, Secret(seed)) for seed in seeds])
    assert [each.key for each in spy.expansions] == seeds
    assert {len(each.words) for each in spy.expansions} == {LONG_BYTES}
    assert {each.place.rpartition(".")[2] for each in spy.expansions} == {
        "test_masks_that_are_applied_together_are_noted_each_for_their_caller"
    }
    assert (total == sum(np.frombuffer(each.words, dtype="<u1") for each in spy.expansions)).all()


def test_keystream_of_gcm_alone_is_noted_from_its_first_block() -> None:
    spy, nonce = CipherSpy(), bytes(11) + b"\x01"
    with spy.watching():
        Cipher(algorithms.AES256(KEY), modes.GCM(nonce)).encryptor().update(bytes(20))
    (seen,) = spy.expansions
    assert (seen.key, seen.counter, len(seen.words)) == (KEY, 2**32 + 2, 20)


@pytest.mark.parametrize("text", [b"text", bytes(20), bytes(16) + b"text"])
def test_gcm_that_makes_a_tag_is_a_sealing_and_no_keystream(text: bytes) -> None:
    spy = CipherSpy()
    with spy.watching():
        head = Keystream(Secret(KEY)).read(32)
        context = Cipher(algorithms.AES256(KEY), modes.GCM(bytes(12))).encryptor()
        context.authenticate_additional_data(b"bound")
        buffer = bytearray(len(text[16:]))
        sealed = context.update(text[:16]) + bytes(buffer[: context.update_into(text[16:], buffer)])
        sealed += context.finalize() + context.tag
    assert AESGCM(KEY).decrypt(bytes(12), sealed, b"bound") == text
    assert [bytes(each.words) for each in spy.expansions] == [head]
    assert text in [each.plaintext for each in spy.sealings]
