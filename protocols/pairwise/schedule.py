"""The key schedule of pairwise masking: every derived key, commitment and fingerprint, each bound to the session.

Keys are HKDF-SHA256 (RFC 5869), everything public is SHA-256.  Inputs are unambiguous: a fixed prefix, the session's
digest, the root of its key directory, a purpose of fixed length, two client ids as 32-bit integers, and then values
whose length the session fixes.  The root stands for everyone's public keys, so two clients derive the same keys only
where they were shown the same directory.
"""

import hashlib

from protocols.crypto import sealing
from protocols.crypto.secret import Secret
from protocols.crypto.shamir import SHARE_BYTES

HASH_BYTES = 32
ABSENT = bytes(HASH_BYTES)
"""The leaf of a client that has advertised no keys."""

_PREFIX = b"secagg pairwise v2"


def leaf(digest: bytes, *, client: int, advertised: bytes) -> bytes:
    """A client's entry in the key directory.

    Args:
        digest: The session's digest, 32 bytes.
        client: Its id.
        advertised: Its public keys and, where there is one, its signature.
    """
    return hashlib.sha256(_PREFIX + digest + b"leaf." + client.to_bytes(4, "big") + advertised).digest()


def root(digest: bytes, leaves: bytes) -> bytes:
    """32 bytes that stand for the whole key directory, and seed the order of the graph.

    Args:
        digest: The session's digest, 32 bytes.
        leaves: One of 32 bytes for each client of the session, in its order; `ABSENT` for who is not there.
    """
    return hashlib.sha256(_PREFIX + digest + b"root." + leaves).digest()


class Schedule:
    """Derivations for one session with one key directory.

    Args:
        digest: The session's digest, 32 bytes.
        root: The directory's root, 32 bytes.
    """

    __slots__ = ("_prefix",)

    def __init__(self, digest: bytes, root: bytes) -> None:
        self._prefix = _PREFIX + digest + root

    def view(self, members: bytes) -> bytes:
        """32 bytes that stand for the directory and for who has shared, a bitmap: what decides all masks."""
        return hashlib.sha256(self._prefix + b"view." + members).digest()

    def share_key(self, channel: Secret, *, sender: int, receiver: int, fingerprints: bytes) -> Secret:
        """The key that seals the shares with these fingerprints, and nothing else, from one client to another.

        So it seals one plaintext even where a client is restored from an old snapshot and deals again.

        Args:
            channel: The agreement of their sealing keys.
            sender: Who deals.
            receiver: Who holds.
            fingerprints: Of the shares.
        """
        return sealing.derive(channel, self._info(b"share", sender, receiver) + fingerprints)

    def pair_mask(self, shared: Secret, *, one: int, other: int) -> Secret:
        """The seed of the mask between two clients, whichever of them asks, from that of their masking keys."""
        return sealing.derive(shared, self._info(b"pairs", min(one, other), max(one, other)))

    def self_mask(self, seed: Secret, *, owner: int) -> Secret:
        """The seed of a client's self-mask, from the secret that it shared."""
        return sealing.derive(seed, self._info(b"alone", owner, owner))

    def dealing(self, secret: Secret, *, owner: int) -> Secret:
        """What a client's polynomials are drawn from, under this directory and no other."""
        return sealing.derive(secret, self._info(b"deals", owner, owner))

    def commitment(self, secret: Secret, *, owner: int, index: int) -> bytes:
        """32 bytes that bind a client to a secret that it shared; hiding, since the secret is uniform.

        Args:
            secret: 32 bytes.
            owner: Whose it is.
            index: 0 for the self-mask's seed, i + 1 for the i-th attached secret.
        """
        return hashlib.sha256(self._info(b"bound", owner, index) + secret.reveal()).digest()

    def fingerprints(self, shares: bytes, *, owner: int, holder: int) -> bytes:
        """32 bytes for each share that an owner deals to one holder, in order; hiding, since a share is uniform.

        Args:
            shares: Of 33 bytes each.
            owner: Whose secrets are shared.
            holder: Who holds these shares.
        """
        prefix = self._info(b"piece", owner, holder)
        return b"".join(
            hashlib.sha256(prefix + bytes([index]) + shares[start : start + SHARE_BYTES]).digest()
            for index, start in enumerate(range(0, len(shares), SHARE_BYTES))
        )

    def fingerprint(self, share: bytes, *, owner: int, holder: int, index: int) -> bytes:
        """That of the share with this index alone."""
        return hashlib.sha256(self._info(b"piece", owner, holder) + bytes([index]) + share).digest()

    def _info(self, purpose: bytes, one: int, other: int) -> bytes:
        return self._prefix + purpose + one.to_bytes(4, "big") + other.to_bytes(4, "big")
