"""The messages of LightSecAgg, a pair for each step."""

from protocols.codec import Message


class AdvertisedKey(Message, frozen=True):
    """A public key for sealing coded shares."""

    key: bytes


class KeyDirectory(Message, frozen=True):
    """The keys of all other clients that have not dropped out, clients ascending."""

    clients: tuple[int, ...]
    keys: tuple[bytes, ...]


class SealedShares(Message, frozen=True):
    """A client's coded shares of its mask, sealed and joined, one for each client of its directory, ascending."""

    ciphertexts: memoryview


class DeliveredShares(Message, frozen=True):
    """The shares that the other clients, unless they dropped out, sealed for the receiver; clients ascending."""

    clients: tuple[int, ...]
    ciphertexts: tuple[memoryview, ...]


class MaskedInput(Message, frozen=True):
    """A client's vector plus its mask, bit-packed."""

    packed: memoryview


class Survivors(Message, frozen=True):
    """The clients whose masked input is in the sum, ascending."""

    clients: tuple[int, ...]


class AggregatedShares(Message, frozen=True):
    """The sum of the shares that the sender holds of these survivors' masks, bit-packed."""

    survivors: tuple[int, ...]
    packed: memoryview
