"""Vectors modulo m = 2^b in words of 64 bits that hold several entries each, for masks that are whole words.

A mask of whole words takes less time than a mask of words that hold one entry each: with b = 21, three entries share a
word of 64 bits, and their mask needs 8 bytes of keystream. Three words of 32 bits need 12.

An entry represents the integer in [-m/2, m/2) congruent to it (`protocols.values`). The word of the integers v0, v1,
..., of k lanes, is v0 + v1 * m + v2 * m^2 + ... modulo m^k. Words are masked and added modulo m^k, as numbers, so
carries run from a lane into the next one. The sum of the words is the word of the sums s0, s1, .... If each sum lies in
[-m/2, m/2) (headroom), the word determines it: s0 is congruent to the word modulo m, and (word - s0) / m is the word of
the other lanes.

Own argument, not reviewed externally:

- Secrecy: a mask is uniform modulo m^k, since 2^64 is a multiple of it. So masked words are as masked entries are, with
  m^k in the place of m, and a sum of words tells only the sums of the integers. With headroom these are the sums
  modulo m. Without it, a carry also tells how often a coordinate wrapped around.
- Exactness: without headroom, a coordinate that wraps around is wrong by a multiple of m as always, and that multiple
  is added to the lane above it. No other word changes.

On the wire, words are packed without gaps. Those are the bytes of b bits for each entry. The lanes of the last word
that no entry uses are left out: lanes do not depend on those above them.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocols import packing
from protocols.crypto.keystream import Words, word_dtype

_WORD: Final = np.dtype("<u8")
_WORD_BITS: Final = 64
_PIECE: Final = 2**14  # Words; a piece and its entries stay in cache.


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """The words in which the vectors of a session are masked and added.

    Attributes:
        length: The number of entries of a vector.
        modulus: m, a power of two, at least 2, at most 2^64.
        headroom: Whether every sum of the integers that entries represent lies in [-m/2, m/2). If not, each word holds
            one entry.
    """

    length: int
    modulus: int
    headroom: bool

    @property
    def bits(self) -> int:
        """The number of bits of an entry."""
        return (self.modulus - 1).bit_length()

    @property
    def lanes(self) -> int:
        """The number of entries that share a word: 1, unless words of 64 bits hold more entries than smaller words."""
        in_a_word, plain = _WORD_BITS // self.bits, _WORD_BITS // (8 * word_dtype(self.modulus).itemsize)
        return in_a_word if self.headroom and in_a_word > plain else 1

    @property
    def words(self) -> int:
        """The number of words of a vector."""
        return -(-self.length // self.lanes)

    @property
    def memory_bytes(self) -> int:
        """The number of bytes of all words."""
        return self.words * self.word.itemsize

    @property
    def _word_modulus(self) -> int:
        return 1 << self.bits * self.lanes

    @property
    def word(self) -> np.dtype[np.unsignedinteger[Any]]:
        """The type of a word."""
        return word_dtype(self._word_modulus)

    @property
    def _lows(self) -> np.uint64:
        """The word with m/2 in each lane."""
        return np.uint64(sum(self.modulus // 2 * self.modulus**lane for lane in range(self.lanes)))

    def nothing(self) -> Words:
        """Return the words of a vector of zeros."""
        return np.zeros(self.words, dtype=self.word)

    def within(self, vector: Words) -> Words:
        """Return the words of a vector of zeros, in its own memory: `unfold_into` then needs no second vector.

        Words that are shared take less memory than their entries, except those of a few entries, which get memory of
        their own.

        Args:
            vector: Zeros of shape `(length,)`, contiguous, in the smallest unsigned words that hold the modulus.
        """
        if self.lanes == 1:
            return vector
        if self.memory_bytes > vector.nbytes:
            return self.nothing()
        return vector.view(np.uint8)[: self.memory_bytes].view(self.word)

    def fold(self, vector: Words) -> Words:
        """Return the words of a vector, not yet reduced modulo m^k; the vector itself if a word holds one entry.

        Args:
            vector: Shape `(length,)`, the smallest unsigned words that hold the modulus, entries in [0, modulus).
        """
        if self.lanes == 1:
            return vector
        words, lows = self.nothing(), self._lows
        for start in range(0, self.words, _PIECE):
            piece = words[start : start + _PIECE]
            entries = vector[start * self.lanes : (start + _PIECE) * self.lanes]
            for lane in range(self.lanes):
                column = entries[lane :: self.lanes].astype(_WORD)
                column <<= np.uint64(lane * self.bits)
                piece[: column.size] |= column
            # An entry with its highest bit inverted is the integer plus m/2. So the word that is made of these, less
            # the word with m/2 in each lane, is the word of the integers.
            piece ^= lows
            piece -= lows
        return words

    def pack(self, words: Words) -> memoryview:
        """Return the wire's bytes of masked words, which are reduced in place."""
        words &= words.dtype.type(self._word_modulus - 1)
        unused = self.words * self.lanes - self.length
        if unused:
            words[-1] &= words.dtype.type(self.modulus ** (self.lanes - unused) - 1)
        packed = memoryview(packing.pack(words, self._word_modulus))
        return packed[: packing.packed_bytes(self.length, self.modulus)]

    def add_packed(self, total: Words, data: packing.Packed) -> None:
        """Add what `pack` made to a running sum of words, in place, modulo m^k.

        Raises:
            ValueError: The data has another length, or padding that is not zero. The total is unchanged.
        """
        packing.check_frame(data, self.length, self.modulus)
        missing = packing.packed_bytes(self.words, self._word_modulus) - len(data)
        packing.add_packed(total, b"".join((data, bytes(missing))) if missing else data, self._word_modulus)

    def unfold(self, total: Words) -> NDArray[np.uint64]:
        """Return the vector of which these are the words.

        Args:
            total: Shape `(words,)`; any multiple of m^k may be added to its words.

        Returns:
            Shape `(length,)`, uint64, entries in [0, modulus).
        """
        vector = np.empty(self.length, dtype=np.uint64)
        self.unfold_into(total, vector)
        return vector

    def unfold_into(self, total: Words, vector: Words) -> None:
        """Write the vector of which these are the words.

        Args:
            total: Shape `(words,)`, as for `unfold`. It may be `within` the vector, and is then overwritten.
            vector: Shape `(length,)`, of an unsigned type that holds the modulus. Its entries are then in [0, modulus).
        """
        if self.lanes == 1:
            np.bitwise_and(total, total.dtype.type(self.modulus - 1), out=vector)
            return
        lows, low = self._lows, vector.dtype.type(self.modulus - 1)
        # The last words come first. Entries take more memory than their word, so no earlier word is overwritten.
        for start in reversed(range(0, self.words, _PIECE)):
            piece = (total[start : start + _PIECE] + lows) ^ lows
            entries = vector[start * self.lanes : (start + _PIECE) * self.lanes]
            for lane in range(self.lanes):
                column = entries[lane :: self.lanes]
                np.right_shift(piece[: column.size], np.uint64(lane * self.bits), out=column, casting="same_kind")
            entries &= low
