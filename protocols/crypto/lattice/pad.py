"""Lattice masks: one-time encryption of a long vector under a short key; vectors add up, and so do keys.

Source: the key-additive homomorphic encryption of Willow (Bell-Clark et al., ia.cr/2024/936), close to the
seed-homomorphic generator of OPA (Karthikeyan and Polychroniadou, ia.cr/2024/723). Over Z_Q[X]/(X^N + 1), N = 4096,
Q = 2^64, a client encrypts the polynomials m_j of its packed vector as

    c_j = a_j s + e_j + D m_j,      a_j public and uniform, s one secret key, e_j errors, D a power of two.

A client's key s may itself be a sum of short keys, each expanded from a seed of its own.

The sum of ciphertexts is an encryption of the sum of vectors under the sum of keys. A party that knows the sum of keys,
but no single key, removes a_j sum(s) and rounds. So does a sum in which each vector, its key and its errors are
multiplied by a weight. It then also knows the sum of the errors. The errors are wide enough
for that: `protocols.crypto.lattice.hardness` has the argument.

Departures:
- Keys and errors have width 13/2. Google's implementation of Willow has 4.5 for keys and 4.5 sqrt 2 = 6.36 for errors.
  With 13/2, revealing their sums leaves a ring-LWE problem of width 13/4, just above the 3.19 of the homomorphic
  encryption standard.
- The modulus is that of a machine word, 2^64.
- Public polynomials come from AES-256 in counter mode, as in FrodoKEM's AES variant, modelled as an ideal cipher. So
  the seed must be a hash (of the session) that nobody can choose, and the same seed must never be used twice with the
  same key.

Adversary: anyone who sees all ciphertexts and one sum of keys that includes those of at least two honest clients. If
keys are sums, all summands of an honest client's key but one may be known. The adversary's own keys in that sum must
not depend on the honest keys; the protocol must ensure that (docs/oneshot.md, docs/seeds.md).
Lattice masks have no integrity: a client, or anyone who alters a ciphertext, can change the sum to any value in the
range. `open` notices a key sum that does not belong to the ciphertexts.

Packing. A word of a plaintext holds `slots` values of `slot_bits` bits above `noise_bits` bits for the errors. Without
`sum_bits`, a slot holds every sum of the largest cohort, up to clients * largest_weight * (bound - 1). With
`sum_bits`, for which the caller vouches, it holds the sum less sum(weights) * (bound // 2), as a signed number. In that
case values and sums carry into the next slots and out of the word. These carries are public and are reversed modulo
2^64. The noise bits hold the sum of the errors except with probability 2^-40 for the whole vector: an error X has
E exp(t X) <= exp(t^2 sigma^2 / 2) for all t, since that is the quotient of the theta functions at t sigma^2 and at 0
(cutting off the tails of a symmetric distribution lowers cosh on average), so errors whose weights have squares that
add up to n exceed r in absolute value with probability at most 2 exp(-r^2 / (2 n sigma^2)).
"""

import functools
import math
from collections.abc import Iterator, Sequence
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
"""The errors of a whole vector exceed their bits with probability at most 2^-40."""

_BITS = 64
_PIECE = 8  # The number of polynomials that are processed at once.


def draw_key(entropy: Entropy) -> Secret:
    """Draw a key for one vector: 4096 discrete Gaussian coefficients, a signed byte each.

    Args:
        entropy: Source of randomness; it is called once, for 32 bytes.
    """
    return expand_key(Secret(draw(entropy, SEED_BYTES)))


def expand_key(seed: Secret) -> Secret:
    """Return the key that 32 bytes, which are expanded to nothing else, stand for."""
    return Secret(GaussianStream(seed).draw(DEGREE).tobytes())


