"""Adaptive clipping: the bound follows a quantile of the clients' norms, estimated from the released mean.

Source: Andrew, Thakkar, McMahan and Ramaswamy, "Differentially Private Learning with Adaptive Clipping", arXiv
1905.03871v5, algorithm 1: clients say whether their norm is within the bound C, and the server moves it geometrically,
C <- C exp(-eta (b - gamma)). Here b is the noisy fraction of clients within the bound, and gamma is the target
quantile. In the paper, eta is 0.2, gamma is 1/2 for the median, and the standard deviation of the noise on the count is
a twentieth of the number of clients.

Departure: the count is not a separate release. A client divides its clipped update by C, so that its norm is at most 1,
and appends one coordinate: +w if the norm was within C, otherwise -w. Update and count then pass through one sum, with
one noise and one event of sensitivity S = sqrt(1 + w^2).

The cost is the same as in the paper. Noise of standard deviation z S in every coordinate, for a noise multiplier z,
leaves

    sigma_b = z S / (2 w)   on the count (sum of the last coordinates / 2w + clients / 2), and
    z S                     on the sum of the scaled updates; without the count it would be z.

Solved for w, a given sigma_b needs w = z / sqrt((2 sigma_b)^2 - z^2), and the noise on the updates is then
z S = (z^-2 - (2 sigma_b)^-2)^-1/2. That is the z_delta of the paper's split into two Gaussian mechanisms, of
sensitivity 1 for the update and 1/2 for the centred count: two orthogonal queries with separate noises, each scaled to
one standard deviation, are one query whose squared sensitivities add up.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.checks import MAXIMUM_MAGNITUDE, MINIMUM_MAGNITUDE, magnitude, probability
from dp.clipping.clip import ArrayOrNumber, clip_l2
from dp.errors import InfeasibleTarget, InvalidParameter

MEDIAN: Final = 0.5
LEARNING_RATE: Final = 0.2
COUNT_SIGMA_PER_CLIENT: Final = 0.05
"""The standard deviation of the paper's noise on the count, for each client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveClip:
    """A clipping bound that moves towards a quantile of the norms after each release, by one noisy fraction.

    Attributes:
        bound: The bound C, in the update's unit; 1e-30 to 1e30, and always kept within that range.
        weight: The magnitude w of the coordinate that counts, relative to a clipped update of norm 1; 1e-30 to 1e30.
        quantile: The target fraction gamma of clients whose norms are within the bound; strictly between 0 and 1.
        learning_rate: The rate eta, above 0 and at most 1; no release moves the bound by more than a factor of
            exp(eta).

    Formal guarantees:
        What `prepare` returns has an L2 norm of at most `l2_sensitivity`, sqrt(1 + weight**2), for every update and
        every bound. A relative rounding error of 2**-50 is excepted; an integer encoding that bounds its norms covers
        it. Replacing one client by zero (relation: zero-out, unit: client) sets its update and its last coordinate to
        zero. This changes a sum of what clients prepared by at most `l2_sensitivity`. One event accounts for update and
        count. The next bound depends only on released sums, so it is post-processing. Since the noise is relative to
        the bound, every release has the same event, and the releases compose adaptively.

    Raises:
        InvalidParameter: An attribute is out of range.
    """

    bound: float
    weight: float
    quantile: float = MEDIAN
    learning_rate: float = LEARNING_RATE

    def __post_init__(self) -> None:
        object.__setattr__(self, "bound", magnitude("bound", self.bound))
        object.__setattr__(self, "weight", magnitude("weight", self.weight))
        object.__setattr__(self, "quantile", probability("quantile", self.quantile))
        object.__setattr__(self, "learning_rate", magnitude("learning_rate", self.learning_rate))
        if self.learning_rate > 1:
            raise InvalidParameter(
                f"learning_rate: expected a number above 0 and up to 1, found {self.learning_rate}. Use 1 or less."
            )

    @property
    def l2_sensitivity(self) -> float:
        """The bound on the L2 norm of what one client prepares."""
        return math.hypot(1.0, self.weight)

    @property
    def unit(self) -> float:
        """The size of one unit of the released mean, in the update's unit: the bound."""
        return self.bound

    def prepare(self, update: Sequence[ArrayOrNumber]) -> list[NDArray[np.float64]]:
        """Return what a client adds to the sum: its update in units of the bound, clipped to norm 1, and its count.

        Args:
            update: As for `dp.clipping.clip.clip_l2`.

        Returns:
            Arrays of float64 of the given shapes, and one of shape `(1,)` that holds +weight or -weight.

        Raises:
            InvalidParameter: As for `dp.clipping.clip.clip_l2`.
        """
        clipped = clip_l2(update, bound=self.bound)
        # The division rounds once more, so a norm may exceed 1 by a last digit.
        scaled = clip_l2([np.asarray(array / self.bound) for array in clipped.arrays], bound=1.0)
        within = clipped.norm <= self.bound
        return [*scaled.arrays, np.array([self.weight if within else -self.weight])]

    def after(self, mean: Sequence[NDArray[np.float64]]) -> tuple[list[NDArray[np.float64]], "AdaptiveClip"]:
        """Return the mean update, in the update's unit, and the clip for the next release.

        Args:
            mean: The released mean of what clients prepared: float64 arrays, the last of shape `(1,)`.

        Raises:
            InvalidParameter: The last array is not one count, or an entry is NaN or infinite.
        """
        if len(mean) < 2 or np.shape(mean[-1]) != (1,):
            raise InvalidParameter(
                "mean: expected the arrays of an update and one of shape (1,), found shapes "
                f"{[np.shape(array) for array in mean]}"
            )
        if not all(np.isfinite(array).all() for array in mean):
            raise InvalidParameter("mean: expected finite entries, found NaN or infinity")
        # Noise may move the fraction out of the range from 0 to 1.
        fraction = min(1.0, max(0.0, (float(mean[-1][0]) / self.weight + 1) / 2))
        moved = self.bound * math.exp(-self.learning_rate * (fraction - self.quantile))
        following = replace(self, bound=min(MAXIMUM_MAGNITUDE, max(MINIMUM_MAGNITUDE, moved)))
        return [np.asarray(array * self.bound) for array in mean[:-1]], following


def count_weight(*, noise_multiplier: float, count_sigma: float) -> float:
    """Return the weight with which the noise on the count has a given standard deviation.

    Args:
        noise_multiplier: Standard deviation of the summed noise over the joint sensitivity, 1e-30 to 1e30.
        count_sigma: Standard deviation of the noise wanted on the number of clients within the bound, 1e-30 to 1e30.

    Raises:
        InfeasibleTarget: The count by itself, whose sensitivity is 1/2, needs more noise than `count_sigma`.
        InvalidParameter: An argument is out of range.
    """
    noise = magnitude("noise_multiplier", noise_multiplier)
    double = 2 * magnitude("count_sigma", count_sigma)
    if noise >= double:
        raise InfeasibleTarget(
            f"count_sigma: expected more than {noise / 2:g}, the least at a noise multiplier of {noise:g}, found "
            f"{double / 2:g}. Use a larger count_sigma, which needs more clients, or a smaller noise multiplier, which "
            "weakens the guarantee."
        )
    return noise / math.sqrt((double - noise) * (double + noise))
