from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from protocols import SecAgg
from protocols.crypto.keystream import Keystream
from protocols.crypto.secret import Secret
from secagg.audit.sums.cipher_spy import CipherSpy
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.recorded import record, tapes_of
from secagg.audit.sums.subject import SumSubject

KEY = bytes(range(32))


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
