"""From a list of arrays to an integer vector modulo m, and from the sum of such vectors back to a mean.

Clip, weigh, rotate, bound each coordinate, scale, round at random to integers whose norm is bounded, in this order
(Kairouz, Liu and Steinke, arXiv 2102.06387v4, algorithms 1 and 2).  The granularity is the finest for which the
sum of the whole cohort, each coordinate at its bound and the noise at its own, cannot wrap around the modulus; where
that is too coarse to be of use, the encoding is refused and the modulus named that would do.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dp.clip import clip_l2
from protocols.crypto import prg
from protocols.crypto.secret import Secret
from secagg.errors import EncodingError
from secagg.rotation import Rotation, block_size, flat_bound, padded_length

Arrays = list[NDArray[np.float64]]
Shapes = tuple[tuple[int, ...], ...]

_COARSEST = 0.5  # granularity times sqrt(length), as a fraction of the clip
_ROUNDING_TRIES = 64


class Weighting(StrEnum):
    """How clients count in the mean."""

    UNIFORM = "uniform"
    WEIGHTED = "weighted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """The public parameters of an encoding; make one with `Encoding.fit`.

    Attributes:
        shapes: Of the arrays, in order.
        clip_l2: Bound on the l2 norm of all arrays of a client together, in the update's units.
        clients: The largest cohort whose sum fits.
        modulus_bits: log2 of the modulus, in [2, 62].
        weighting: Uniform, or weighted by one more coordinate.
        max_weight: The weight that counts as one; ignored where weighting is uniform.
        granularity: The update's units that one integer step stands for.
    """

    shapes: Shapes
    clip_l2: float
    clients: int
    modulus_bits: int
    weighting: Weighting
    max_weight: float
    granularity: float

    @classmethod
    def fit(
        cls,
        *,
        shapes: Sequence[Sequence[int]],
        clip_l2: float,
        clients: int,
        modulus_bits: int,
        weighting: Weighting = Weighting.UNIFORM,
        max_weight: float = 1.0,
        noise_reach: float = 0.0,
    ) -> "Encoding":
        """The finest encoding whose sum cannot wrap.

        Args:
            shapes: Of the arrays, in order; together at least one element.
            clip_l2: See the class.
            clients: See the class; at least 2.
            modulus_bits: See the class.
            weighting: See the class.
            max_weight: See the class.
            noise_reach: The most, in the update's units, that the noise of all clients adds to a coordinate.

        Raises:
            EncodingError: An argument is out of range, or the cohort does not fit the modulus.
        """
        _check_positive("clip_l2", clip_l2)
        _check_positive("max_weight", max_weight)
        if not (noise_reach >= 0 and math.isfinite(noise_reach)):
            raise EncodingError(f"noise_reach must be finite and not negative, not {noise_reach}")
        if type(clients) is not int or clients < 2:
            raise EncodingError(f"clients must be an int of at least 2, not {clients!r}")
        if type(modulus_bits) is not int or not 2 <= modulus_bits <= 62:
            raise EncodingError(f"modulus_bits must be an int in [2, 62], not {modulus_bits!r}")
        checked = tuple(tuple(int(side) for side in shape) for shape in shapes)
        if any(side < 0 for shape in checked for side in shape) or not sum(math.prod(shape) for shape in checked):
            raise EncodingError(f"shapes must describe at least one element, not {checked}")
        draft = cls(
            shapes=checked,
            clip_l2=float(clip_l2),
            clients=clients,
            modulus_bits=modulus_bits,
            weighting=Weighting(weighting),
            max_weight=float(max_weight),
            granularity=1.0,
        )
        reach = clients * draft.coordinate_bound + noise_reach
        finest_useful = _COARSEST * draft.norm_bound / math.sqrt(draft.length)
        steps = 2 ** (modulus_bits - 1) - 1 - 2 * clients
        if steps <= 0 or reach / steps > finest_useful:
            enough = math.ceil(math.log2(reach / finest_useful + 2 * clients + 1)) + 1
            raise EncodingError(
                f"a cohort of {clients} clients and its noise do not fit a modulus of {modulus_bits} bits; "
                f"{enough} bits would do"
            )
        return cls(**{**_fields(draft), "granularity": reach / steps})

    @property
    def dimension(self) -> int:
        """Coordinates before padding: all elements, and the weight where there is one."""
        return sum(math.prod(shape) for shape in self.shapes) + (self.weighting is Weighting.WEIGHTED)

    @property
    def length(self) -> int:
        """Coordinates of the integer vector."""
        return padded_length(self.dimension)

    @property
    def modulus(self) -> int:
        """The modulus, a power of two."""
        return 2**self.modulus_bits

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

        Source: arXiv 2102.06387v4, theorem 1 (the norm of a vector after randomised rounding), beta = exp(-1/2).
        """
        norm, root = self.norm_bound / self.granularity, math.sqrt(self.length)
        return math.sqrt(min((norm + root) ** 2, norm**2 + self.length / 4 + norm + root / 2))

    def check_reach(self, noise: int) -> None:
        """Make sure that the sum stays within the modulus.

        Args:
            noise: The most, in integer steps, that the noise of all clients adds to a coordinate.

        Raises:
            EncodingError: It may wrap around.
        """
        signal = self.clients * (self.coordinate_bound / self.granularity + 1)
        if signal + noise >= self.modulus // 2:
            raise EncodingError(
                f"{self.clients} clients reach {signal:.6g} and their noise {noise} steps, where a modulus of "
                f"{self.modulus_bits} bits has room for {self.modulus // 2}"
            )

    def rounding_bound(self, *, contributors: int, total_weight: float | None = None) -> float:
        """The most by which an entry of the decoded mean, without noise, differs from the exact mean.

        Each client's rounding moves a coordinate by less than one step, the inverse rotation gathers the errors of
        one block, and dividing a sum by an inexact weight at most doubles the error.

        Args:
            contributors: How many vectors are in the sum.
            total_weight: The contributors' weights together; needed where the mean is weighted.
        """
        error = contributors * self.granularity * math.sqrt(block_size(self.dimension))
        if self.weighting is Weighting.UNIFORM:
            return error / contributors
        if total_weight is None:
            raise EncodingError("the rounding bound of a weighted mean needs the total weight")
        certain = total_weight / self.max_weight - error / self.clip_l2
        return 2 * error / certain if certain > 0 else math.inf

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
            EncodingError: Shapes or weight do not fit.
            dp.errors.InvalidUpdate: An entry is NaN or infinite, or no real number.
        """
        found = tuple(np.shape(array) for array in arrays)
        if found != self.shapes:
            raise EncodingError(f"the update has shapes {found}, where {self.shapes} are expected")
        clipped = clip_l2([np.asarray(array) for array in arrays], bound=self.clip_l2)
        flat = np.concatenate([array.reshape(-1) for array in clipped.arrays])
        share = self._checked_weight(weight)
        if share is not None:
            flat = np.append(flat * share, share * self.clip_l2)
        rotated = rotation.rotate(flat)
        bound = self.coordinate_bound
        np.clip(rotated, -bound, bound, out=rotated)
        rotated /= self.granularity
        return _round(rotated, self.l2_sensitivity, entropy)

    def decode(self, total: NDArray[np.uint64], *, contributors: int, rotation: Rotation) -> Arrays:
        """The mean from the sum of the contributors' vectors modulo `modulus`.

        Args:
            total: Shape `(length,)`, uint64, entries in [0, modulus).
            contributors: How many vectors are in the sum, in [1, clients].
            rotation: The one that the clients used.

        Returns:
            Arrays of the encoding's shapes, float64.

        Raises:
            EncodingError: The arguments do not fit, or noise has left a total weight that is not positive.
        """
        if total.shape != (self.length,) or not 1 <= contributors <= self.clients:
            raise EncodingError(f"cannot decode shape {total.shape} of {contributors} contributors")
        centred = total.astype(np.int64)
        centred[centred >= self.modulus // 2] -= self.modulus
        flat = rotation.restore(centred * self.granularity)
        divisor = float(contributors)
        if self.weighting is Weighting.WEIGHTED:
            divisor = float(flat[-1]) / self.clip_l2
            if divisor <= 0:
                raise EncodingError("the noise outweighs the total weight; there is no mean to release")
        edges = np.cumsum([math.prod(shape) for shape in self.shapes])
        pieces = np.split(flat[: edges[-1]] / divisor, edges[:-1])
        return [piece.reshape(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def _checked_weight(self, weight: float | None) -> float | None:
        if self.weighting is Weighting.UNIFORM:
            if weight is not None:
                raise EncodingError("this mean is uniform; it takes no weights")
            return None
        if weight is None or not 0 < weight <= self.max_weight:
            raise EncodingError(f"a weight must lie in (0, {self.max_weight}], not {weight}")
        return weight / self.max_weight


def _round(
    scaled: NDArray[np.float64], l2_bound: float, entropy: Callable[[int], bytes]
) -> NDArray[np.int64]:
    """Randomised rounding to integers, repeated until the norm is within its bound, then towards zero.

    Unbiased but for the conditioning and the 2^-32 resolution of the coins; privacy rests on the norm alone, which
    is computed exactly, in integers.
    """
    floor = np.floor(scaled)
    lower = floor.astype(np.int64)
    chances = ((scaled - floor) * 2.0**32).astype(np.uint64)
    limit = math.floor(l2_bound**2)
    for _ in range(_ROUNDING_TRIES):
        coins = np.zeros(scaled.size, dtype="<u4")
        prg.add_mask(coins, Secret(entropy(32)))
        rounded = lower + (coins < chances)
        if _squared_norm(rounded) <= limit:
            return rounded
    return np.trunc(scaled).astype(np.int64)


def _squared_norm(vector: NDArray[np.int64]) -> int:
    """Exact, for entries below 2^62: high and low halves apart, so that no partial sum leaves 64 bits."""
    magnitude = np.abs(vector)
    high, low = magnitude >> 20, magnitude & (2**20 - 1)
    return sum((int(part) << shift) for part, shift in ((_dot(high, high), 40), (2 * _dot(high, low), 20), (_dot(low, low), 0)))


def _dot(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    if int(one.max(initial=0)) * int(other.max(initial=0)) * one.size < 2**63:
        return int(one @ other)
    return sum(int(a) * int(b) for a, b in zip(one, other, strict=True))


def _fields(encoding: Encoding) -> dict[str, object]:
    return {name: getattr(encoding, name) for name in Encoding.__dataclass_fields__}


def _check_positive(name: str, value: float) -> None:
    if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
        raise EncodingError(f"{name} must be finite and above 0, not {value!r}")
