"""Key agreement: the interface that the masking protocols need, and X25519 (RFC 7748).

Masks need an agreement that is not interactive and whose private side can be rebuilt from the bytes of its secret. A
key encapsulation has neither property. So it is not enough to replace X25519 here by a post-quantum agreement.

A protocol's digest does not name the agreement that the protocol uses. So a protocol with another agreement is a
subclass with a name of its own, and states its own wire number and messages.
"""

from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from protocols.crypto.secret import Secret, Uncopyable

_FIELD = 2**255 - 19


class WeakKey(ValueError):
    """A public key with which no agreement is secret, no matter what the private key is; the text says why."""


class KeyPair(Protocol):
    """One party's key pair."""

    @property
    def secret(self) -> Secret:
        """The private key, as `KeyAgreement.from_secret` takes it."""

    @property
    def public(self) -> bytes:
        """The public key, in its one canonical encoding."""

    def agree(self, public: bytes) -> Secret:
        """Return a secret that only the two key holders know; `sealing.derive` makes keys from it.

        Raises:
            WeakKey: The other key agrees on the same value with every private key.
        """


class KeyAgreement(Protocol):
    """A way for two parties to agree on a secret by each other's public key alone."""

    @property
    def public_bytes(self) -> int:
        """Length of a public key, in bytes."""

    @property
    def secret_bytes(self) -> int:
        """Length, in bytes, of a private key: the randomness that a key pair is made and rebuilt from."""

    def from_secret(self, secret: Secret) -> KeyPair:
        """Return the key pair of a private key of `secret_bytes` uniform bytes."""

    def is_canonical(self, public: bytes) -> bool:
        """Return whether these bytes are a public key in its one canonical encoding; it is quick and checks no more."""

    def check(self, public: bytes) -> None:
        """Raise `WeakKey` if `KeyPair.agree` refuses a canonical public key; this is as slow as an agreement."""


class _X25519KeyPair(Uncopyable):
    __slots__ = ("_private", "public", "secret")

    def __init__(self, secret: Secret) -> None:
        self.secret = secret
        self._private = X25519PrivateKey.from_private_bytes(secret.reveal())
        self.public: bytes = self._private.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public.hex()})"

    def agree(self, public: bytes) -> Secret:
        try:
            return Secret(self._private.exchange(X25519PublicKey.from_public_bytes(public)))
        except ValueError:
            raise WeakKey("a key of low order") from None


class _X25519:
    public_bytes: Final = 32
    secret_bytes: Final = 32

    def from_secret(self, secret: Secret) -> _X25519KeyPair:
        return _X25519KeyPair(secret)

    def is_canonical(self, public: bytes) -> bool:
        # RFC 7748 has several encodings for the same coordinate.
        return len(public) == self.public_bytes and int.from_bytes(public, "little") < _FIELD

    def check(self, public: bytes) -> None:
        _PROBE.agree(public)


_PROBE: Final = _X25519KeyPair(Secret(bytes(_X25519.secret_bytes)))

X25519: Final[KeyAgreement] = _X25519()
"""X25519. Weak keys are those of low order (RFC 7748, section 6.1)."""
