"""Hybrid public-key encryption (HPKE) of one message to one key that only its owner can decrypt with.

Sources: RFC 9180 (sections 5.1.1 and 6.1: base mode, single shot), with the KEM MLKEM768-X25519 (0x647a), the KDF
HKDF-SHA256 (0x0001) and the AEAD AES-256-GCM (0x0002). The KEM is that of draft-ietf-hpke-pq (section 4, "Hybrid KEMs
with ECDH and ML-KEM"; read in its working copy of 2026-04-17, after version 04). It is the same as X-Wing
(draft-connolly-cfrg-xwing-kem): ML-KEM-768 (FIPS 203) and X25519 (RFC 7748), whose secrets are hashed together by
SHA3-256. The arithmetic is that of the package `cryptography`, version 49 or later. Its randomness is the operating
system's and cannot be chosen.

Adversary: anyone who sees many public keys and boxes, and can have other boxes opened. A box stays secret if ML-KEM-768
or X25519 does. `info` is authenticated: a box can be opened only under the `info` that it was made with. Nobody is
authenticated by a box, since anyone can make one.

Departures: `check` refuses more public keys than the drafts do: an X25519 key that is not in its canonical encoding has
a second encoding, and would be another key by its bytes only.
"""

import hashlib
import os
from typing import Final

import cryptography
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from protocols.crypto.key_agreement import X25519, WeakKey
from protocols.crypto.secret import Secret, Uncopyable
from protocols.errors import ParameterError

try:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
    from cryptography.hazmat.primitives.hpke import (
        AEAD,
        KDF,
        KEM,
        MLKEM768X25519PrivateKey,
        MLKEM768X25519PublicKey,
        Suite,
    )
except ImportError:  # All other protocols need an earlier version only.
    _IS_HERE = False
else:
    _IS_HERE = True

SECRET_BYTES: Final = 32
PUBLIC_BYTES: Final = 1216
BOX_OVERHEAD_BYTES: Final = 1136
"""By how much a box is longer than what is in it: 1120 bytes of encapsulation, and a tag of 16 bytes."""

_LATTICE_BYTES: Final = 1184
_LATTICE_SEED_BYTES: Final = 64


class MissingHpke(ParameterError, ImportError):
    """The installed version of the package `cryptography` has no HPKE with ML-KEM-768."""


class UnusableKey(ValueError):
    """A public key to which nothing can be encrypted safely, no matter who holds the private key."""


class BoxNotOpened(ValueError):
    """A box that cannot be decrypted: made for another key or another `info`, altered, or no box at all."""


class HpkeKey(Uncopyable):
    """A private key: repr redacted, not picklable.

    Args:
        secret: 32 uniform bytes, from which the ML-KEM and the X25519 key are derived: the serialised private key of
            the drafts. From `generate`, or from a key file.

    Attributes:
        secret: As given.
        public: The public key, 1216 bytes: that of ML-KEM-768, then that of X25519.

    Raises:
        ValueError: `secret` is anything other than a `Secret` of 32 bytes.
        MissingHpke: `cryptography` is older than version 49.
    """

    __slots__ = ("_private", "public", "secret")

    def __init__(self, secret: Secret) -> None:
        if type(secret) is not Secret or len(secret.reveal()) != SECRET_BYTES:
            raise ValueError(f"HPKE key: expected a Secret of {SECRET_BYTES} bytes, found another value")
        _check_installed()
        # This is expandDecapsulationKey of X-Wing.
        expanded = hashlib.shake_256(secret.reveal()).digest(_LATTICE_SEED_BYTES + 32)
        lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:_LATTICE_SEED_BYTES])
        curve = X25519PrivateKey.from_private_bytes(expanded[_LATTICE_SEED_BYTES:])
        self.secret = secret
        self.public: bytes = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        self._private = MLKEM768X25519PrivateKey(lattice, curve)

    @classmethod
    def generate(cls) -> "HpkeKey":
        """Return a new key, drawn from the operating system's randomness."""
        return cls(Secret(os.urandom(SECRET_BYTES)))

    def __repr__(self) -> str:
        return f"HpkeKey(<secret>, public={hashlib.sha256(self.public).hexdigest()[:16]})"

    def open(self, info: bytes, box: bytes) -> bytes:
        """Return what `seal` put into a box.

        Args:
            info: The bytes that the box was bound to.
            box: 1136 bytes more than its content.

        Raises:
            BoxNotOpened: The box was made for another key or another `info`, was altered, or is too short.
        """
        if len(box) < BOX_OVERHEAD_BYTES:
            raise BoxNotOpened(f"box: expected at least {BOX_OVERHEAD_BYTES} bytes, found {len(box)}")
        try:
            return _suite().decrypt(box, self._private, info)
        except (InvalidTag, ValueError):  # A ValueError: its X25519 key is of low order.
            raise BoxNotOpened(
                "box: expected one that was made for this key and this use, found one that cannot be decrypted. It was "
                "made for another, or it was altered."
            ) from None


def check(public: bytes) -> None:
    """Check that messages can be encrypted to a public key: a safe one, in its canonical encoding.

    It cannot tell who knows the private key.

    Raises:
        UnusableKey: The length is another one; the ML-KEM part has an integer of 3329 or more (FIPS 203, section 7.2,
            "modulus check"); or the X25519 part is not canonical, or of low order (RFC 7748, section 6.1).
        MissingHpke: `cryptography` is older than version 49.
    """
    _parse(public)
    curve = public[_LATTICE_BYTES:]
    if not X25519.is_canonical(curve):
        raise UnusableKey("HPKE public key: expected an X25519 key in its canonical encoding, found another encoding")
    try:
        X25519.check(curve)
    except WeakKey:
        raise UnusableKey("HPKE public key: expected an X25519 key of full order, found one of low order") from None


def seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Return a box: a message encrypted to a public key and bound to `info`.

    Args:
        public: The public key, 1216 bytes.
        info: Bytes that name what the box is for; they are needed again to open it.
        plaintext: The message.

    Returns:
        1120 bytes of encapsulation, then the ciphertext, which is 16 bytes longer than the message.

    Raises:
        UnusableKey: Nothing can be encrypted to the key; see `check`, which refuses more.
        MissingHpke: `cryptography` is older than version 49.
    """
    lattice, curve = _parse(public)
    try:
        return _suite().encrypt(plaintext, MLKEM768X25519PublicKey(lattice, curve), info)
    except ValueError:
        raise UnusableKey("HPKE public key: expected an X25519 key of full order, found one of low order") from None


def _suite() -> "Suite":
    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _check_installed() -> None:
    if not _IS_HERE:
        raise MissingHpke(
            "cryptography: expected version 49 or later, which has HPKE with ML-KEM-768, found version "
            f"{cryptography.__version__}. The protocol seeds needs it. Install cryptography>=49."
        )


def _parse(public: bytes) -> "tuple[MLKEM768PublicKey, X25519PublicKey]":
    _check_installed()
    if type(public) is not bytes or len(public) != PUBLIC_BYTES:
        found = f"{len(public)}" if type(public) is bytes else f"a {type(public).__name__}"
        raise UnusableKey(f"HPKE public key: expected {PUBLIC_BYTES} bytes, found {found}")
    try:
        lattice = MLKEM768PublicKey.from_public_bytes(public[:_LATTICE_BYTES])
    except ValueError:
        raise UnusableKey(
            "HPKE public key: expected an ML-KEM-768 key of integers modulo 3329, found a number of 3329 or more"
        ) from None
    return lattice, X25519PublicKey.from_public_bytes(public[_LATTICE_BYTES:])
