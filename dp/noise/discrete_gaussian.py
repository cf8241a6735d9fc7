"""Exact samples of the discrete Gaussian, vectorised, from a cryptographic stream.

The discrete Gaussian N_Z(0, sigma^2) gives every integer x a probability proportional to exp(-x^2 / (2 sigma^2))
(Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy", arXiv 2004.00010v5, Definition 1). The
sampler of that paper draws one number at a time. This one is a rejection sampler whose proposals need only whole random
bits, so numpy can make thousands of proposals at once. `dp.noise.envelope` has the proposals and the proof.

To prevent floating-point attacks on noise (Mironov, CCS 2012), the output is exactly distributed, given uniform bits.
Float64 decides only the comparisons that are clear by a margin of 2**-39, while its error is below 2**-45. Closer
comparisons are decided in arbitrary precision, with further random bits until the answer is certain. The running time
depends on the number of rejected proposals and is not constant.
"""

import os
from collections.abc import Callable
from fractions import Fraction
from typing import Final, Protocol

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from dp.checks import integer_at_least, positive_rational
from dp.errors import EntropyFailure
from dp.noise.envelope import SLOT_BITS, Envelope, exponential_bounds

Entropy = Callable[[int], bytes]

SEED_BYTES: Final = 32
MAXIMUM_SIZE: Final = 1 << 32
CHUNK: Final = 1 << 14
UNIFORM_BITS: Final = 47  # A 64-bit word holds a slot (16 bits), a sign (1 bit) and a uniform (47 bits).
# In units of the last bit of the uniform: 1 for the uniform's own width, the rest far above any float64 error.
MARGIN: Final = 256.0


