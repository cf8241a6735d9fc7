"""Stream pads: expansions of pad keys by AES-256 in counter mode, read as words modulo a power of two.

A client adds the pads of all its seeds to its vector. A set's opening is the sum of the contributors' pads, each times
its weight. Sums are modulo 2^b, so openings and padded vectors are bit-packed vectors of the session.
"""

from collections.abc import Sequence

import numpy as np

from protocols import packing
from protocols.crypto.entropy import Entropy
from protocols.crypto.keystream import Words, apply_masks, word_dtype
from protocols.errors import MalformedMessage, ParameterError
from protocols.seeds.pads import Pads, SetKeys
from protocols.seeds.weighting import add_weighted_masks
from protocols.session import Session, Vector


class StreamPads(Pads):
    """Pads of a session whose modulus is a power of two.

    Raises:
        ParameterError: The modulus is not a power of two.
    """

    def __init__(self, session: Session) -> None:
        if session.modulus & (session.modulus - 1):
            raise ParameterError(
                f"modulus: expected a power of two, since pads are words of a keystream, found {session.modulus}. "
                "Use one, or lattice pads, which accept any modulus."
            )
        self._length, self._modulus = session.length, session.modulus
        self._word = word_dtype(session.modulus)
        self.padded_bytes = packing.packed_bytes(self._length, self._modulus)

    def check(self, vector: Words) -> None:
        """See `Pads.check`. Every vector of the session can be padded."""

    def padded(self, vector: Words, keys: Sequence[SetKeys], entropy: Entropy) -> memoryview:  # noqa: ARG002  # Nothing is drawn.
        """See `Pads.padded`."""
        apply_masks(vector, [(np.add, key.pad) for key in keys])
        return self._packed(vector)

    def check_padded(self, padded: memoryview) -> None:
        """See `Pads.check_padded`."""
        self._check(padded, "padded vector")

    def opening(self, keys: Sequence[SetKeys], weights: Sequence[int]) -> bytes:
        """See `Pads.opening`."""
        total = self.nothing()
        add_weighted_masks(total, [key.pad for key in keys], weights)
        return bytes(self._packed(total))

    def opening_bytes(self, contributors: int) -> int:  # noqa: ARG002  # A sum is as long as a vector.
        """See `Pads.opening_bytes`."""
        return self.padded_bytes

    def check_opening(self, opening: memoryview, weights: Sequence[int]) -> None:  # noqa: ARG002  # As above.
        """See `Pads.check_opening`."""
        self._check(opening, "sum of pads")

    def nothing(self) -> Words:
        """See `Pads.nothing`."""
        return np.zeros(self._length, dtype=self._word)

    def add(self, total: Words, padded: bytes) -> None:
        """See `Pads.add`."""
        packing.add_packed(total, padded, self._modulus)

    def opened(self, total: Words, openings: Sequence[bytes], weights: Sequence[int]) -> Vector:  # noqa: ARG002  # As above.
        """See `Pads.opened`."""
        removed = self.nothing()
        for opening in openings:
            packing.add_packed(removed, opening, self._modulus)
        return ((total - removed) & self._word.type(self._modulus - 1)).astype(np.uint64)

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
