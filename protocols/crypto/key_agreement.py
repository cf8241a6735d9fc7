"""Key agreement: X25519 (RFC 7748)."""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from protocols.crypto.secret import Secret

KEY_BYTES = 32
_FIELD = 2**255 - 19
_PROBE = X25519PrivateKey.from_private_bytes(bytes(KEY_BYTES))


class KeyPair:
    """An X25519 key pair.

    Args:
        secret: The private key, 32 uniform bytes.
    """

    __slots__ = ("_private", "public", "secret")

    def __init__(self, secret: Secret) -> None:
        self.secret = secret
        self._private = X25519PrivateKey.from_private_bytes(secret.reveal())
        self.public: bytes = self._private.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public.hex()})"

    def agree(self, public: bytes) -> Secret:
        """The 32 bytes that only the two key holders know; keys are made from it by `sealing.derive`.

        Raises:
            ValueError: `public` is not 32 bytes, or a point of low order (RFC 7748, section 6.1).
        """
        return Secret(self._private.exchange(X25519PublicKey.from_public_bytes(public)))


def is_public_key(data: bytes) -> bool:
    """Whether these bytes are a coordinate in its one canonical encoding; RFC 7748 has several for the same point."""
    return len(data) == KEY_BYTES and int.from_bytes(data, "little") < _FIELD


def is_low_order(public: bytes) -> bool:
    """Whether 32 bytes are a public key with which no private key agrees on anything secret (RFC 7748, section 6.1)."""
    try:
        _PROBE.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return True
    return False