class Bits(Protocol):
    """A source of independent uniform bits."""

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return `count` uniform 64-bit words."""

    def integer(self, bits: int) -> int:
        """Return a uniform integer in `[0, 2**bits)`."""


class KeyStream:
    """AES-256 in counter mode under a fresh key: without the key, its bits cannot be distinguished from uniform bits.

    Args:
        entropy: Source of the key, called once for 32 bytes; use the operating system's, or one as good.

    Raises:
        EntropyFailure: `entropy` returned anything other than 32 bytes.
    """

    __slots__ = ("_encryptor",)

    def __init__(self, entropy: Entropy) -> None:
        # The key is used only for this stream, so a constant first counter block is safe.
        self._encryptor = Cipher(algorithms.AES256(fresh_seed(entropy)), modes.CTR(bytes(16))).encryptor()

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return the next `count` 64-bit words, shape `(count,)`."""
        words = np.zeros(count, dtype=np.uint64)
        view = words.data.cast("B")
        self._encryptor.update_into(view, view)
        return words

    def integer(self, bits: int) -> int:
        """Return the next `bits` bits (rounded up to whole bytes of the stream) as an integer."""
        length = -(-bits // 8)
        return int.from_bytes(self._encryptor.update(bytes(length)), "little") >> (8 * length - bits)


def discrete_gaussian(sigma: float | Fraction, size: int, entropy: Entropy = os.urandom) -> NDArray[np.int64]:
    """Draw independent samples of the discrete Gaussian N_Z(0, sigma^2).

    Args:
        sigma: The parameter of the distribution, from 1/4 to 2**40; its exact rational value is used.
        size: The number of samples, 1 to 2**32.
        entropy: Source of the 32-byte key from which all samples are expanded.

    Returns:
        Shape `(size,)`, int64.

    Formal guarantees:
        The samples are exactly distributed for uniform bits. With AES-256 in counter mode as the bits, they are
        computationally indistinguishable from that. One sample, added to an integer of sensitivity 1, gives
        1/(2 sigma^2)-zCDP (arXiv 2004.00010v5, Theorem 4). Relation and unit are those for which the sensitivity was
        measured. Sums of several samples are accounted in `dp.accounting`.

    Raises:
        InvalidParameter: `sigma` or `size` is out of range.
        EntropyFailure: `entropy` did not return the bytes that were asked for.
    """
    envelope = Envelope.of(positive_rational("sigma", sigma))
    return sample(envelope, integer_at_least("size", size, 1, maximum=MAXIMUM_SIZE), KeyStream(entropy))


def sample(envelope: Envelope, size: int, bits: Bits) -> NDArray[np.int64]:
    """Draw `size` samples of the distribution that `envelope` belongs to; shape `(size,)`, int64."""
    samples = np.empty(size, dtype=np.int64)
    filled = 0
    while filled < size:
        missing = size - filled
        accepted = _propose(envelope, min(CHUNK, missing + missing // 8 + 16), bits)[:missing]
        samples[filled : filled + accepted.size] = accepted
        filled += accepted.size
    return samples


def fresh_seed(entropy: Callable[[int], object]) -> bytes:
    """Draw 32 bytes, the key of a `KeyStream`.

    Raises:
        EntropyFailure: `entropy` did not return the bytes that were asked for.
    """
    seed = entropy(SEED_BYTES)
    if not isinstance(seed, bytes) or len(seed) != SEED_BYTES:
        raise EntropyFailure(f"entropy: expected {SEED_BYTES} bytes, found something else. Use os.urandom.")
    return seed


def _propose(envelope: Envelope, count: int, bits: Bits) -> NDArray[np.int64]:
    """Make `count` proposals and return the accepted ones in the order they were made."""
    words = bits.words(count)
    block = envelope.slots[(words >> np.uint64(64 - SLOT_BITS)).view(np.int64)]
    magnitude = block.astype(np.int64) << envelope.shift
    if envelope.shift:
        magnitude |= (bits.words(count) >> np.uint64(64 - envelope.shift)).view(np.int64)
    uniform = (words & np.uint64((1 << UNIFORM_BITS) - 1)).view(np.int64).astype(np.float64)
    excess = magnitude.astype(np.float64)
    excess *= excess
    excess *= -float(envelope.exponent_unit)
    np.exp(excess, out=excess)
    excess *= (envelope.ratios * 2.0**UNIFORM_BITS)[block]
    excess -= uniform
    accepted = excess > MARGIN
    for index in np.flatnonzero(np.abs(excess) <= MARGIN):
        accepted[index] = _accept(
            bits,
            factor=Fraction(envelope.scale, envelope.counts[block[index]]),
            exponent=int(magnitude[index]) ** 2 * envelope.exponent_unit,
            prefix=int(uniform[index]),
            prefix_bits=UNIFORM_BITS,
        )
    for index in np.flatnonzero(block == envelope.tail_block):
        magnitude[index], accepted[index] = _propose_in_tail(envelope, bits)
    negative = (words >> np.uint64(UNIFORM_BITS)).view(np.int64) & 1
    # Zero has only one sign, otherwise it would occur twice as often.
    accepted &= (negative == 0) | (magnitude != 0)
    magnitude ^= -negative
    magnitude += negative
    return magnitude[accepted]


def _propose_in_tail(envelope: Envelope, bits: Bits) -> tuple[int, bool]:
    """Make one proposal beyond the table, in exact arithmetic; return its magnitude and whether it is accepted."""
    depth = 0
    while bits.integer(1):
        depth += 1
    magnitude = envelope.tail_start + (depth << envelope.tail_shift) + bits.integer(envelope.tail_shift)
    accepted = _accept(
        bits,
        factor=Fraction(envelope.scale << (depth + 1 + envelope.tail_shift - envelope.shift), envelope.tail_count),
        exponent=magnitude**2 * envelope.exponent_unit,
        prefix=0,
        prefix_bits=0,
    )
    return magnitude, accepted


def _accept(bits: Bits, *, factor: Fraction, exponent: Fraction, prefix: int, prefix_bits: int) -> bool:
    """Return whether a uniform real in [0, 1), known by its first bits, is below factor * exp(-exponent).

    The real is refined, and the exponential computed to more digits, until the answer is certain.
    """
    while True:
        low, high = exponential_bounds(exponent, digits=prefix_bits // 3 + 20)
        if Fraction(prefix + 1, 1 << prefix_bits) <= factor * low:
            return True
        if Fraction(prefix, 1 << prefix_bits) >= factor * high:
            return False
        prefix = prefix << 64 | bits.integer(64)
        prefix_bits += 64
