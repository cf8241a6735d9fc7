"""The key schedule of pairwise masking: every derived key, commitment and fingerprint, each bound to the session.

Keys are HKDF-SHA256 (RFC 5869), everything public is SHA-256. Inputs are unambiguous: a fixed prefix, the session's
digest, the root of its key directory, a purpose of fixed length, two client ids as 32-bit integers, and then values
whose length the session fixes. The root is a hash of everyone's public keys, so two clients derive the same keys only
if they received the same directory.
"""

import hashlib

from protocols.crypto import sealing
from protocols.crypto.secret import Secret
from protocols.crypto.shamir import SHARE_BYTES

HASH_BYTES = 32
ABSENT = bytes(HASH_BYTES)
"""The leaf of a client that has not advertised keys."""

_PREFIX = b"secagg pairwise v2"


def leaf(digest: bytes, *, client: int, advertised: bytes) -> bytes:
    """Return a client's entry in the key directory.

    Args:
        digest: The session's digest, 32 bytes.
        client: The client's id.
        advertised: The client's public keys and its signature, if there is one.
    """
    return hashlib.sha256(_PREFIX + digest + b"leaf." + client.to_bytes(4, "big") + advertised).digest()


def root(digest: bytes, leaves: bytes) -> bytes:
    """Return 32 bytes that identify the whole key directory and seed the order of the graph.

    Args:
        digest: The session's digest, 32 bytes.
        leaves: 32 bytes for each client of the session, in its order; `ABSENT` for a client without keys.
    """
    return hashlib.sha256(_PREFIX + digest + b"root." + leaves).digest()


class Schedule:
    """The derivations for one session with one key directory.

    Args:
        digest: The session's digest, 32 bytes.
        root: The directory's root, 32 bytes.
    """

    __slots__ = ("_prefix",)

    def __init__(self, digest: bytes, root: bytes) -> None:
        self._prefix = _PREFIX + digest + root

    def view(self, members: bytes) -> bytes:
        """Return 32 bytes that identify the directory and the bitmap of who has shared, which decide all masks."""
        return hashlib.sha256(self._prefix + b"view." + members).digest()

    def share_key(self, channel: Secret, *, sender: int, receiver: int, fingerprints: bytes) -> Secret:
        """Return the key that seals only the shares with these fingerprints, from one client to another.

        So a key seals one plaintext only, even if a client is restored from an old snapshot and deals again.

        Args:
            channel: The secret agreed with their sealing keys.
            sender: Id of the client that deals the shares.
            receiver: Id of the client that holds them.
            fingerprints: Fingerprints of the shares.
        """
        return sealing.derive(channel, self._info(b"share", sender, receiver) + fingerprints)

    def pair_mask(self, shared: Secret, *, one: int, other: int) -> Secret:
        """Return the seed of the mask between two clients, in either order, from the secret of their masking keys."""
        return sealing.derive(shared, self._info(b"pairs", min(one, other), max(one, other)))

    def self_mask(self, seed: Secret, *, owner: int) -> Secret:
        """Return the key of a client's self-mask, from the seed that the client shared."""
        return sealing.derive(seed, self._info(b"alone", owner, owner))

    def dealing(self, secret: Secret, *, owner: int) -> Secret:
        """Return the seed of a client's polynomials; under another directory it is another seed."""
        return sealing.derive(secret, self._info(b"deals", owner, owner))

    def commitment(self, secret: Secret, *, owner: int, index: int) -> bytes:
        """Return 32 bytes that bind a client to a secret that it shared; hiding, since the secret is uniform.

        Args:
            secret: The secret, 32 bytes.
            owner: Id of the client that shared it.
            index: 0 for the self-mask's seed, i + 1 for the i-th attached secret.
        """
        return hashlib.sha256(self._info(b"bound", owner, index) + secret.reveal()).digest()

    def fingerprints(self, shares: bytes, *, owner: int, holder: int) -> bytes:
        """Return 32 bytes for each share that an owner deals to one holder, in order; hiding, since a share is uniform.

        Args:
            shares: The shares, 33 bytes each, joined.
            owner: Id of the client whose secrets are shared.
            holder: Id of the client that holds these shares.
        """
        prefix = self._info(b"piece", owner, holder)
        return b"".join(
            hashlib.sha256(prefix + bytes([index]) + shares[start : start + SHARE_BYTES]).digest()
            for index, start in enumerate(range(0, len(shares), SHARE_BYTES))
        )

    def fingerprint(self, share: bytes, *, owner: int, holder: int, index: int) -> bytes:
        """Return the fingerprint of the one share with this index."""
        return hashlib.sha256(self._info(b"piece", owner, holder) + bytes([index]) + share).digest()

    def _info(self, purpose: bytes, one: int, other: int) -> bytes:
        return self._prefix + purpose + one.to_bytes(4, "big") + other.to_bytes(4, "big")
