"""Sealing: keys by HKDF-SHA256 (RFC 5869), messages under AES-256-GCM (NIST SP 800-38D).

Between parties, every derived key is bound to a `context`, which the caller makes from the session digest, a purpose
and the ids of the two parties. So a key serves one direction of one purpose in one session, and one fixed nonce is
enough for `seal`. `seal_with_nonce` is for a key that seals more than one message.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols.crypto.secret import Secret

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
SEAL_OVERHEAD_BYTES: Final = 16
_NONCE = bytes(NONCE_BYTES)


def derive(secret: Secret, context: bytes) -> Secret:
    """Return 32 bytes derived from a secret by HKDF-SHA256, with `context` as info."""
    hkdf = HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=context)
    return Secret(hkdf.derive(secret.reveal()))


def seal(key: Secret, plaintext: bytes) -> bytes:
    """Encrypt and authenticate one message under a key that seals nothing else."""
    return AESGCM(key.reveal()).encrypt(_NONCE, plaintext, None)


def open_sealed(key: Secret, ciphertext: bytes | memoryview) -> bytes:
    """Return the plaintext of `seal`.

    Raises:
        ValueError: The ciphertext was made under another key or was altered.
    """
    try:
        return AESGCM(key.reveal()).decrypt(_NONCE, ciphertext, None)
    except InvalidTag:
        raise ValueError("a sealed message cannot be authenticated: another key sealed it, or it was altered") from None


def seal_with_nonce(key: Secret, plaintext: bytes, *, nonce: bytes, bound: bytes) -> bytes:
    """Encrypt and authenticate one of several messages under a key.

    Args:
        key: 32 bytes.
        plaintext: The message.
        nonce: 12 random bytes, drawn for this message. A key must seal at most 2^32 messages.
        bound: Bytes that name what the message belongs to; they are needed again to open it.

    Returns:
        The nonce, followed by the ciphertext.
    """
    ciphertext = AESGCM(key.reveal()).encrypt(nonce, plaintext, bound)
    del plaintext  # If the caller does not hold it either, two copies of a large message are enough.
    return nonce + ciphertext


def open_with_nonce(key: Secret, sealed: bytes, *, bound: bytes) -> bytes:
    """Return the plaintext of `seal_with_nonce`.

    Raises:
        ValueError: The message was sealed under another key, is bound to something else, or was altered.
    """
    try:
        return AESGCM(key.reveal()).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except InvalidTag:
        raise ValueError(
            "a sealed message cannot be authenticated: another key sealed it, it is bound to something else, or it was "
            "altered"
        ) from None
