"""Lattice pads: a lattice mask whose key is a sum of short keys, one from each of a client's seeds.

A client encrypts its vector by `protocols.crypto.lattice.pad` under the sum of g(p_a) over all sets a. Here p_a is the
pad key of its seed for set a, and g expands it to 4096 discrete Gaussians. Errors are drawn by the client and known to
nobody else. A set's opening is the sum of the contributors' g(p_a), each times its weight: 4096 integers of 64 bits,
little-endian. The members expand the seeds themselves, so each summand is at most 127 in absolute value, whatever a
client does. A member's work and replies do not depend on the vector's length.

Against a malicious server, padded vectors are wrapped (`protocols.seeds.wrap`). The contributors' shares of the wrap's
keys, ascending by contributor, are then a part of the opening.

Entries of vectors are stored as `protocols.values` says. The opened value is the sum over the integers of what entries
represent. This tells more than the sum modulo m, unless the modulus has headroom for the sum, as encodings have. In
sessions with weights, the openings also tell the sum of the vectors of each weight. The reason is that keys are small:
if some keys are multiplied by a large weight, the sum of those keys and the sum of the others can be told apart.

Security: `protocols.crypto.lattice.hardness` if at least two contributors are honest; docs/seeds.md has the argument.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from protocols.crypto.entropy import Entropy
from protocols.crypto.keystream import Words
from protocols.crypto.lattice.gaussian import REACH, GaussianStream
from protocols.crypto.lattice.pad import LatticePad, expand_key
from protocols.crypto.lattice.ring import DEGREE, limb_bits
from protocols.errors import MalformedMessage, ParameterError
from protocols.seeds import wrap
from protocols.seeds.pads import Pads, SetKeys
from protocols.session import Session, Vector
from protocols.values import Values, headroom_bits

_WORD: Final = np.dtype("<u8")
_COEFFICIENT: Final = np.dtype("<i8")
_SUM_BYTES: Final = DEGREE * _COEFFICIENT.itemsize


class LatticePads(Pads):
    """Pads of a session of any modulus. They are wrapped if and only if the session has a roster.

    Args:
        session: The session.
        seed: 32 public bytes, a hash of the session, from which the public polynomials are expanded.
        sets: The number of sets, and so of summands of a client's key.
        value_bits: b, if every client's entries represent only integers in [-2^(b-1), 2^(b-1)); None if they may be
            anything below the modulus.
        headroom: Whether the caller vouches that every sum of contributors' entries, as integers, lies in [-m/2, m/2)
            for the modulus m.

    Raises:
        ParameterError: `value_bits` is out of its range, or sums do not fit into words of 64 bits, or sums of keys
            may be too large for exact products.
    """

    sums_in_place = False

    def __init__(self, session: Session, *, seed: bytes, sets: int, value_bits: int | None, headroom: bool) -> None:
        self._seed = seed
        self._wrapped = session.roster is not None
        self._values = Values(modulus=session.modulus, value_bits=value_bits)
        bound, clients, largest = self._values.bound, len(session.clients), session.weights[-1]
        most = clients * largest
        sum_bits = headroom_bits(modulus=session.modulus, bound=bound, clients=most) if headroom else None
        self._pad = LatticePad(
            length=session.length, bound=bound, clients=clients, largest_weight=largest, sum_bits=sum_bits
        )
        _check_norm(sets * clients * largest**2)
        self.padded_bytes = self._pad.words * _WORD.itemsize

    def check(self, vector: Words) -> None:
        """See `Pads.check`. Entries must be in the range that `value_bits` promises."""
        self._values.check(vector)

    def padded(self, vector: Words, keys: Sequence[SetKeys], entropy: Entropy) -> memoryview:
        """See `Pads.padded`. The errors are drawn here and are not kept."""
        self._values.store(vector)
        expanded = [expand_key(key.pad) for key in keys]
        sealed = self._pad.seal(vector, keys=expanded, seed=self._seed, entropy=entropy).astype(_WORD, copy=False)
        if self._wrapped:
            wrap.add(sealed, [key.wrap for key in keys])
        return sealed.data.cast("B")

    def check_padded(self, padded: memoryview) -> None:
        """See `Pads.check_padded`. Every word is allowed."""
        if len(padded) != self.padded_bytes:
            raise MalformedMessage(f"padded vector: expected {self.padded_bytes} bytes, found {len(padded)}")

    def opening(self, keys: Sequence[SetKeys], weights: Sequence[int]) -> bytes:
        """See `Pads.opening`."""
        total = np.zeros(DEGREE, dtype=np.int64)
        for key, weight in zip(keys, weights, strict=True):
            total += weight * GaussianStream(key.pad).draw(DEGREE).astype(np.int64)  # Before, an entry has 8 bits.
        shares = [key.wrap.reveal() for key in keys] if self._wrapped else []
        return b"".join((total.astype(_COEFFICIENT, copy=False).tobytes(), *shares))

    def opening_bytes(self, contributors: int) -> int:
        """See `Pads.opening_bytes`."""
        return _SUM_BYTES + (wrap.KEY_BYTES * contributors if self._wrapped else 0)

    def check_opening(self, opening: memoryview, weights: Sequence[int]) -> None:
        """See `Pads.check_opening`. A coefficient is a sum of integers up to 127, each times a contributor's weight."""
        most, total = REACH * sum(weights), _key_sum(opening)
        if int(total.max()) > most or int(total.min()) < -most:
            raise MalformedMessage(f"sum of {len(weights)} keys: expected entries within {most}, found a larger one")

    def nothing(self) -> Words:
        """See `Pads.nothing`."""
        return np.zeros(self._pad.words, dtype=_WORD)

    def add(self, total: Words, padded: bytes | memoryview) -> None:
        """See `Pads.add`."""
        total += np.frombuffer(padded, dtype=_WORD)

    def opened(self, total: Words, openings: Sequence[bytes | memoryview], weights: Sequence[int]) -> Vector:
        """See `Pads.opened`."""
        if self._wrapped:
            total = wrap.removed(total, [opening[_SUM_BYTES:] for opening in openings], weights)
        opened = self._pad.open(
            total,
            key_sum=np.sum([_key_sum(opening) for opening in openings], axis=0),
            seed=self._seed,
            weights=weights,
            largest_key=REACH * sum(weights) * len(openings),
        )
        opened -= np.uint64(sum(weights) * self._values.shift % 2**64)
        return self._values.reduced(opened.view(np.int64))


def _check_norm(squares: int) -> None:
    """Refuse sessions whose sums of keys may be too large for exact products.

    Args:
        squares: The largest sum of the squares of the weights of all keys: one for each contributor and set.
    """
    try:
        limb_bits(LatticePad.key_reach(squares) * math.sqrt(DEGREE))
    except ValueError as error:
        raise ParameterError(
            f"weights: expected ones whose sums of keys can be multiplied exactly, found larger ones: {error}. Use "
            "smaller weights, or fewer clients."
        ) from None


def _key_sum(opening: bytes | memoryview) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.frombuffer(opening, dtype=_COEFFICIENT, count=DEGREE)
