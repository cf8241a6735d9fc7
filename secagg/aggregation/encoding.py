"""From a list of arrays to an integer vector modulo m, and from the sum of such vectors back to a mean.

Clip, weigh, rotate, bound each coordinate, scale, round at random to integers whose norm is bounded, in this order
(Kairouz, Liu and Steinke, arXiv 2102.06387v4, algorithms 1 and 2). If the encoding is compressed, a client keeps a
public random subset of the rotated coordinates (`secagg.aggregation.subset`), and clips them once more: to the clip
times the square root of the fraction that is kept. The integers form a grid, whose step is called the
granularity. It is the finest for which the sum of the whole cohort cannot wrap around the modulus, with each coordinate
and the noise at their bounds. If that is too coarse to be useful, the encoding is refused and the error names a modulus
that is enough.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dp.clipping.clip import clip_l2, l2_norm
from secagg.aggregation import residues
from secagg.aggregation.encoding_parameters import FLOAT_SLACK, EncodingParameters, is_number, plain
from secagg.aggregation.headroom import MAXIMUM_MODULUS_BITS, steps_of_reach
from secagg.aggregation.rotation import Rotation, block_size, float_error
from secagg.aggregation.rounding import round_at_random
from secagg.aggregation.subset import SubsampledRotation, kept_rows
from secagg.aggregation.weighting import Weighting
from secagg.arrays import Arrays
from secagg.checks import check_choice, plain_integer
from secagg.errors import EncodingError, UnusableMean

_COARSEST: Final = 0.5  # The granularity times sqrt(length), as a fraction of the clip.
_PIECE: Final = 2**16  # The number of entries that are decoded at a time.


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A mean, decoded from the sum of encoded vectors.

    Attributes:
        mean: Arrays of the encoding's shapes, float64.
        rounding_bound: A bound on the difference, apart from noise, between an entry and the exact mean; None if the
            bound must not be revealed, or if the encoding is compressed: then no bound is small and certain.
    """

    mean: Arrays
    rounding_bound: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding(EncodingParameters):
    """An encoding of updates as integers; make one with `Encoding.fit`."""

    @classmethod
    def fit(
        cls,
        *,
        shapes: Sequence[Sequence[int]],
        clip_l2: float,
        clients: int,
        modulus_bits: int,
        weighting: Weighting | str = Weighting.UNIFORM,
        max_weight: float = 1.0,
        noise_reach: float = 0.0,
        compression: float = 1.0,
        modulus: Callable[[int], int] = residues.power_of_two,
    ) -> "Encoding":
        """Return the finest encoding whose sum cannot wrap around as long as noise stays within `noise_reach`.

        Args:
            shapes: The shapes of the arrays, in order; at least one array, and no side of 0.
            clip_l2: See the class.
            clients: See the class; at least 2.
            modulus_bits: Bits of the modulus, in [2, 62].
            weighting: See the class.
            max_weight: See the class.
            noise_reach: The largest amount that the noise of all clients adds to a coordinate, in the update's units.
            compression: The fraction of the rotated coordinates that a client sends, in (0, 1]. It is rounded up to
                whole coordinates of a block.
            modulus: Returns the largest modulus of at most the given number of bits that the protocol supports.

        Raises:
            EncodingError: An argument is out of range.
            ModulusTooSmall: The cohort does not fit the modulus; the error names the bits that are enough.
        """
        if not is_number(noise_reach) or not 0 <= noise_reach < math.inf:
            raise EncodingError(f"noise_reach: expected a finite number of at least 0, found {noise_reach!r}")
        if not is_number(compression) or not 0 < plain(compression) <= 1:
            raise EncodingError(f"compression: expected a number in (0, 1], found {compression!r}")
        try:
            sides = tuple(tuple(map(plain_integer, shape)) for shape in shapes)
        except TypeError:
            raise EncodingError(
                f"shapes: expected a sequence of shapes, such as [(3, 4), (4,)], found {shapes!r}"
            ) from None
        modulus_bits, clients = plain_integer(modulus_bits), plain_integer(clients)
        if type(modulus_bits) is not int or not 2 <= modulus_bits <= MAXIMUM_MODULUS_BITS:
            raise EncodingError(f"modulus_bits: expected an int in [2, {MAXIMUM_MODULUS_BITS}], found {modulus_bits!r}")
        draft = cls(
            shapes=sides,
            clip_l2=clip_l2,
            clients=clients,
            modulus=modulus(modulus_bits),
            weighting=check_choice("weighting", weighting, Weighting, error=EncodingError),
            max_weight=max_weight,
            granularity=1.0,
            kept=None,
        )
        kept = math.ceil(compression * draft.block)
        draft = draft if kept == draft.block else replace(draft, kept=kept)
        reach = clients * draft.coordinate_bound + noise_reach
        steps = steps_of_reach(
            reach=reach,
            coarsest=_COARSEST * draft.norm_bound / math.sqrt(draft.length),
            clients=clients,
            modulus_bits=modulus_bits,
            modulus=modulus,
        )
        fitted = replace(draft, granularity=(1 + FLOAT_SLACK) * reach / steps)
        fitted.check_reach(0)
        return fitted

    def check_reach(self, noise: int) -> None:
        """Check that the sum stays within the modulus.

        Args:
            noise: The largest amount that the noise of all clients adds to a coordinate, in integer steps.

        Raises:
            EncodingError: The sum may wrap around.
        """
        room = residues.half(self.modulus)
        # This is exact: no coordinate is above the quotient of floats, and rounding moves it by less than one step.
        largest = min(self.coordinate_bound / self.granularity, 2.0**1000)
        signal = self.clients * (Fraction(largest) + 1)
        if signal + noise >= room:
            raise EncodingError(
                f"sum: expected less than {room} steps, the room of a modulus of {self.modulus_bits} bits, found that "
                f"{self.clients} clients reach {float(signal):.6g} and their noise {noise}"
            )

    def rounding_bound(self, *, contributors: int, total_weight: float | None = None) -> float:
        """Return a bound on the difference between an entry of the decoded mean, without noise, and the exact mean.

        Each client's rounding moves a coordinate by less than one step. The inverse rotation combines the errors of one
        block, and dividing a sum by an inexact weight at most doubles the error. Rotating, scaling and rotating back in
        float64 adds up to three times the rotation's own error. The bound does not hold if a client's coordinate was
        cut, which has probability at most 2^-40 for each client.

        Args:
            contributors: The number of vectors in the sum, in [1, clients].
            total_weight: The sum of the contributors' weights; needed if the mean is weighted.

        Raises:
            EncodingError: An argument is missing or out of range, or the encoding is compressed: there is no bound.
        """
        self._check_contributors(contributors)
        if self.kept is not None:
            raise EncodingError(
                "rounding_bound: expected an encoding that sends all coordinates, found a compressed one, whose error "
                "has no bound that is small and certain. Use subsampling_error."
            )
        step = self.granularity + 3 * float_error(self.norm_bound, self.dimension)
        error = contributors * step * math.sqrt(block_size(self.dimension))
        if self.weighting is Weighting.UNIFORM:
            return error / contributors
        if total_weight is None:
            raise EncodingError("total_weight: expected a number for the rounding bound of a weighted mean, found none")
        certain = total_weight / self.max_weight - error / self.clip_l2
        return 2 * error / certain if certain > 0 else math.inf

    def checked(self, arrays: Iterable[ArrayLike]) -> list[NDArray[Any]]:
        """Return a client's update as a list of arrays, after every check of it that `encode` makes.

        Args:
            arrays: As for `encode`.

        Raises:
            EncodingError: The shapes do not fit, or `arrays` is not a list of arrays.
            dp.errors.InvalidParameter: As from `encode`.
        """
        update = self.as_arrays(arrays)
        l2_norm(update)
        return update

    def checked_weight(self, weight: float | None) -> float | None:
        """Return a client's weight as a fraction of `max_weight`; None if the mean is uniform.

        Args:
            weight: As for `encode`.

        Raises:
            EncodingError: The weight is out of range, missing, or given for a uniform mean.
        """
        if self.weighting is Weighting.UNIFORM:
            if weight is not None:
                raise EncodingError("weight: expected none, since this mean is uniform, found one")
            return None
        if weight is None or not is_number(weight) or not 0 < plain(weight) <= self.max_weight:
            # The message does not contain the weight, which is a secret of the client, like its update.
            raise EncodingError(f"weight: expected a number in (0, {self.max_weight:g}]")
        return float(weight) / self.max_weight

    def rotation(self, seed: bytes) -> Rotation:
        """Return the public rotation of vectors, with the rows that are kept if the encoding is compressed.

        Args:
            seed: Public bytes; the same for all parties, and fresh for each sum.
        """
        if self.kept is None:
            return Rotation(self.dimension, seed)
        rows = kept_rows(seed, blocks=self.length // self.kept, block=self.block, kept=self.kept)
        return SubsampledRotation(self.dimension, seed, rows)

    def encode(
        self, arrays: Sequence[ArrayLike], *, weight: float | None, rotation: Rotation, entropy: Callable[[int], bytes]
    ) -> NDArray[np.int64]:
        """Return one client's integers, before noise.

        Args:
            arrays: Arrays of the encoding's shapes, finite, any real dtype; clipped here.
            weight: A number in (0, max_weight] if the mean is weighted, else None.
            rotation: A rotation from `rotation`.
            entropy: Secret randomness for the rounding.

        Returns:
            Shape `(length,)`, int64, l2 norm at most `l2_sensitivity`.

        Raises:
            EncodingError: Shapes, weight or rotation do not fit.
            dp.errors.InvalidParameter: An entry is NaN, infinite or no real number.
        """
        update = self.as_arrays(arrays)
        flat = np.concatenate([array.reshape(-1) for array in clip_l2(update, bound=self.clip_l2).arrays])
        share = self.checked_weight(weight)
        if share is not None:
            flat = np.append(flat * share, share * self.clip_l2)
        rotated = rotation.rotate(flat)
        if rotated.shape != (self.length,):
            raise EncodingError(
                f"rotation: expected one with {self.length} rows, found {rotated.size}. Use that of "
                "`Encoding.rotation`."
            )
        if self.kept is not None:
            rotated = clip_l2([rotated], bound=self.norm_bound).arrays[0]
        self.scale(rotated)
        return round_at_random(rotated, l2_bound=self.l2_sensitivity, entropy=entropy)

    def scale(self, rotated: NDArray[np.float64]) -> None:
        """Bound rotated coordinates, and divide them by the granularity, in place."""
        bound = self.coordinate_bound
        np.clip(rotated, -bound, bound, out=rotated)
        rotated /= self.granularity

    def decode(
        self,
        total: NDArray[np.uint64],
        *,
        contributors: int,
        rotation: Rotation,
        noise: NDArray[np.int64] | None = None,
        overwrite: bool = False,
    ) -> Decoded:
        """Return the mean from the sum of the contributors' vectors modulo `modulus`.

        Args:
            total: Shape `(length,)`, uint64, entries in [0, modulus).
            contributors: The number of vectors in the sum, in [1, clients].
            rotation: The rotation that the clients used.
            noise: Noise to add to the sum's integers, if the server adds it; shape `(length,)`, int64.
            overwrite: Whether the mean takes the memory of `total`, which then holds no sum any more, even after an
                error. Otherwise it takes as much again. The mean is the same.

        Returns:
            The mean and its `rounding_bound`. For a weighted mean, the bound uses the total weight in the sum itself,
            so that it needs no weights of single clients.

        Raises:
            EncodingError: The arguments do not fit.
            UnusableMean: Noise or rounding has left a total weight that is not positive.
        """
        self._check_contributors(contributors)
        self.check_sum(total)
        scaled = total.view(np.float64) if overwrite else np.empty(self.length)
        for start in range(0, self.length, _PIECE):
            piece = slice(start, start + _PIECE)
            integers = residues.centred(total[piece], self.modulus)
            if noise is not None:
                integers += noise[piece]
            np.multiply(integers, self.granularity, out=scaled[piece])
        flat = rotation.restore(scaled)
        divisor, total_weight = float(contributors), None
        if self.weighting is Weighting.WEIGHTED:
            divisor = float(flat[-1]) / self.clip_l2
            if divisor <= 0:
                raise UnusableMean(
                    "there is no mean: expected a total weight above 0 in the sum, found 0 or less after rounding and "
                    f"any noise. Use weights nearer to max_weight, {self.max_weight:g}."
                )
            total_weight = divisor * self.max_weight
        edges = np.cumsum([math.prod(shape) for shape in self.shapes])
        flat /= divisor
        pieces = np.split(flat[: edges[-1]], edges[:-1])
        return Decoded(
            mean=[piece.reshape(shape) for piece, shape in zip(pieces, self.shapes, strict=True)],
            rounding_bound=self.rounding_bound(contributors=contributors, total_weight=total_weight)
            if self.kept is None
            else None,
        )

    def check_sum(self, total: NDArray[np.uint64]) -> None:
        """Raise `EncodingError` if `total` is not a sum of encoded vectors; see `decode`."""
        if type(total) is not np.ndarray:
            raise EncodingError(f"total: expected a NumPy array of dtype uint64, found {type(total).__name__}")
        if total.dtype != np.uint64 or total.shape != (self.length,) or int(total.max()) >= self.modulus:
            raise EncodingError(
                f"total: expected shape ({self.length},), dtype uint64 and entries below the modulus, found shape "
                f"{total.shape} and dtype {total.dtype}"
            )

    def as_arrays(self, arrays: object) -> list[NDArray[Any]]:
        """Return an update as a list of arrays of the encoding's shapes, none of which is read.

        Raises:
            EncodingError: It is not such a list.
        """
        if isinstance(arrays, Mapping | str | bytes) or not isinstance(arrays, Iterable):
            advice = ". Pass list(update.values())" if isinstance(arrays, Mapping) else ""
            raise EncodingError(f"the update: expected a list of arrays, found {type(arrays).__name__}{advice}")
        listed = list(arrays)
        if any(isinstance(array, np.ma.MaskedArray) for array in listed):
            raise EncodingError(
                "the update: expected plain arrays, found one with a mask, which a sum would lose. Fill it first, with "
                "array.filled(0)."
            )
        try:
            update = [np.asarray(array) for array in listed]
        except (TypeError, ValueError):
            raise EncodingError(
                "the update: expected a list of arrays, found an entry that NumPy cannot convert to an array"
            ) from None
        found = tuple(array.shape for array in update)
        if found != self.shapes:
            raise EncodingError(f"the update: expected shapes {self.shapes}, found {found}")
        return update

    def _check_contributors(self, contributors: int) -> None:
        if type(contributors) is not int or not 1 <= contributors <= self.clients:
            raise EncodingError(f"contributors: expected an int in [1, {self.clients}], found {contributors!r}")
