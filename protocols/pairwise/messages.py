"""The messages of pairwise masking, a pair for each step, and the bitmaps that name sets of clients."""

from collections.abc import Collection
from itertools import compress

import numpy as np

from protocols.codec import Message
from protocols.errors import MalformedMessage
from protocols.session import Session


class AdvertisedKeys(Message, frozen=True):
    """Two public keys: one to seal shares under, one to agree on masks with.  Signed where there is a roster."""

    sealing: bytes
    masking: bytes
    signature: bytes

    @property
    def joined(self) -> bytes:
        """Both keys, as they are signed."""
        return self.sealing + self.masking


class KeyDirectory(Message, frozen=True):
    """A hash of every client's keys, in the session's order, and the keys of the receiver's neighbours, ascending."""

    leaves: bytes
    keys: tuple[AdvertisedKeys, ...]


class SealedShares(Message, frozen=True):
    """What a client shares with its neighbours and itself.

    Attributes:
        commitments: To the self-mask's seed and to each attached secret, 32 bytes each.
        fingerprints: For each holder, ascending, the client among them, the hash of each of its shares.
        ciphertexts: For each neighbour, ascending, its shares, sealed.
        signature: Over all of it, where there is a roster.
    """

    commitments: bytes
    fingerprints: bytes
    ciphertexts: tuple[bytes, ...]
    signature: bytes

    @property
    def joined(self) -> bytes:
        """Everything that is signed; all lengths follow from the session and the directory."""
        return self.commitments + self.fingerprints + b"".join(self.ciphertexts)


class DeliveredShares(Message, frozen=True):
    """Who has shared, as a bitmap; what the receiver's neighbours among them sealed for it, and the fingerprints."""

    members: bytes
    fingerprints: tuple[bytes, ...]
    ciphertexts: tuple[bytes, ...]


class MaskedInput(Message, frozen=True):
    """A client's vector under all its masks, bit-packed.

    Attributes:
        view: A hash of the key directory and of who has shared, as the client was told: what it has masked by.
        packed: The vector.
        unopened: The neighbours whose shares did not open, ascending.
    """

    view: bytes
    packed: memoryview
    unopened: tuple[int, ...]


class Survivors(Message, frozen=True):
    """Whose masked input is in the sum, as a bitmap: every other member has dropped out."""

    bitmap: bytes


class Confirmation(Message, frozen=True):
    """A survivor's signature over the directory, who has shared and who survives."""

    signature: bytes


class Confirmations(Message, frozen=True):
    """The survivors' signatures: who signed, as a bitmap, and 64 bytes for each of them."""

    signers: bytes
    signatures: bytes


class RevealedShares(Message, frozen=True):
    """For each closed neighbour whose shares the sender holds, ascending, those that are to be revealed, joined."""

    shares: bytes


def encode_clients(clients: Collection[int], session: Session) -> bytes:
    """Bit i of byte i // 8 says whether the i-th client of the session is among `clients`."""
    members = frozenset(clients)
    flags = np.fromiter(map(members.__contains__, session.clients), dtype=bool, count=len(session.clients))
    return np.packbits(flags, bitorder="little").tobytes()


def decode_clients(data: bytes, session: Session) -> frozenset[int]:
    """The ids that a bitmap names.

    Raises:
        MalformedMessage: It has a wrong length, or bits beyond the session's clients.
    """
    if len(data) != -(-len(session.clients) // 8):  # before it is made eight times as long
        raise MalformedMessage(f"a set of clients of {len(data)} bytes, which is not of this session")
    flags = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little").astype(bool)
    if flags[len(session.clients) :].any():
        raise MalformedMessage("a set of clients that is not of this session")
    return frozenset(compress(session.clients, flags.tolist()))
