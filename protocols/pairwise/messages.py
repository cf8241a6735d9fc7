"""The messages of pairwise masking, a pair for each round, and the survivor set that one of them carries."""

import numpy as np

from protocols.crypto import keys, shamir
from protocols.errors import MalformedMessage
from protocols.messages import Message
from protocols.session import Session

SEALED_BYTES = 2 * shamir.SHARE_BYTES + keys.SEAL_OVERHEAD_BYTES


class Invitation(Message, frozen=True):
    """The server opens the session; the envelope's digest says which."""


class AdvertisedKeys(Message, frozen=True):
    """Two X25519 public keys: one to seal shares under, one to agree on masks with."""

    sealing: bytes
    masking: bytes

    @property
    def joined(self) -> bytes:
        """Both keys, for derivations that are bound to them."""
        return self.sealing + self.masking


class NeighbourKeys(Message, frozen=True):
    """The keys of a client's neighbours that are still there, neighbours ascending."""

    neighbours: tuple[int, ...]
    keys: tuple[AdvertisedKeys, ...]


class SealedShares(Message, frozen=True):
    """A commitment to the self-mask's seed, and for each neighbour, ascending, its two shares, sealed."""

    commitment: bytes
    ciphertexts: tuple[bytes, ...]


class DeliveredShares(Message, frozen=True):
    """What the neighbours that are still there sealed for one client, neighbours ascending."""

    neighbours: tuple[int, ...]
    ciphertexts: tuple[bytes, ...]


class MaskedInput(Message, frozen=True):
    """A client's vector under all its masks, bit-packed."""

    packed: bytes


class Survivors(Message, frozen=True):
    """Whose masked input is in the sum: bit i of byte i // 8 for the i-th client of the session."""

    bitmap: bytes


class RevealedShares(Message, frozen=True):
    """One share of each closed neighbour that shared, ascending: a survivor's self-mask's, else the masking key's."""

    shares: tuple[bytes, ...]


def survivor_bitmap(members: set[int], session: Session) -> bytes:
    """The bitmap of a `Survivors` message."""
    flags = np.fromiter((client in members for client in session.clients), dtype=bool, count=len(session.clients))
    return np.packbits(flags, bitorder="little").tobytes()


def survivor_set(bitmap: bytes, session: Session) -> set[int]:
    """The ids that a bitmap names.

    Raises:
        MalformedMessage: It has a wrong length, or bits beyond the session's clients.
    """
    flags = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8), bitorder="little").astype(bool)
    if len(bitmap) != -(-len(session.clients) // 8) or flags[len(session.clients) :].any():
        raise MalformedMessage("a survivor set that is not of this session")
    return {client for client, alive in zip(session.clients, flags, strict=False) if alive}
