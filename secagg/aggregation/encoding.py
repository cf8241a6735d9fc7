"""From a list of arrays to an integer vector modulo m, and from the sum of such vectors back to a mean.

Clip, weigh, rotate, bound each coordinate, scale, round at random to integers whose norm is bounded, in this order
(Kairouz, Liu and Steinke, arXiv 2102.06387v4, algorithms 1 and 2).  The granularity is the finest for which the
sum of the whole cohort, each coordinate at its bound and the noise at its own, cannot wrap around the modulus; where
that is too coarse to be of use, the encoding is refused and the modulus named that would do.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dp.clipping.clip import clip_l2, l2_norm
from secagg.aggregation import residues
from secagg.aggregation.headroom import MAXIMUM_MODULUS_BITS, steps_of_reach
from secagg.aggregation.rotation import Rotation, block_size, flat_bound, float_error, padded_length
from secagg.aggregation.rounding import round_at_random
from secagg.arrays import Arrays, Shapes
from secagg.checks import check_choice, plain_integer
from secagg.errors import EncodingError, UnusableMean

_COARSEST: Final = 0.5  # granularity times sqrt(length), as a fraction of the clip
_FLOAT_SLACK: Final = 2.0**-36  # above the rotation's float64 error, which is below 2^-37 of a vector's norm
_MOST_CLIENTS: Final = 2**32
_MOST_COORDINATES: Final = 2**40
# A clip is at most 2^65 steps, and the sum of a cohort below 2^61: within these, nothing leaves the normal floats.
_SMALLEST: Final = {"clip_l2": 1e-270, "max_weight": 1e-270, "granularity": 1e-300}
_LARGEST: Final = 1e270


class Weighting(StrEnum):
    """How clients count in the mean."""

    UNIFORM = "uniform"
    WEIGHTED = "weighted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A mean as the sum of encoded vectors tells it.

    Attributes:
        mean: Arrays of the encoding's shapes, float64.
        rounding_bound: The most that an entry differs, noise aside, from the exact mean; None if it is not told.
    """

    mean: Arrays
    rounding_bound: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """The public parameters of an encoding; make one with `Encoding.fit`.

    Attributes:
        shapes: Of the arrays, in order.
        clip_l2: Bound on the l2 norm of all arrays of a client together, in the update's units; in [1e-270, 1e270].
        clients: The largest cohort whose sum fits.
        modulus: Of the sum, in [2, 2^62].
        weighting: Uniform, or weighted by one more coordinate.
        max_weight: The weight that counts as one, in [1e-270, 1e270]; ignored where weighting is uniform.
        granularity: The update's units that one integer step stands for.
    """

    shapes: Shapes
    clip_l2: float
    clients: int
    modulus: int
    weighting: Weighting
    max_weight: float
    granularity: float

    def __post_init__(self) -> None:
        for name, smallest in _SMALLEST.items():
            value = getattr(self, name)
            if not _is_number(value) or not smallest <= _plain(value) <= _LARGEST:
                raise EncodingError(f"{name} must be a number in [{smallest}, {_LARGEST}], not {value!r}")
            object.__setattr__(self, name, float(value))
        if type(self.clients) is not int or not 2 <= self.clients <= _MOST_CLIENTS:
            raise EncodingError(f"clients must be an int in [2, {_MOST_CLIENTS}], not {self.clients!r}")
        if type(self.modulus) is not int or not 2 <= self.modulus <= 2**MAXIMUM_MODULUS_BITS:
            raise EncodingError(f"modulus must be an int in [2, 2^{MAXIMUM_MODULUS_BITS}], not {self.modulus!r}")
        weighting = check_choice("weighting", self.weighting, Weighting, error=EncodingError)
        object.__setattr__(self, "weighting", weighting)
        if not self.shapes or any(type(side) is not int or side < 1 for shape in self.shapes for side in shape):
            raise EncodingError(f"shapes must be of at least one array, with sides of at least 1, not {self.shapes}")
        if self.dimension > _MOST_COORDINATES:
            raise EncodingError(f"shapes must have at most {_MOST_COORDINATES} entries in all, not {self.dimension}")

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
        modulus: Callable[[int], int] = residues.power_of_two,
    ) -> "Encoding":
        """The finest encoding whose sum cannot wrap.

        Args:
            shapes: Of the arrays, in order; at least one array, and no side of 0.
            clip_l2: See the class.
            clients: See the class; at least 2.
            modulus_bits: Of the modulus, in [2, 62].
            weighting: See the class.
            max_weight: See the class.
            noise_reach: The most, in the update's units, that the noise of all clients adds to a coordinate.
            modulus: Gives the largest modulus of at most so many bits that the protocol sums over.

        Raises:
            EncodingError: An argument is out of range.
            ModulusTooSmall: The cohort does not fit the modulus; the error names the bits that would do.
        """
        if not _is_number(noise_reach) or not 0 <= noise_reach < math.inf:
            raise EncodingError(f"noise_reach must be a finite number, not negative, not {noise_reach!r}")
        try:
            sides = tuple(tuple(map(plain_integer, shape)) for shape in shapes)
        except TypeError:
            raise EncodingError(
                f"shapes must be a sequence of shapes, such as [(3, 4), (4,)], not {shapes!r}"
            ) from None
        modulus_bits, clients = plain_integer(modulus_bits), plain_integer(clients)
        if type(modulus_bits) is not int or not 2 <= modulus_bits <= MAXIMUM_MODULUS_BITS:
            raise EncodingError(f"modulus_bits must be an int in [2, {MAXIMUM_MODULUS_BITS}], not {modulus_bits!r}")
        draft = cls(
            shapes=sides,
            clip_l2=clip_l2,
            clients=clients,
            modulus=modulus(modulus_bits),
            weighting=check_choice("weighting", weighting, Weighting, error=EncodingError),
            max_weight=max_weight,
            granularity=1.0,
        )
        reach = clients * draft.coordinate_bound + noise_reach
        steps = steps_of_reach(
            reach=reach,
            coarsest=_COARSEST * draft.norm_bound / math.sqrt(draft.length),
            clients=clients,
            modulus_bits=modulus_bits,
            modulus=modulus,
        )
        fitted = replace(draft, granularity=(1 + _FLOAT_SLACK) * reach / steps)
        fitted.check_reach(0)
        return fitted

    @property
    def dimension(self) -> int:
        """Coordinates before padding: all elements, and the weight where there is one."""
        return sum(math.prod(shape) for shape in self.shapes) + (self.weighting is Weighting.WEIGHTED)

    @property
    def length(self) -> int:
        """Coordinates of the integer vector."""
        return padded_length(self.dimension)

    @property
    def modulus_bits(self) -> int:
        """Bits of a coordinate."""
        return (self.modulus - 1).bit_length()

    @property
    def norm_bound(self) -> float:
        """Bound on the l2 norm before rounding, in the update's units.

        Weighted, the weight in [0, 1] is a coordinate of its own, scaled by the clip, and multiplies the arrays.
        """
        return self.clip_l2 * (math.sqrt(2) if self.weighting is Weighting.WEIGHTED else 1.0)

    @property
    def coordinate_bound(self) -> float:
        """Bound on each rotated coordinate, in the update's units; what exceeds it, with chance 2^-40, is cut."""
        return flat_bound(self.norm_bound, self.dimension)

    @property
    def l2_sensitivity(self) -> float:
        """Bound on the l2 norm of one client's integer vector, in integer steps.

        Source: arXiv 2102.06387v4, theorem 1 (the norm of a vector after randomised rounding), beta = exp(-1/2); the
        slack is for float64 in clipping and rotating.
        """
        norm, root = self.norm_bound / self.granularity, math.sqrt(self.length)
        return math.sqrt(min((norm + root) ** 2, norm**2 + self.length / 4 + norm + root / 2)) * (1 + _FLOAT_SLACK)

    def check_reach(self, noise: int) -> None:
        """Make sure that the sum stays within the modulus.

        Args:
            noise: The most, in integer steps, that the noise of all clients adds to a coordinate.

        Raises:
            EncodingError: It may wrap around.
        """
        room = residues.half(self.modulus)
        # Exact: no coordinate is above this quotient of floats, and rounding moves it by less than one step.
        largest = min(self.coordinate_bound / self.granularity, 2.0**1000)
        signal = self.clients * (Fraction(largest) + 1)
        if signal + noise >= room:
            raise EncodingError(
                f"{self.clients} clients reach {float(signal):.6g} and their noise {noise} steps, where a modulus of "
                f"{self.modulus_bits} bits has room for {room}"
            )

    def rounding_bound(self, *, contributors: int, total_weight: float | None = None) -> float:
        """The most by which an entry of the decoded mean, without noise, differs from the exact mean.

        Each client's rounding moves a coordinate by less than one step, the inverse rotation gathers the errors of
        one block, and dividing a sum by an inexact weight at most doubles the error.  Rotating, scaling and rotating
        back in float64 adds up to three times the rotation's own error.  It holds but for the chance of 2^-40 that
        a client's coordinate was cut.

        Args:
            contributors: How many vectors are in the sum, in [1, clients].
            total_weight: The contributors' weights together; needed where the mean is weighted.

        Raises:
            EncodingError: An argument is missing or out of range.
        """
        self._check_contributors(contributors)
        step = self.granularity + 3 * float_error(self.norm_bound, self.dimension)
        error = contributors * step * math.sqrt(block_size(self.dimension))
        if self.weighting is Weighting.UNIFORM:
            return error / contributors
        if total_weight is None:
            raise EncodingError("the rounding bound of a weighted mean needs the total weight")
        certain = total_weight / self.max_weight - error / self.clip_l2
        return 2 * error / certain if certain > 0 else math.inf

    def checked(self, arrays: Iterable[ArrayLike]) -> list[NDArray[Any]]:
        """A client's update as a list of arrays, after every check that `encode` makes of it.

        Args:
            arrays: As for `encode`.

        Raises:
            EncodingError: The shapes do not fit, or it is no list of arrays.
            dp.errors.InvalidParameter: As from `encode`.
        """
        update = self._as_arrays(arrays)
        l2_norm(update)
        return update

    def checked_weight(self, weight: float | None) -> float | None:
        """A client's weight as a fraction of the greatest one; None where the mean is uniform.

        Args:
            weight: As for `encode`.

        Raises:
            EncodingError: It is out of range, missing, or there should be none.
        """
        if self.weighting is Weighting.UNIFORM:
            if weight is not None:
                raise EncodingError("this mean is uniform; it takes no weights")
            return None
        if weight is None or not _is_number(weight) or not 0 < _plain(weight) <= self.max_weight:
            # What was found is the client's secret, as its update is.
            raise EncodingError(f"weight: expected a number in (0, {self.max_weight:g}]")
        return float(weight) / self.max_weight

    def encode(
        self, arrays: Sequence[ArrayLike], *, weight: float | None, rotation: Rotation, entropy: Callable[[int], bytes]
    ) -> NDArray[np.int64]:
        """One client's integers, before noise.

        Args:
            arrays: Of the encoding's shapes, finite, any real dtype; clipped here.
            weight: In (0, max_weight] where the mean is weighted, else None.
            rotation: Of the encoding's dimension.
            entropy: Secret randomness for the rounding.

        Returns:
            Shape `(length,)`, int64, l2 norm at most `l2_sensitivity`.

        Raises:
            EncodingError: Shapes, weight or rotation do not fit.
            dp.errors.InvalidParameter: An entry is NaN or infinite, or no real number.
        """
        update = self._as_arrays(arrays)
        flat = np.concatenate([array.reshape(-1) for array in clip_l2(update, bound=self.clip_l2).arrays])
        share = self.checked_weight(weight)
        if share is not None:
            flat = np.append(flat * share, share * self.clip_l2)
        rotated = rotation.rotate(flat)
        bound = self.coordinate_bound
        np.clip(rotated, -bound, bound, out=rotated)
        rotated /= self.granularity
        return round_at_random(rotated, l2_bound=self.l2_sensitivity, entropy=entropy)

    def decode(
        self,
        total: NDArray[np.uint64],
        *,
        contributors: int,
        rotation: Rotation,
        noise: NDArray[np.int64] | None = None,
    ) -> Decoded:
        """The mean from the sum of the contributors' vectors modulo `modulus`.

        Args:
            total: Shape `(length,)`, uint64, entries in [0, modulus).
            contributors: How many vectors are in the sum, in [1, clients].
            rotation: The one that the clients used.
            noise: Added to the sum's integers, where it is the server that adds it; shape `(length,)`, int64.

        Returns:
            The mean and its `rounding_bound`. The total weight of a weighted mean is that which the sum itself tells,
            so that the bound holds without the weights of single clients.

        Raises:
            EncodingError: The arguments do not fit.
            UnusableMean: Noise or rounding has left a total weight that is not positive.
        """
        self._check_contributors(contributors)
        self.check_sum(total)
        integers = residues.centred(total, self.modulus)
        if noise is not None:
            integers += noise
        flat = rotation.restore(integers * self.granularity)
        divisor, total_weight = float(contributors), None
        if self.weighting is Weighting.WEIGHTED:
            divisor = float(flat[-1]) / self.clip_l2
            if divisor <= 0:
                raise UnusableMean(
                    "there is no mean: rounding and noise, where there is any, leave a total weight that is not above "
                    f"0; weights nearer to max_weight, {self.max_weight:g}, would do"
                )
            total_weight = divisor * self.max_weight
        edges = np.cumsum([math.prod(shape) for shape in self.shapes])
        pieces = np.split(flat[: edges[-1]] / divisor, edges[:-1])
        return Decoded(
            mean=[piece.reshape(shape) for piece, shape in zip(pieces, self.shapes, strict=True)],
            rounding_bound=self.rounding_bound(contributors=contributors, total_weight=total_weight),
        )

    def check_sum(self, total: NDArray[np.uint64]) -> None:
        """Raise `EncodingError` for what is no sum of encoded vectors: see `decode`."""
        if total.dtype != np.uint64 or total.shape != (self.length,) or int(total.max()) >= self.modulus:
            raise EncodingError(
                f"a sum must have shape ({self.length},), dtype uint64 and entries below the modulus, not shape "
                f"{total.shape} and dtype {total.dtype}"
            )

    def _as_arrays(self, arrays: object) -> list[NDArray[Any]]:
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
            raise EncodingError("the update must be a list of arrays; numpy makes none of an entry") from None
        found = tuple(array.shape for array in update)
        if found != self.shapes:
            raise EncodingError(f"the update has shapes {found}, where {self.shapes} are expected")
        return update

    def _check_contributors(self, contributors: int) -> None:
        if type(contributors) is not int or not 1 <= contributors <= self.clients:
            raise EncodingError(f"contributors must be an int in [1, {self.clients}], not {contributors!r}")


def _plain(value: float) -> float:
    """A number of Python's: numpy from 2.0 on would compare its float32 with a limit rounded to float32."""
    return value.item() if isinstance(value, np.generic) else value


def _is_number(value: object) -> TypeGuard[float]:
    """Whether it is an int or float, of Python or numpy, and no bool."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
