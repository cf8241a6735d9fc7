"""How a node shows which id of the roster it has: it signs a query with the identity of that id.

A transport knows its nodes by ids of its own. A query names the run, and the transport's id of the node that is asked,
and has a nonce that no other query has. The node signs all of it, and its own id, with its Ed25519 identity. So nobody
can claim an id without its key, and no claim is worth anything in answer to another query.

Adversary: nodes that answer anything, and anyone who has read earlier claims. A server that deviates can claim any id
to itself; what it can do is the protocol's.
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocols.crypto.entropy import Entropy, draw
from protocols.identity import SIGNATURE_BYTES, Identity

_DOMAIN: Final = b"secagg node claim v1"
_QUERY: Final = struct.Struct(">20s32s32sQ")
"""The domain, a nonce, SHA-256 of the run's name, and the transport's id of the node."""

_CLAIM: Final = struct.Struct(f">I{SIGNATURE_BYTES}s")
_NONCE_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A server's question to a node which id it has.

    Attributes:
        nonce: 32 bytes.
        run: SHA-256 of the name of the run.
        address: The transport's id of the node, in [0, 2^64 - 1].
    """

    nonce: bytes
    run: bytes
    address: int

    @classmethod
    def new(cls, run: str, address: int, *, entropy: Entropy) -> "Query":
        """Return a query that no other one is equal to."""
        digest = hashlib.sha256(run.encode()).digest()
        return cls(nonce=draw(entropy, _NONCE_BYTES), run=digest, address=address)

    @classmethod
    def of(cls, data: bytes) -> "Query | None":
        """Return the query that these bytes are; None if they are something else. No parcel is a query."""
        if len(data) != _QUERY.size or not data.startswith(_DOMAIN):
            return None
        _, nonce, run, address = _QUERY.unpack(data)
        return cls(nonce=nonce, run=run, address=address)

    def to_bytes(self) -> bytes:
        """Return the bytes of the query."""
        return _QUERY.pack(_DOMAIN, self.nonce, self.run, self.address)

    def claim(self, identity: Identity, node: int) -> bytes:
        """Return the answer of a node: its id, and the signature of its identity."""
        return _CLAIM.pack(node, identity.sign(self._statement(node)))

    def claimant(self, answer: bytes, roster: Mapping[int, bytes]) -> int | None:
        """Return the id of the node that has given an answer; None if no node of the roster has signed it."""
        if len(answer) != _CLAIM.size:
            return None
        node, signature = _CLAIM.unpack(answer)
        key = roster.get(node)
        if key is None:
            return None
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, self._statement(node))
        except InvalidSignature:
            return None
        return int(node)

    def _statement(self, node: int) -> bytes:
        """Return what a node signs: fields of fixed width, after the domain."""
        return self.to_bytes() + node.to_bytes(4, "big")
