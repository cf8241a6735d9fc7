"""The messages of pairwise masking, a pair for each step, and the bitmaps that represent sets of clients."""

from collections.abc import Collection
from itertools import compress

import numpy as np

from protocols.codec import Message
from protocols.errors import MalformedMessage
from protocols.session import Session


class AdvertisedKeys(Message, frozen=True):
    """Two public keys, one for sealing shares and one for agreeing on masks; signed if there is a roster."""

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
    """The secret shares that a client deals to its neighbours and to itself.

    Attributes:
        commitments: Commitments to the self-mask's seed and to each attached secret, 32 bytes each.
        fingerprints: For each holder, ascending, the hash of each of its shares; the client is one of the holders.
        ciphertexts: For each neighbour, ascending, its shares, sealed.
        signature: A signature over all other fields, if there is a roster; otherwise empty.
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
    """A bitmap of who has shared, and the sealed shares and fingerprints from the receiver's neighbours among them."""

    members: bytes
    fingerprints: tuple[bytes, ...]
    ciphertexts: tuple[bytes, ...]


class MaskedInput(Message, frozen=True):
    """A client's vector under all its masks, bit-packed.

    Attributes:
        view: A hash of the key directory and of who has shared, as the client received them. They decide its masks.
        packed: The masked vector.
        unopened: Ids of the neighbours whose shares could not be decrypted or were wrong, ascending.
    """

    view: bytes
    packed: memoryview
    unopened: tuple[int, ...]


class Survivors(Message, frozen=True):
    """A bitmap of the clients whose masked input is in the sum; all others that have shared have dropped out."""

    bitmap: bytes


class Confirmation(Message, frozen=True):
    """A survivor's signature over the directory, who has shared and who survives."""

    signature: bytes


class Confirmations(Message, frozen=True):
    """The survivors' signatures: a bitmap of who signed, and 64 bytes for each signer."""

    signers: bytes
    signatures: bytes


class RevealedShares(Message, frozen=True):
    """The shares to reveal, joined, of each client whose shares the sender holds (itself included), ascending."""

    shares: bytes


def encode_clients(clients: Collection[int], session: Session) -> bytes:
    """Return a bitmap: bit i % 8 of byte i // 8 says whether the i-th client of the session is in `clients`."""
    members = frozenset(clients)
    flags = np.fromiter(map(members.__contains__, session.clients), dtype=bool, count=len(session.clients))
    return np.packbits(flags, bitorder="little").tobytes()


def decode_clients(data: bytes, session: Session) -> frozenset[int]:
    """Return the ids of the clients in a bitmap.

    Raises:
        MalformedMessage: The bitmap has a wrong length, or bits beyond the session's clients.
    """
    if len(data) != -(-len(session.clients) // 8):  # Check before it is made eight times as long.
        raise MalformedMessage(f"bitmap of clients: expected {-(-len(session.clients) // 8)} bytes, found {len(data)}")
    flags = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little").astype(bool)
    if flags[len(session.clients) :].any():
        raise MalformedMessage("bitmap of clients: expected zeros after the session's clients, found other bits")
    return frozenset(compress(session.clients, flags.tolist()))