def key_coefficients(key: Secret) -> NDArray[np.int64]:
    """Return the coefficients of a key, which can be added to those of others: shape `(4096,)`, entries in [-127, 127].

    Raises:
        InputError: The secret is not a key.
    """
    coefficients = np.frombuffer(key.reveal(), dtype=np.int8)
    if coefficients.shape != (DEGREE,) or coefficients.min() < -REACH:
        raise InputError(f"key: expected {DEGREE} signed bytes in [-{REACH}, {REACH}], found something else")
    return coefficients.astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatticePad:
    """Encryption of vectors of one shape.

    Attributes:
        length: Number of values in a vector, in [1, 2^32].
        bound: Values are in [0, bound); bound is at least 2.
        clients: Largest number of vectors that may be added up, in [1, 2^20].
        largest_weight: The largest number by which a vector may be multiplied before it is added, at least 1.
        sum_bits: b, in [1, 63], if each sum of values whose weights add up to k, less k * (bound // 2), is known to be
            in [-2^(b-1), 2^(b-1)). Other sums come out wrong, and so do the sums next to them. None if sums may have
            any value.

    Raises:
        ParameterError: A value is out of range, or the sums do not fit into words of 64 bits.
    """

    length: int
    bound: int
    clients: int
    largest_weight: int = 1
    sum_bits: int | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("length", 1, MAX_LENGTH),
            ("bound", 2, 2**_BITS),
            ("clients", 1, MAX_CLIENTS),
            ("largest_weight", 1, 2**_BITS),
        ):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ParameterError(f"{name}: expected an int in [{low}, {high}], found {value!r}")
        if self.sum_bits is not None and (type(self.sum_bits) is not int or not 1 <= self.sum_bits < _BITS):
            raise ParameterError(f"sum_bits: expected an int in [1, {_BITS - 1}] or None, found {self.sum_bits!r}")
        if not self.slots:
            reach = self._reach(self.length, self._squares)
            raise ParameterError(
                f"sums of {self.clients} values below {self.bound} with weights of at most {self.largest_weight} take "
                f"{self.slot_bits} bits, which leaves too few of {_BITS} for their errors, in [-{reach}, {reach}]. "
                "Lower the bound, the weights or the number of clients."
            )

    @property
    def slot_bits(self) -> int:
        """Number of bits that hold every possible sum of values."""
        return self.sum_bits or (self.clients * self.largest_weight * (self.bound - 1)).bit_length()

    @property
    def _squares(self) -> int:
        """The largest sum of the squares of weights."""
        return self.clients * self.largest_weight**2

    @property
    def slots(self) -> int:
        """Number of values in a word; 0 if none fits."""
        return _slots(self.length, self.slot_bits, self._squares)

    @property
    def noise_bits(self) -> int:
        """log2 of D: the number of bits of a word that are left for the errors."""
        return _BITS - self.slots * self.slot_bits

    @property
    def words(self) -> int:
        """Number of 64-bit words in a ciphertext."""
        return -(-self.length // self.slots)

    def reach(self, squares: int) -> int:
        """Return a bound on each sum of clients' errors in a vector, each times its weight.

        A sum exceeds it in absolute value with probability at most 2^-40, over all words of the vector.

        Args:
            squares: The sum of the squares of the weights: the number of clients if each weight is 1.
        """
        return self._reach(self.words, squares)

    @staticmethod
    def key_reach(squares: int) -> int:
        """Return a bound on each coefficient of a sum of keys, each times its weight.

        A coefficient exceeds it in absolute value with probability at most 2^-40, over all coefficients.

        Args:
            squares: The sum of the squares of the weights: the number of keys if each weight is 1.
        """
        return min(REACH * squares, LatticePad._reach(DEGREE, squares))

    @staticmethod
    def _reach(words: int, squares: int) -> int:
        logarithm = (FAILURE_BITS + 1) * math.log(2) + math.log(words)
        return math.ceil(float(WIDTH) * math.sqrt(2 * squares * logarithm))

    def seal(
        self, values: NDArray[np.unsignedinteger[Any]], *, keys: Sequence[Secret], seed: bytes, entropy: Entropy
    ) -> Ring:
        """Encrypt a vector under the sum of keys that have encrypted nothing else.

        Args:
            values: Shape `(length,)`, of an unsigned type, entries in [0, bound).
            keys: Keys from `draw_key` or `expand_key`, at least one.
            seed: 32 public bytes, a hash of the session, the same for all clients.
            entropy: Source of randomness; it is called once, for 32 bytes.

        Returns:
            The ciphertext: shape `(words,)`, uint64. Ciphertexts add up modulo 2^64, as uint64 do.

        Raises:
            InputError: `values`, `keys` or `seed` has another form.
            ParameterError: `entropy` does not return 32 bytes.
        """
        if values.shape != (self.length,) or values.dtype.kind != "u":
            raise InputError(f"expected {self.length} unsigned values, found {values.dtype} of shape {values.shape}")
        if int(values.max()) >= self.bound:
            raise InputError(f"values: expected integers below {self.bound}, found one that is not")
        if not keys:
            raise InputError("keys: expected at least one, found none. A vector without a key is not encrypted.")
        multiplier = Multiplier(np.sum([key_coefficients(key) for key in keys], axis=0))
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

    def open(
        self,
        total: Ring,
        *,
        key_sum: NDArray[np.int64],
        seed: bytes,
        weights: Sequence[int],
        largest_key: int | None = None,
    ) -> NDArray[np.uint64]:
        """Return the sum of vectors, from the sum of their ciphertexts and the sum of their keys.

        Args:
            total: The sum of ciphertexts: shape `(words,)`, uint64.
            key_sum: The sum of keys: shape `(4096,)`, int64.
            seed: The seed that `seal` was given.
            weights: For each vector that was added up, the number by which it and its key were multiplied, in [1,
                largest_weight]; at least one, at most `clients`.
            largest_key: The largest absolute value that a coefficient of the sum of keys may have. By default, it is
                `key_reach` for these weights, the bound for one key a vector.

        Returns:
            Shape `(length,)`, uint64, entries in [0, sum(weights) * (bound - 1)], modulo 2^64 if `sum_bits` allows
            sums beyond this range.

        Raises:
            InputError: A type, shape or length is wrong, a weight is, or there are more vectors than clients.
            DamagedSum: The sum of keys is larger than it can be, or does not belong to the ciphertexts; or a sum of
                values is larger than it can be.
        """
        if not 1 <= len(weights) <= self.clients:
            raise InputError(f"vectors: expected at least 1 and at most {self.clients}, found {len(weights)}")
        if any(type(weight) is not int or not 1 <= weight <= self.largest_weight for weight in weights):
            raise InputError(f"weights: expected ints in [1, {self.largest_weight}], found another value")
        contributors = len(weights)
        if total.shape != (self.words,) or total.dtype != np.uint64:
            raise InputError(f"expected {self.words} uint64, found {total.dtype} of shape {total.shape}")
        if key_sum.shape != (DEGREE,) or key_sum.dtype != np.int64:
            raise InputError(f"expected {DEGREE} int64, found {key_sum.dtype} of shape {key_sum.shape}")
        most = self.key_reach(sum(weight**2 for weight in weights)) if largest_key is None else largest_key
        if int(key_sum.max()) > most or int(key_sum.min()) < -most:
            raise DamagedSum(f"sum of {contributors} keys: expected entries within {most}, found a larger one")
        try:
            multiplier = Multiplier(key_sum)
        except ValueError as error:
            raise DamagedSum(f"sum of {contributors} clients' keys: {error}") from None
        opened = np.empty(self.length, dtype=np.uint64)
        for start, public in _public(seed, self.words):
            ciphertexts = total[start : start + public.size]
            self._open_piece(
                ciphertexts - multiplier.times(public).reshape(-1)[: ciphertexts.size], start, opened, weights
            )
        return opened

    def _open_piece(self, piece: Ring, start: int, opened: NDArray[np.uint64], weights: Sequence[int]) -> None:
        """Round a piece whose mask was removed, and write its slots to `opened`; `piece` is overwritten."""
        contributors, total = len(weights), sum(weights)
        reach, largest = self.reach(sum(weight**2 for weight in weights)), total * (self.bound - 1)
        # A slot holds the sum less `hidden`, which is not negative.
        hidden = 0 if self.sum_bits is None else total * (self.bound // 2) - 2 ** (self.sum_bits - 1)
        offset = sum(hidden << self.noise_bits + slot * self.slot_bits for slot in range(self.slots))
        half, mask = np.uint64(1 << (self.noise_bits - 1)), np.uint64((1 << self.noise_bits) - 1)
        piece += half
        errors = (piece & mask).view(np.int64) - np.int64(half)
        if int(np.abs(errors).max()) > reach:
            raise DamagedSum(f"errors of {contributors} clients: expected a sum within {reach}, found a larger one")
        piece -= np.uint64(offset % 2**_BITS)
        slot_mask = np.uint64((1 << self.slot_bits) - 1)
        for shift, entries in self._slices(start, piece.size):
            target = opened[entries]
            np.right_shift(piece[: target.size], np.uint64(shift), out=target)
            target &= slot_mask
            target += np.uint64(hidden % 2**_BITS)  # A sum below zero wraps around, to one above the largest.
            if target.size and int(target.max()) > largest:
                raise DamagedSum(
                    f"sum of {contributors} clients' values: expected at most {largest}, found a larger one"
                )

    def _slices(self, start: int, size: int) -> Iterator[tuple[int, slice]]:
        """Yield, for each slot of some words, its first bit and the slice of its values, shorter in the last slot."""
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
    """Yield the public polynomials that cover `words` words, `_PIECE` at a time, with the number of the first word."""
    if len(seed) != SEED_BYTES:
        raise InputError(f"public seed: expected {SEED_BYTES} bytes, found {len(seed)}")
    count = -(-words // DEGREE)
    # The seed is public, although its type is Secret.
    stream = Keystream(Secret(seed), expected_bytes=count * DEGREE * 8)
    for first in range(0, count, _PIECE):
        polynomials = min(_PIECE, count - first)
        keystream = stream.read(polynomials * DEGREE * 8)
        yield first * DEGREE, np.frombuffer(keystream, dtype="<u8").reshape(polynomials, DEGREE)
