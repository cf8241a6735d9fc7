"""HPKE: what is sealed, who can open it, and which keys are refused.

The vector in `tests/vectors/hpke` was recorded from this code. So `opened_by_hand` opens it again, with ML-KEM and
X25519 of the package `cryptography`, and with the combiner and the key schedule written out here from the texts. It was
also run once over the vectors of draft-ietf-hpke-pq (hpkewg/hpke-pq, commit 74dafaa, test-vectors.json), which this
repository does not copy. It found the public key, shared secret, key, nonce and first plaintext that they list.
"""

import copy
import hashlib
import hmac
import json
import pickle
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocols.crypto.hpke import (
    BOX_OVERHEAD_BYTES,
    PUBLIC_BYTES,
    SECRET_BYTES,
    BoxNotOpened,
    HpkeKey,
    UnusableKey,
    check,
    seal,
)
from protocols.crypto.secret import Secret
from tests.vectors.recorded import VECTORS

RECORDED: Final[dict[str, str]] = json.loads((VECTORS / "hpke" / "box.json").read_text())
KEY: Final = HpkeKey(Secret(bytes.fromhex(RECORDED["secret"])))
LATTICE_BYTES, KEM_BYTES, PRIME = 1184, 1088, 2**255 - 19
INFO, MESSAGE = b"info", b"a message"
LABEL: Final = bytes.fromhex("5c2e2f2f5e5c")
LOW_ORDER: Final = (  # All points of RFC 7748's curve and of its twist whose order divides 8, in canonical encoding.
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    PRIME - 1,
)


def with_curve(coordinate: int) -> bytes:
    return KEY.public[:LATTICE_BYTES] + coordinate.to_bytes(32, "little")


def with_first_coefficient(value: int) -> bytes:
    changed = bytearray(KEY.public)
    changed[0], changed[1] = value & 255, changed[1] & 0xF0 | value >> 8
    return bytes(changed)


def extract(salt: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), material, "sha256")


def expand(key: bytes, info: bytes, size: int) -> bytes:
    blocks = [b""]
    while sum(map(len, blocks)) < size:
        blocks.append(hmac.digest(key, blocks[-1] + info + bytes([len(blocks)]), "sha256"))
    return b"".join(blocks)[:size]


def scheduled(shared: bytes, info: bytes, aead: int) -> tuple[bytes, bytes]:
    """Return key and nonce of base mode (RFC 9180, sections 4 and 5.1)."""
    suite = b"HPKE" + (0x647A).to_bytes(2, "big") + (1).to_bytes(2, "big") + aead.to_bytes(2, "big")

    def labelled(salt: bytes, label: bytes, material: bytes) -> bytes:
        return extract(salt, b"HPKE-v1" + suite + label + material)

    context = b"\0" + labelled(b"", b"psk_id_hash", b"") + labelled(b"", b"info_hash", info)
    secret = labelled(shared, b"secret", b"")

    def derived(label: bytes, size: int) -> bytes:
        return expand(secret, size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context, size)

    return derived(b"key", 32), derived(b"base_nonce", 12)


def shared_secret(secret: bytes, encapsulation: bytes) -> bytes:
    """Return what MLKEM768-X25519 agrees on: both parts' secrets, hashed with the X25519 keys and a label."""
    expanded = hashlib.shake_256(secret).digest(96)
    lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    curve = X25519PrivateKey.from_private_bytes(expanded[64:])
    point = encapsulation[KEM_BYTES:]
    agreed = lattice.decapsulate(encapsulation[:KEM_BYTES]) + curve.exchange(X25519PublicKey.from_public_bytes(point))
    return hashlib.sha3_256(agreed + point + curve.public_key().public_bytes_raw() + LABEL).digest()


def opened_by_hand(secret: bytes, info: bytes, box: bytes) -> bytes:
    key, nonce = scheduled(shared_secret(secret, box[:1120]), info, aead=2)
    return AESGCM(key).decrypt(nonce, box[1120:], None)


def test_recorded_box_opens_and_a_second_implementation_finds_the_same() -> None:
    info, box, plaintext = (bytes.fromhex(RECORDED[name]) for name in ("info", "box", "plaintext"))
    assert hashlib.sha256(KEY.public).hexdigest() == RECORDED["public_sha256"]
    assert KEY.open(info, box) == plaintext
    assert opened_by_hand(KEY.secret.reveal(), info, box) == plaintext


