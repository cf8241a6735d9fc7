"""Stream pads: expansions of pad keys by AES-256 in counter mode, read as words modulo a power of two.

A client adds the pads of all its seeds to its vector. A set's opening is the sum of the contributors' pads, each times
its weight. Sums are modulo 2^b, so openings and padded vectors are bit-packed vectors of the session.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from protocols import packing
from protocols.crypto.entropy import Entropy
from protocols.crypto.keystream import Words, apply_masks, word_dtype
from protocols.errors import MalformedMessage, ParameterError
from protocols.lanes import Lanes
from protocols.pieces import VectorReader, masked_pieces, spans
from protocols.seeds.pads import Pads, SetKeys
from protocols.seeds.weighting import WeightedMasks
from protocols.session import Session

MOST_PAD_BYTES: Final = 16 * 2**32
"""Bytes that a pad key is expanded to at most: 2^32 blocks, for which docs/seeds.md bounds the advantage."""


class StreamPads(Pads):
    """Pads of a session whose modulus is a power of two.

    Raises:
        ParameterError: The modulus is not a power of two, or the vector is too long for one pad key.
    """

    sums_in_place = True

    def __init__(self, session: Session) -> None:
        if session.modulus & (session.modulus - 1):
            raise ParameterError(
                f"modulus: expected a power of two, since pads are words of a keystream, found {session.modulus}. "
                "Use one, or lattice pads, which accept any modulus."
            )
        self._length, self._modulus = session.length, session.modulus
        self._word = word_dtype(session.modulus)
        if (most := MOST_PAD_BYTES // self._word.itemsize) < session.length:
            raise ParameterError(
                f"length: expected at most {most} words of {8 * self._word.itemsize} bits, since a pad key is expanded "
                f"to at most 2^32 blocks, found {session.length}. Use several sessions."
            )
        self.padded_bytes = packing.packed_bytes(self._length, self._modulus)

    def check(self, vector: Words) -> None:
        """See `Pads.check`. Every vector of the session can be padded."""

    def padded(self, vector: Words, keys: Sequence[SetKeys], entropy: Entropy) -> memoryview:  # noqa: ARG002  # Nothing is drawn.
        """See `Pads.padded`."""
        apply_masks(vector, [(np.add, key.pad) for key in keys])
        return self._packed(vector)

    def padded_pieces(self, reader: VectorReader, keys: Sequence[SetKeys], entropy: Entropy) -> Iterator[memoryview]:  # noqa: ARG002  # As above.
        """See `Pads.padded_pieces`."""
        lanes = Lanes(length=self._length, modulus=self._modulus, headroom=False)
        return masked_pieces(reader, lanes=lanes, masks=[(np.add, key.pad) for key in keys])

    def check_padded(self, padded: memoryview) -> None:
        """See `Pads.check_padded`."""
        self._check(padded, "padded vector")

    def opening(self, keys: Sequence[SetKeys], weights: Sequence[int]) -> bytes:
        """See `Pads.opening`."""
        return b"".join(self.opening_pieces(keys, weights))

    def opening_pieces(self, keys: Sequence[SetKeys], weights: Sequence[int]) -> Iterator[memoryview]:
        """See `Pads.opening_pieces`."""
        expected = self._length * self._word.itemsize
        masks = WeightedMasks([key.pad for key in keys], weights, self._word, expected_bytes=expected)
        for _, size in spans(self._length):
            total = np.zeros(size, dtype=self._word)
            masks.add(total)
            yield self._packed(total)

    def opening_bytes(self, contributors: int) -> int:  # noqa: ARG002  # A sum is as long as a vector.
        """See `Pads.opening_bytes`."""
        return self.padded_bytes

    def check_opening(self, opening: memoryview, weights: Sequence[int]) -> None:  # noqa: ARG002  # As above.
        """See `Pads.check_opening`."""
        self._check(opening, "sum of pads")

    def nothing(self) -> Words:
        """See `Pads.nothing`."""
        return np.zeros(self._length, dtype=self._word)

    def add(self, total: Words, padded: bytes | memoryview) -> None:
        """See `Pads.add`."""
        packing.add_packed(total, padded, self._modulus)

    def add_weighted(self, total: Words, padded: Sequence[memoryview], weights: Sequence[int]) -> None:
        """See `Pads.add_weighted`. With weights, it goes piece by piece, so that no second vector is in memory."""
        if set(weights) <= {1}:
            super().add_weighted(total, padded, weights)
            return
        for start, size in spans(self._length):
            first, count = packing.packed_bytes(start, self._modulus), packing.packed_bytes(size, self._modulus)
            some = [each[first : first + count] for each in padded]
            super().add_weighted(total[start : start + size], some, weights)

    def opened(self, total: Words, openings: Sequence[bytes | memoryview], weights: Sequence[int]) -> Words:  # noqa: ARG002  # As above.
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

    def _packed(self, words: Words) -> memoryview:
        """Pack words, which are reduced in place. Where each entry fills its word, nothing is copied."""
        if self._modulus == 2 ** (8 * words.itemsize):
            return words.view(np.uint8).data
        words &= self._word.type(self._modulus - 1)
        return memoryview(packing.pack(words, self._modulus))
