"""How kinds of pads of `SeedSum` differ: in what a client sends, what members reveal of a set, and what is removed.

`protocols.seeds.stream_pads` and `protocols.seeds.lattice_pads` are the two kinds.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from protocols.crypto.entropy import Entropy
from protocols.crypto.keystream import Words
from protocols.crypto.secret import Secret
from protocols.pieces import VectorReader
from protocols.seeds.weighting import weighted_sum


class PadKind(StrEnum):
    """A kind of pads, and so the assumption on which the secrecy of vectors rests; see docs/seeds.md."""

    STREAM = "stream"
    """Keystreams. For each contributor and set, a member expands a keystream of the vector's length."""

    LATTICE = "lattice"
    """Lattice masks under a sum of short keys. A member's work and replies do not depend on the vector's length."""


@dataclass(frozen=True, slots=True)
class SetKeys:
    """What a client's seed for one set is expanded to.

    Attributes:
        pad: The key of the pad, 32 bytes.
        wrap: A share of the key of the wrap, 32 bytes. Only lattice pads against a malicious server use it.
    """

    pad: Secret
    wrap: Secret


class Pads(ABC):
    """The pads of one session.

    The *opening* of a set is what its members reveal of the contributors' pads: a byte string that all of them can
    compute, and that they claim.

    Attributes:
        padded_bytes: Number of bytes of a padded vector.
        sums_in_place: Whether a sum of padded vectors is a vector of the session, which `opened` turns into the sum.
    """

    padded_bytes: int
    sums_in_place: ClassVar[bool]

    @abstractmethod
    def check(self, vector: Words) -> None:
        """Raise `InputError` unless a vector of the session can be padded."""

    @abstractmethod
    def padded(self, vector: Words, keys: Sequence[SetKeys], entropy: Entropy) -> memoryview:
        """Return a checked vector under the pads of all sets; the vector is overwritten."""

    def padded_pieces(
        self, reader: VectorReader, keys: Sequence[SetKeys], entropy: Entropy
    ) -> Iterator[bytes | memoryview]:
        """Yield what `padded` returns, in pieces. Pads that need the whole vector at once read all of it."""
        vector = reader.read(0, reader.length)
        self.check(vector)
        yield self.padded(vector, keys, entropy)

    @abstractmethod
    def check_padded(self, padded: memoryview) -> None:
        """Raise `MalformedMessage` unless a padded vector has the right form."""

    @abstractmethod
    def opening(self, keys: Sequence[SetKeys], weights: Sequence[int]) -> bytes:
        """Return the opening of one set.

        Args:
            keys: Each contributor's keys of the set, ascending by contributor.
            weights: Each contributor's weight, by which its pad is multiplied.
        """

    def opening_pieces(self, keys: Sequence[SetKeys], weights: Sequence[int]) -> Iterator[bytes | memoryview]:
        """Yield what `opening` returns, in pieces."""
        yield self.opening(keys, weights)

    @abstractmethod
    def opening_bytes(self, contributors: int) -> int:
        """Return the number of bytes of an opening for this number of contributors."""

    @abstractmethod
    def check_opening(self, opening: memoryview, weights: Sequence[int]) -> None:
        """Raise `MalformedMessage` unless an opening of `opening_bytes` bytes for these weights has the right form."""

    @abstractmethod
    def nothing(self) -> Words:
        """Return the sum of no padded vectors."""

    @abstractmethod
    def add(self, total: Words, padded: bytes | memoryview) -> None:
        """Add a checked padded vector to a sum of padded vectors, in place."""

    def add_weighted(self, total: Words, padded: Sequence[memoryview], weights: Sequence[int]) -> None:
        """Add checked padded vectors to a sum of padded vectors, in place, each times its weight."""
        weighted_sum(total, padded, weights, self._add_several)

    def _add_several(self, total: Words, padded: Sequence[memoryview]) -> None:
        for each in padded:
            self.add(total, each)

    @abstractmethod
    def opened(self, total: Words, openings: Sequence[bytes | memoryview], weights: Sequence[int]) -> Words:
        """Return the sum of vectors from that of padded vectors, which may be overwritten, and the sets' openings.

        Args:
            total: The sum of the contributors' padded vectors, each times its weight.
            openings: The opening of each set, by number.
            weights: Each contributor's weight, ascending by contributor.

        Returns:
            Shape `(length,)`, entries in [0, modulus).

        Raises:
            DamagedSum: The sum of padded vectors and the openings do not belong together.
        """