@pytest.mark.parametrize("message", [b"", b"m", bytes(32 * 126)])
def test_box_opens_to_what_was_sealed_and_has_the_stated_length(message: bytes) -> None:
    key = HpkeKey.generate()
    check(key.public)
    boxes = [seal(key.public, INFO, message) for _ in range(2)]
    assert boxes[0] != boxes[1]
    for box in boxes:
        assert len(box) == len(message) + BOX_OVERHEAD_BYTES
        assert key.open(INFO, box) == opened_by_hand(key.secret.reveal(), INFO, box) == message


def test_key_is_rebuilt_from_its_serialised_private_key() -> None:
    key = HpkeKey.generate()
    again = HpkeKey(Secret(key.secret.reveal()))
    assert again.public == key.public
    assert len(key.public) == PUBLIC_BYTES
    assert again.open(INFO, seal(key.public, INFO, MESSAGE)) == MESSAGE
    assert HpkeKey.generate().public != key.public


def test_box_for_another_key_or_use_does_not_open() -> None:
    """An attacker replays a box in another place.

    The key or `info` differs there, so the box must not open.
    """
    box = seal(KEY.public, INFO, MESSAGE)
    with pytest.raises(BoxNotOpened):
        HpkeKey.generate().open(INFO, box)
    for info in (b"", b"inf", b"info\0", b"Info"):
        with pytest.raises(BoxNotOpened):
            KEY.open(info, box)


def test_altered_boxes_do_not_open() -> None:
    box = seal(KEY.public, INFO, MESSAGE)
    for at in (0, 500, KEM_BYTES - 1, KEM_BYTES, 1119, 1120, len(box) - 1):
        with pytest.raises(BoxNotOpened):
            KEY.open(INFO, box[:at] + bytes([box[at] ^ 1]) + box[at + 1 :])
    for wrong in (box[:-1], box + b"\0", box[1:], box[:1120], b"", bytes(len(box))):
        with pytest.raises(BoxNotOpened):
            KEY.open(INFO, wrong)


@pytest.mark.parametrize("coordinate", LOW_ORDER)
def test_box_with_a_point_of_low_order_does_not_open(coordinate: int) -> None:
    box = seal(KEY.public, INFO, MESSAGE)
    with pytest.raises(BoxNotOpened):
        KEY.open(INFO, box[:KEM_BYTES] + coordinate.to_bytes(32, "little") + box[1120:])


@pytest.mark.parametrize("coordinate", LOW_ORDER)
def test_key_of_low_order_is_refused(coordinate: int) -> None:
    with pytest.raises(UnusableKey, match="low order"):
        check(with_curve(coordinate))
    with pytest.raises(UnusableKey, match="low order"):
        seal(with_curve(coordinate), INFO, MESSAGE)


@pytest.mark.parametrize("coordinate", [PRIME, PRIME + 1, PRIME + 9, 2**255 - 1, 2**255 + 9, 2**256 - 1])
def test_second_encoding_of_a_key_is_refused(coordinate: int) -> None:
    with pytest.raises(UnusableKey, match="canonical"):
        check(with_curve(coordinate))


@pytest.mark.parametrize("value", [3329, 3330, 4095])
def test_lattice_key_that_fails_the_modulus_check_is_refused(value: int) -> None:
    check(with_first_coefficient(3328))
    with pytest.raises(UnusableKey, match="3329"):
        check(with_first_coefficient(value))
    with pytest.raises(UnusableKey, match="3329"):
        seal(with_first_coefficient(value), INFO, MESSAGE)


@pytest.mark.parametrize("public", [b"", KEY.public[:-1], KEY.public + b"\0", KEY.public[32:], KEY.public.hex(), None])
def test_key_of_another_length_or_type_is_refused(public: object) -> None:
    with pytest.raises(UnusableKey, match="1216 bytes"):
        check(public)  # type: ignore[arg-type]  # that is the test
    with pytest.raises(UnusableKey, match="1216 bytes"):
        seal(public, INFO, MESSAGE)  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize("secret", [Secret(bytes(31)), Secret(bytes(96)), bytes(SECRET_BYTES), None])
def test_private_key_of_anything_but_a_secret_of_its_length_is_refused(secret: object) -> None:
    with pytest.raises(ValueError, match="Secret of 32 bytes"):
        HpkeKey(secret)  # type: ignore[arg-type]  # that is the test


def test_private_key_shows_nothing_of_itself_and_cannot_be_copied() -> None:
    for shown in (repr(KEY), f"{KEY}"):
        assert KEY.secret.reveal().hex() not in shown
        assert hashlib.sha256(KEY.public).hexdigest()[:16] in shown
        assert len(shown) < 80
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secret"):
            attempt(KEY)
