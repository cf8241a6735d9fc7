"""The key schedule of pairwise masking: every derived key and commitment, each bound to the session's digest.

Keys are HKDF-SHA256 (RFC 5869), the commitment is SHA-256.  Their input is unambiguous: a fixed prefix, the digest, a
purpose of fixed length, two client ids as 32-bit integers, and for shares the four public keys of the two clients.
"""

import hashlib

from protocols.crypto import keys
from protocols.crypto.secret import Secret

COMMITMENT_BYTES = 32


class Schedule:
    """Derivations for one session.

    Args:
        digest: The session's digest, 32 bytes.
    """

    __slots__ = ("_prefix",)

    def __init__(self, digest: bytes) -> None:
        self._prefix = b"secagg pairwise v1" + digest

    def share_key(self, channel: Secret, *, sender: tuple[int, bytes], receiver: tuple[int, bytes]) -> Secret:
        """The key that seals the shares from one client to another.

        Args:
            channel: The X25519 agreement of their sealing keys.
            sender: Id, and both public keys, 64 bytes.
            receiver: Likewise.
        """
        return keys.derive(channel, self._info(b"share", sender[0], receiver[0]) + sender[1] + receiver[1])

    def pair_mask(self, shared: Secret, *, one: int, other: int) -> Secret:
        """The seed of the mask between two clients, whichever of them asks."""
        return keys.derive(shared, self._info(b"pairs", min(one, other), max(one, other)))

    def self_mask(self, seed: Secret, *, owner: int) -> Secret:
        """The seed of a client's self-mask, from the secret that it shared."""
        return keys.derive(seed, self._info(b"alone", owner, owner))

    def commitment(self, seed: Secret, *, owner: int) -> bytes:
        """32 bytes that bind a client to its self-mask's secret; hiding, since the secret is uniform."""
        return hashlib.sha256(self._info(b"bound", owner, owner) + seed.reveal()).digest()

    def _info(self, purpose: bytes, one: int, other: int) -> bytes:
        return self._prefix + purpose + one.to_bytes(4, "big") + other.to_bytes(4, "big")
