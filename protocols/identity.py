"""Long-term Ed25519 identities (RFC 8032), the roster that a client pins, and the signatures of a session.

A roster must reach each client by a way that the server does not control. Every signature is bound to the digest of one
session, to a purpose and to the signer's id, so it is not valid in another session or step.

Adversary: a server that may do anything, and clients that collude with it. It cannot sign for a client of the roster
that does not collude with it. (A client that enrols a key of low order counts as colluding: anyone can sign for such a
key.)
"""

import os
from collections.abc import ItemsView, Iterable, Iterator, Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocols.crypto.integers import shown
from protocols.crypto.secret import Secret, Uncopyable
from protocols.errors import NotSigned, ParameterError, RemoteError

PUBLIC_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_SECRET_BYTES: Final = 32
_DOMAIN: Final = b"secagg signature v1"
PURPOSE_BYTES: Final = 8


class Identity(Uncopyable):
    """A client's long-term signing key.

    Args:
        secret: The private key, 32 uniform bytes (RFC 8032, section 5.1.5), from `generate` or from a key file.
    """

    __slots__ = ("_private", "public", "secret")

    def __init__(self, secret: Secret) -> None:
        if type(secret) is not Secret or len(secret.reveal()) != _SECRET_BYTES:
            raise ParameterError(f"identity: expected a Secret of {_SECRET_BYTES} bytes, found another value")
        self.secret = secret
        self._private = Ed25519PrivateKey.from_private_bytes(secret.reveal())
        self.public: bytes = self._private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> "Identity":
        """Return a new identity, drawn from the operating system's randomness."""
        return cls(Secret(os.urandom(_SECRET_BYTES)))

    def sign(self, statement: bytes) -> bytes:
        """Return a signature, 64 bytes, over a statement made by `Signatures`."""
        return self._private.sign(statement)

    def __repr__(self) -> str:
        return f"Identity(public={self.public.hex()})"


class Roster(Mapping[int, bytes]):
    """Public identity keys by client id; immutable.

    Args:
        keys: 32 bytes for each client, all different.

    Raises:
        ParameterError: An id or a key is not valid, or two clients have the same key.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if any(type(client) is not int or client < 0 for client in keys):
            raise ParameterError("roster: expected client ids that are ints of at least 0, found another")
        if any(type(key) is not bytes or len(key) != PUBLIC_BYTES for key in keys.values()):
            raise ParameterError(f"roster: expected keys of {PUBLIC_BYTES} bytes each, found another value")
        if len(set(keys.values())) != len(keys):
            raise ParameterError("roster: expected a different key for each client, found one key twice")
        self._keys = dict(sorted(keys.items()))

    def __getitem__(self, client: int) -> bytes:
        return self._keys[client]

    def __iter__(self) -> Iterator[int]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def items(self) -> ItemsView[int, bytes]:
        """Return the clients with their keys, ascending, as fast as a dictionary does."""
        return self._keys.items()

    def __hash__(self) -> int:
        return hash(tuple(self._keys.items()))

    def __repr__(self) -> str:
        return f"Roster(<{len(self._keys)} clients>)"

    def of(self, clients: Iterable[int]) -> "Roster":
        """Return the roster of these clients only.

        Raises:
            ParameterError: One of them is not in the roster.
        """
        chosen = tuple(clients)
        missing = [client for client in chosen if client not in self._keys]
        if missing:
            raise ParameterError(f"{len(missing)} clients are not in the roster, client {shown(missing[0])} among them")
        return Roster({client: self._keys[client] for client in chosen})


class Signatures:
    """The signer and verifier of one session's statements. Without a roster every signature is empty.

    Args:
        digest: The session's digest, 32 bytes.
        roster: The session's identities, or None if the server is trusted to pass on keys.
    """

    __slots__ = ("_prefix", "_roster")

    def __init__(self, digest: bytes, roster: Roster | None) -> None:
        self._prefix = _DOMAIN + digest
        self._roster = roster

    def sign(self, identity: Identity | None, *, client: int, purpose: bytes, payload: bytes) -> bytes:
        """Return the client's signature over a payload; `purpose` has 8 bytes."""
        if identity is None:
            return b""
        return identity.sign(self._statement(client, purpose, payload))

    def check(self, signature: bytes, *, client: int, purpose: bytes, payload: bytes) -> None:
        """Check that this client has signed this payload for this purpose in this session.

        Raises:
            NotSigned: The client has not signed it.
            RemoteError: There is no roster, and the signature is not empty.
        """
        if self._roster is None:
            if signature:
                raise RemoteError("signature: expected none in a session without a roster, found one")
            return
        key = Ed25519PublicKey.from_public_bytes(self._roster[client])
        try:
            key.verify(signature, self._statement(client, purpose, payload))
        except InvalidSignature:
            raise NotSigned(f"not signed by client {client} for this purpose in this session") from None

    def _statement(self, client: int, purpose: bytes, payload: bytes) -> bytes:
        if len(purpose) != PURPOSE_BYTES:
            raise ParameterError(f"purpose: expected {PURPOSE_BYTES} bytes, found {len(purpose)}")
        return self._prefix + purpose + client.to_bytes(4, "big") + payload
