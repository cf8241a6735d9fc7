"""Lattice pads: one-time encryption of a long vector under a short key, additive in vectors and keys alike.

Source: the key-additive homomorphic encryption of Willow (Bell-Clark et al., ia.cr/2024/936), close to the
seed-homomorphic generator of OPA (Karthikeyan and Polychroniadou, ia.cr/2024/723).  Over Z_Q[X]/(X^N + 1), N = 4096,
Q = 2^64, a client encrypts the polynomials m_j of its packed vector as

    c_j = a_j s + e_j + D m_j,      a_j public and uniform, s one secret key, e_j errors, D a power of two.

The sum of ciphertexts is an encryption of the sum under the sum of keys; who knows that sum, and nobody's own key,
removes a_j sum(s) and rounds.  It then knows the sum of the errors too, which is no secret to it, and why the errors
are as wide as they are: `protocols.crypto.lattice.hardness` has the argument.

Departures: keys and errors of width 13/2, where Google's implementation of Willow has 4.5 for keys and 4.5 sqrt 2 =
6.36 for errors, so that revealing their sums leaves a ring-LWE problem of width 13/4, the homomorphic encryption
standard's; a modulus that machine words have; public polynomials from AES-256 in counter mode, as in FrodoKEM's AES
variant, modelled as an ideal cipher, so the seed must be a hash that nobody chooses (of the session), and the same seed
must never meet the same key twice.

Adversary: whoever sees all ciphertexts and one sum of keys, of at least two honest clients, and whose own keys in that
sum do not depend on theirs, which the protocol has to see to (docs/oneshot.md).  Pads have no integrity: a client, or
whoever alters a ciphertext, changes the sum as it likes within the range.  `open` notices a key sum that does not
belong to the ciphertexts.

Packing.  A word of a plaintext holds `slots` values of `slot_bits` bits above `noise_bits` bits for the errors.  A
slot holds the sum of the largest cohort, clients * (bound - 1), always; or, where the caller vouches for `sum_bits`,
what is left of it when contributors * (bound // 2) is taken off, as a signed number: what values and sums carry into
the next slots and out of the word on their way is public and taken back modulo 2^64.  The noise bits hold the sum of
the errors except with probability 2^-40 for the whole vector: an error X has E exp(t X) <= exp(t^2 sigma^2 / 2) for all
t, since that is the quotient of the theta functions at t sigma^2 and at 0 (cutting off the tails of a symmetric
distribution lowers cosh on average), so n errors exceed r in absolute value with probability at most
2 exp(-r^2 / (2 n sigma^2)).
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocols.crypto.entropy import Entropy, draw
from protocols.crypto.keystream import Keystream
from protocols.crypto.lattice.gaussian import REACH, WIDTH, GaussianStream
from protocols.crypto.lattice.ring import DEGREE, Multiplier, Ring
from protocols.crypto.secret import Secret
from protocols.errors import DamagedSum, InputError, ParameterError

SEED_BYTES: Final = 32
MAX_LENGTH: Final = 2**32
MAX_CLIENTS: Final = 2**20
FAILURE_BITS: Final = 40
"""The errors of a whole vector outgrow their bits with probability at most 2^-40."""

_BITS = 64
_PIECE = 8  # polynomials at a time


def draw_key(entropy: Entropy) -> Secret:
    """Draw a key, for one vector: 4096 discrete Gaussian coefficients, a signed byte each.

    Args:
        entropy: Asked once, for 32 bytes.
    """
    return Secret(GaussianStream(Secret(draw(entropy, SEED_BYTES))).draw(DEGREE).tobytes())


def key_coefficients(key: Secret) -> NDArray[np.int64]:
    """A key as the numbers to be added up: shape `(4096,)`, entries in [-127, 127].

    Raises:
        InputError: This is no key.
    """
    coefficients = np.frombuffer(key.reveal(), dtype=np.int8)
    if coefficients.shape != (DEGREE,) or coefficients.min() < -REACH:
        raise InputError(f"a key is {DEGREE} bytes in [-{REACH}, {REACH}], found something else")
    return coefficients.astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatticePad:
    """Encryption of vectors of one shape.

    Attributes:
        length: Values in a vector, in [1, 2^32].
        bound: Values are in [0, bound), bound at least 2.
        clients: How many vectors may be added up, in [1, 2^20].
        sum_bits: b, where each sum of k values is within [-2^(b-1), 2^(b-1)) of k * (bound // 2), in [1, 63]; others
            come out wrong, and so do those beside them.  None where sums may be any.

    Raises:
        ParameterError: One of these is out of range, or the sums do not fit into words of 64 bits.
    """

    length: int
    bound: int
    clients: int
    sum_bits: int | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("length", 1, MAX_LENGTH), ("bound", 2, 2**_BITS), ("clients", 1, MAX_CLIENTS)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ParameterError(f"{name} must be an int in [{low}, {high}], not {value!r}")
        if self.sum_bits is not None and (type(self.sum_bits) is not int or not 1 <= self.sum_bits < _BITS):
            raise ParameterError(f"sum_bits must be an int in [1, {_BITS - 1}] or None, not {self.sum_bits!r}")
        if not self.slots:
            raise ParameterError(
                f"sums of {self.clients} values below {self.bound} take {self.slot_bits} bits, which leaves too few "
                f"of {_BITS} for their errors, in [-{self._reach(self.length, self.clients)}, "
                f"{self._reach(self.length, self.clients)}]; lower the bound or the number of clients"
            )

    @property
    def slot_bits(self) -> int:
        """Bits that hold every possible sum of values."""
        return self.sum_bits or (self.clients * (self.bound - 1)).bit_length()

    @property
    def slots(self) -> int:
        """Values in a word; 0 where none fits."""
        return _slots(self.length, self.slot_bits, self.clients)

    @property
    def noise_bits(self) -> int:
        """log2 of D: what is left of a word for the errors."""
        return _BITS - self.slots * self.slot_bits

    @property
    def words(self) -> int:
        """64-bit words in a ciphertext."""
        return -(-self.length // self.slots)

    def reach(self, contributors: int) -> int:
        """The most that a sum of so many clients' errors comes to, except with probability 2^-40."""
        return self._reach(self.words, contributors)

    @staticmethod
    def key_reach(contributors: int) -> int:
        """The most that a coefficient of a sum of so many keys comes to, except with probability 2^-40 for them all."""
        return min(REACH * contributors, LatticePad._reach(DEGREE, contributors))

    @staticmethod
    def _reach(words: int, contributors: int) -> int:
        logarithm = (FAILURE_BITS + 1) * math.log(2) + math.log(words)
        return math.ceil(float(WIDTH) * math.sqrt(2 * contributors * logarithm))

    def seal(self, values: NDArray[np.unsignedinteger[Any]], *, key: Secret, seed: bytes, entropy: Entropy) -> Ring:
        """Encrypt a vector, under a key that has encrypted nothing else.

        Args:
            values: Shape `(length,)`, of an unsigned type, entries in [0, bound).
            key: From `draw_key`.
            seed: 32 public bytes, the same for all clients, a hash of the session.
            entropy: Asked once, for 32 bytes.

        Returns:
            Shape `(words,)`, uint64. Ciphertexts add up modulo 2^64, as uint64 do.

        Raises:
            InputError: One of these is not so.
            ParameterError: The entropy runs short.
        """
        if values.shape != (self.length,) or values.dtype.kind != "u":
            raise InputError(f"expected {self.length} unsigned values, found {values.dtype} of shape {values.shape}")
        if int(values.max()) >= self.bound:
            raise InputError(f"values must be below {self.bound}; one is not")
        multiplier = Multiplier(key_coefficients(key))
        errors = GaussianStream(Secret(draw(entropy, SEED_BYTES)))
        sealed = np.empty(self.words, dtype=np.uint64)
        for start, public in _public(seed, self.words):
            piece = sealed[start : start + public.size]
            piece[:] = multiplier.times(public).reshape(-1)[: piece.size]
            piece += errors.draw(piece.size).astype(np.int64).view(np.uint64)
            for shift, entries in self._slices(start, piece.size):
                packed = values[entries].astype(np.uint64)
                packed <<= np.uint64(shift)
                piece[: packed.size] += packed
        return sealed

    def open(self, total: Ring, *, key_sum: NDArray[np.int64], seed: bytes, contributors: int) -> NDArray[np.uint64]:
        """The sum of vectors, from the sum of their ciphertexts and the sum of their keys.

        Args:
            total: Shape `(words,)`, uint64.
            key_sum: Shape `(4096,)`, int64.
            seed: As it was for `seal`.
            contributors: How many were added up, in [1, clients].

        Returns:
            Shape `(length,)`, uint64, entries in [0, contributors * (bound - 1)], modulo 2^64 where `sum_bits` allows
            for sums beyond it.

        Raises:
            InputError: A type, shape or length is wrong, or there are more contributors than clients.
            DamagedSum: The keys are larger than that many clients' can be, or do not belong to the ciphertexts.
        """
        if type(contributors) is not int or not 1 <= contributors <= self.clients:
            raise InputError(f"contributors must be an int in [1, {self.clients}], not {contributors!r}")
        if total.shape != (self.words,) or total.dtype != np.uint64:
            raise InputError(f"expected {self.words} uint64, found {total.dtype} of shape {total.shape}")
        if key_sum.shape != (DEGREE,) or key_sum.dtype != np.int64:
            raise InputError(f"expected {DEGREE} int64, found {key_sum.dtype} of shape {key_sum.shape}")
        most = self.key_reach(contributors)
        if int(key_sum.max()) > most or int(key_sum.min()) < -most:
            raise DamagedSum(f"a sum of {contributors} keys stays within {most}; this one does not")
        multiplier = Multiplier(key_sum)
        opened = np.empty(self.length, dtype=np.uint64)
        for start, public in _public(seed, self.words):
            ciphertexts = total[start : start + public.size]
            self._open_piece(
                ciphertexts - multiplier.times(public).reshape(-1)[: ciphertexts.size], start, opened, contributors
            )
        return opened

    def _open_piece(self, piece: Ring, start: int, opened: NDArray[np.uint64], contributors: int) -> None:
        """Round a piece without its pad, and spread its slots; `piece` is used up."""
        reach, largest = self.reach(contributors), contributors * (self.bound - 1)
        # What a slot holds is that much less than the sum, and not negative.
        hidden = 0 if self.sum_bits is None else contributors * (self.bound // 2) - 2 ** (self.sum_bits - 1)
        offset = sum(hidden << self.noise_bits + slot * self.slot_bits for slot in range(self.slots))
        half, mask = np.uint64(1 << (self.noise_bits - 1)), np.uint64((1 << self.noise_bits) - 1)
        piece += half
        errors = (piece & mask).view(np.int64) - np.int64(half)
        if int(np.abs(errors).max()) > reach:
            raise DamagedSum(f"errors of {contributors} clients stay within {reach}; what is left here does not")
        piece -= np.uint64(offset % 2**_BITS)
        slot_mask = np.uint64((1 << self.slot_bits) - 1)
        for shift, entries in self._slices(start, piece.size):
            target = opened[entries]
            np.right_shift(piece[: target.size], np.uint64(shift), out=target)
            target &= slot_mask
            target += np.uint64(hidden % 2**_BITS)  # a sum below zero wraps around, to one above the largest
            if target.size and int(target.max()) > largest:
                raise DamagedSum(f"sums of {contributors} clients' values stay within {largest}; one here does not")

    def _slices(self, start: int, size: int) -> Iterator[tuple[int, slice]]:
        """For each slot of some words: where it begins, and the values that belong there, fewer in the last slot."""
        for slot in range(self.slots):
            first = slot * self.words + start
            yield self.noise_bits + slot * self.slot_bits, slice(first, min(first + size, self.length))


@functools.lru_cache(maxsize=64)
def _slots(length: int, slot_bits: int, clients: int) -> int:
    for slots in range(_BITS // slot_bits, 0, -1):
        noise_bits = _BITS - slots * slot_bits
        if noise_bits and LatticePad._reach(-(-length // slots), clients) < 2 ** (noise_bits - 1):
            return slots
    return 0


def _public(seed: bytes, words: int) -> Iterator[tuple[int, Ring]]:
    """The public polynomials that cover so many words, a few at a time, each with the number of its first word."""
    if len(seed) != SEED_BYTES:
        raise InputError(f"the public seed must be {SEED_BYTES} bytes")
    stream = Keystream(Secret(seed))  # a public seed: only the type says otherwise
    count = -(-words // DEGREE)
    for first in range(0, count, _PIECE):
        polynomials = min(_PIECE, count - first)
        keystream = stream.read(polynomials * DEGREE * 8)
        yield first * DEGREE, np.frombuffer(keystream, dtype="<u8").reshape(polynomials, DEGREE)
