"""The messages of sums that a committee opens, a pair for each step."""

from protocols.codec import Message


class EncryptedInput(Message, frozen=True):
    """A client's whole part.

    Attributes:
        padded: Its vector under a pad, where the protocol has pads; otherwise empty.
        sealed: Ciphertexts under the committee's key, the proof that their sender knows what is in them, and its
            signature where the session has a roster; each of a fixed length.
    """

    padded: memoryview
    sealed: memoryview


class Contributions(Message, frozen=True):
    """Whose sum is to be opened, ascending; joined, for each a hash of what it padded and then what it sealed."""

    contributors: tuple[int, ...]
    contributions: memoryview


class PartialOpening(Message, frozen=True):
    """A committee member's partial decryptions of the contributions' sum, with one proof for all of them."""

    opening: memoryview
