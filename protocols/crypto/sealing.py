"""Sealing: keys by HKDF-SHA256 (RFC 5869), messages under AES-256-GCM (NIST SP 800-38D).

Every derived key is bound to a `context`, which the caller makes from the session digest, a purpose and the ids of
the two parties; so a key serves one direction of one purpose in one session, and one fixed nonce is enough.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols.crypto.secret import Secret

KEY_BYTES = 32
SEAL_OVERHEAD_BYTES = 16
_NONCE = bytes(12)


def derive(secret: Secret, context: bytes) -> Secret:
    """32 bytes from a secret by HKDF-SHA256, with `context` as info."""
    hkdf = HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=context)
    return Secret(hkdf.derive(secret.reveal()))


def seal(key: Secret, plaintext: bytes) -> bytes:
    """Encrypt and authenticate one message under a key that seals nothing else."""
    return AESGCM(key.reveal()).encrypt(_NONCE, plaintext, None)


def open_sealed(key: Secret, ciphertext: bytes | memoryview) -> bytes:
    """The plaintext of `seal`.

    Raises:
        ValueError: The ciphertext was made under another key, or was altered.
    """
    try:
        return AESGCM(key.reveal()).decrypt(_NONCE, ciphertext, None)
    except InvalidTag:
        raise ValueError("a sealed message does not authenticate") from None
