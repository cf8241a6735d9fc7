"""The public parameters of an encoding, and the bounds that follow from them."""

import math
from dataclasses import dataclass
from typing import Final, TypeGuard

import numpy as np

from secagg.aggregation.headroom import MAXIMUM_MODULUS_BITS
from secagg.aggregation.rotation import block_size, flat_bound, padded_length
from secagg.aggregation.subset import MOST_BIAS, clip_bias, least_kept
from secagg.aggregation.weighting import Weighting
from secagg.arrays import Shapes
from secagg.checks import check_choice
from secagg.errors import EncodingError

FLOAT_SLACK: Final = 2.0**-36  # Above the rotation's float64 error, which is below 2^-37 of the norm.
_MOST_CLIENTS: Final = 2**32
_MOST_COORDINATES: Final = 2**40
# A clip is at most 2^65 steps, and the sum of a cohort is below 2^61: in these ranges all floats stay normal.
_SMALLEST: Final = {"clip_l2": 1e-270, "max_weight": 1e-270, "granularity": 1e-300}
_LARGEST: Final = 1e270


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingParameters:
    """The public parameters of an encoding; `Encoding` encodes and decodes with them.

    Attributes:
        shapes: The shapes of the arrays, in order.
        clip_l2: Bound on the l2 norm of all arrays of a client together, in the update's units; in [1e-270, 1e270].
        clients: The largest number of clients whose sum fits.
        modulus: The modulus of the sum, in [2, 2^62].
        weighting: Uniform, or weighted by one more coordinate.
        max_weight: The weight that counts as 1, in [1e-270, 1e270]; ignored if weighting is uniform.
        granularity: The size of one integer step, in the update's units.
        kept: The number of rotated coordinates that a client sends of each block, in [1, block - 1], if the encoding is
            compressed; None if a client sends all.
    """

    shapes: Shapes
    clip_l2: float
    clients: int
    modulus: int
    weighting: Weighting
    max_weight: float
    granularity: float
    kept: int | None

    def __post_init__(self) -> None:
        for name, smallest in _SMALLEST.items():
            value = getattr(self, name)
            if not is_number(value) or not smallest <= plain(value) <= _LARGEST:
                raise EncodingError(f"{name}: expected a number in [{smallest}, {_LARGEST}], found {value!r}")
            object.__setattr__(self, name, float(value))
        if type(self.clients) is not int or not 2 <= self.clients <= _MOST_CLIENTS:
            raise EncodingError(f"clients: expected an int in [2, {_MOST_CLIENTS}], found {self.clients!r}")
        if type(self.modulus) is not int or not 2 <= self.modulus <= 2**MAXIMUM_MODULUS_BITS:
            raise EncodingError(f"modulus: expected an int in [2, 2^{MAXIMUM_MODULUS_BITS}], found {self.modulus!r}")
        weighting = check_choice("weighting", self.weighting, Weighting, error=EncodingError)
        object.__setattr__(self, "weighting", weighting)
        if not self.shapes or any(type(side) is not int or side < 1 for shape in self.shapes for side in shape):
            raise EncodingError(f"shapes: expected at least one, with sides of at least 1, found {self.shapes}")
        if self.dimension > _MOST_COORDINATES:
            raise EncodingError(f"shapes: expected at most {_MOST_COORDINATES} entries in all, found {self.dimension}")
        if self.kept is not None:
            self._check_compression(self.kept)

    @property
    def dimension(self) -> int:
        """The number of coordinates before padding: all elements, and the weight if the mean is weighted."""
        return sum(math.prod(shape) for shape in self.shapes) + (self.weighting is Weighting.WEIGHTED)

    @property
    def block(self) -> int:
        """The number of coordinates of a block of the rotation."""
        return block_size(self.dimension)

    @property
    def sent(self) -> int:
        """The number of coordinates of a block that a client sends."""
        return self.block if self.kept is None else self.kept

    @property
    def length(self) -> int:
        """The number of coordinates of the integer vector."""
        return padded_length(self.dimension) // self.block * self.sent

    @property
    def modulus_bits(self) -> int:
        """The number of bits of a coordinate."""
        return (self.modulus - 1).bit_length()

    @property
    def norm_bound(self) -> float:
        """The bound on the l2 norm before rounding, in the update's units.

        In a weighted mean, the weight, in [0, 1], multiplies the arrays. Times the clip it is one more coordinate. In a
        compressed encoding, what a client keeps is clipped to this bound, whatever the rotation has made of its norm.
        """
        return self._whole_norm_bound * math.sqrt(self.sent / self.block)

    @property
    def _whole_norm_bound(self) -> float:
        """The bound on the l2 norm of all rotated coordinates, in the update's units."""
        return self.clip_l2 * (math.sqrt(2) if self.weighting is Weighting.WEIGHTED else 1.0)

    @property
    def compression_bias(self) -> float:
        """A bound on the l2 norm of the bias of a client's decoded part, in the update's units; 0 if all is sent.

        The bias is that of the clip of what is kept. For an update whose kept part is within its bound, there is none.
        """
        return self.clip_l2 * clip_bias(block=self.block, kept=self.sent)

    @property
    def subsampling_error(self) -> float:
        """The expected squared l2 error of a decoded mean that what is not sent causes, over the mean's squared norm.

        All clients send the same coordinates, so more clients do not make it smaller.
        """
        return self.block / self.sent - 1

    @property
    def coordinate_bound(self) -> float:
        """The bound on each rotated coordinate, in the update's units.

        A coordinate above it is cut. The probability that a client has such a coordinate is at most 2^-40.
        """
        return min(flat_bound(self._whole_norm_bound, self.dimension), self.norm_bound)

    @property
    def l2_sensitivity(self) -> float:
        """The bound on the l2 norm of one client's integer vector, in integer steps.

        Source: arXiv 2102.06387v4, theorem 1 (the norm of a vector after randomised rounding), beta = exp(-1/2); the
        slack is for float64 in clipping and rotating.
        """
        norm, root = self.norm_bound / self.granularity, math.sqrt(self.length)
        return math.sqrt(min((norm + root) ** 2, norm**2 + self.length / 4 + norm + root / 2)) * (1 + FLOAT_SLACK)

    def _check_compression(self, kept: int) -> None:
        """Refuse a compression for which the estimate of a mean is too poor."""
        if type(kept) is not int or not 1 <= kept < self.block:
            raise EncodingError(f"kept: expected an int in [1, {self.block - 1}] or None, found {kept!r}")
        if self.weighting is Weighting.WEIGHTED:
            raise EncodingError(
                "compression: expected 1 for a weighted mean, found less: the total weight would be an estimate from "
                "the coordinates that are sent. Use a uniform mean, or a compression of 1."
            )
        least = least_kept(self.block)
        if kept < least:
            raise EncodingError(
                f"compression: expected at least {least / self.block:.3g} for {self.dimension} coordinates in blocks "
                f"of {self.block}, found {kept / self.block:.3g}: with fewer than {least} of a block, clipping "
                f"them could shift a client's update by more than {MOST_BIAS:.0%} of the clip. Send more of them."
            )


def plain(value: float) -> float:
    """Return a Python number: from 2.0 on, numpy would compare a float32 with a limit rounded to float32."""
    return value.item() if isinstance(value, np.generic) else value


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is an int or float of Python or numpy, and not a bool."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
