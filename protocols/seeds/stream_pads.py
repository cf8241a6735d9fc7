"""Stream pads: expansions of pad keys by AES-256 in counter mode, read as words modulo a power of two.

A client adds the pads of all its seeds to its vector. A set's opening is the sum of the contributors' pads, each times
its weight. Sums are modulo 2^b, so openings and padded vectors are bit-packed vectors of the session.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from protocols import packing
from protocols.crypto.entropy import Entropy
from protocols.crypto.keystream import SignedMask, Words, apply_masks, word_dtype
from protocols.errors import MalformedMessage, ParameterError
from protocols.pieces import VectorReader, packed_pieces, summed_pieces
from protocols.seeds.pads import Pads, SetKeys
from protocols.session import Session


class StreamPads(Pads):
    """Pads of a session whose modulus is a power of two.

    Raises:
        ParameterError: The modulus is not a power of two.
    """

    def __init__(self, session: Session) -> None:
        if session.modulus & (session.modulus - 1):
            raise ParameterError(
                f"modulus: expected a power of two, since pads are words of a keystream, found {session.modulus}. "
                "Lattice pads accept any modulus."
            )
        self._length, self._modulus = session.length, session.modulus
        self._word = word_dtype(session.modulus)
        self.padded_bytes = packing.packed_bytes(self._length, self._modulus)

    def check(self, vector: Words) -> None:
        """See `Pads.check`. Every vector of the session can be padded."""

    def padded(self, vector: Words, keys: Sequence[SetKeys], entropy: Entropy) -> memoryview:  # noqa: ARG002  # Nothing is drawn.
        """See `Pads.padded`."""
        apply_masks(vector, [(np.add, key.pad) for key in keys])
        return memoryview(self._packed(vector))

    def padded_pieces(self, reader: VectorReader, keys: Sequence[SetKeys], entropy: Entropy) -> Iterator[bytes]:  # noqa: ARG002  # As above.
        """See `Pads.padded_pieces`."""
        return packed_pieces(reader, modulus=self._modulus, masks=[(np.add, key.pad) for key in keys])

    def check_padded(self, padded: memoryview) -> None:
        """See `Pads.check_padded`."""
        self._check(padded, "padded vector")

    def opening(self, keys: Sequence[SetKeys], weights: Sequence[int]) -> bytes:
        """See `Pads.opening`."""
        return b"".join(self.opening_pieces(keys, weights))

    def opening_pieces(self, keys: Sequence[SetKeys], weights: Sequence[int]) -> Iterator[bytes]:
        """See `Pads.opening_pieces`."""
        by_weight = dict[int, list[SignedMask]]()
        for key, weight in zip(keys, weights, strict=True):
            by_weight.setdefault(weight, []).append((np.add, key.pad))
        return summed_pieces(tuple(by_weight.items()), length=self._length, modulus=self._modulus)

    def opening_bytes(self, contributors: int) -> int:  # noqa: ARG002  # A sum is as long as a vector.
        """See `Pads.opening_bytes`."""
        return self.padded_bytes

    def check_opening(self, opening: memoryview, contributors: int) -> None:  # noqa: ARG002  # As above.
        """See `Pads.check_opening`."""
        self._check(opening, "sum of pads")

    def nothing(self) -> Words:
        """See `Pads.nothing`."""
        return np.zeros(self._length, dtype=self._word)

    def add(self, total: Words, padded: bytes | memoryview) -> None:
        """See `Pads.add`."""
        packing.add_packed(total, padded, self._modulus)

    def opened(self, total: Words, openings: Sequence[bytes | memoryview], contributors: int) -> Words:  # noqa: ARG002  # As above.
        """See `Pads.opened`. The total is overwritten with the sum, so that no second vector is in memory."""
        self._negate(total)
        for opening in openings:
            packing.add_packed(total, opening, self._modulus)
        self._negate(total)
        return total

    def _negate(self, words: Words) -> None:
        np.negative(words, out=words)
        words &= self._word.type(self._modulus - 1)

    def _check(self, data: memoryview, what: str) -> None:
        try:
            packing.check_frame(data, self._length, self._modulus)
        except ValueError as error:
            raise MalformedMessage(f"{what}: {error}") from None

    def _packed(self, words: Words) -> bytes:
        words &= self._word.type(self._modulus - 1)
        return packing.pack(words, self._modulus)
