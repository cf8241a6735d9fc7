"""The messages of sums that a committee opens, a pair for each step."""

from protocols.codec import Message


class EncryptedInput(Message, frozen=True):
    """The only message of a client.

    Attributes:
        padded: The masked vector, if the protocol masks vectors; otherwise empty.
        sealed: Ciphertexts under the committee's key, the proof that the sender knows their plaintexts, and the
            sender's signature if the session has a roster; each has a fixed length.
    """

    padded: memoryview
    sealed: memoryview


class Contributions(Message, frozen=True):
    """The contributors to a sum, ascending; for each, joined, a hash of its masked vector and then its sealed part."""

    contributors: tuple[int, ...]
    contributions: memoryview


class PartialOpening(Message, frozen=True):
    """A committee member's partial decryptions of the contributions' sum, with one proof for all of them."""

    opening: memoryview
