"""Adaptive clipping: the bound follows a quantile of the clients' norms, which the released mean itself tells.

Source: Andrew, Thakkar, McMahan and Ramaswamy, "Differentially Private Learning with Adaptive Clipping", arXiv
1905.03871v5, algorithm 1: clients say whether their norm is within the bound C, and the server moves it geometrically,
C <- C exp(-eta (b - gamma)), where b is the noised fraction of those that are and gamma the quantile aimed at; their
eta is 0.2, gamma 1/2 for the median, and the standard deviation of the noise on the count a twentieth of the clients.

Departure: the count is no release of its own. A client divides its clipped update by C, so that its norm is at most 1,
and appends one coordinate, +w where the norm was within C and -w where it was not. Update and count then pass through
one sum, one noise and one event of sensitivity S = sqrt(1 + w^2).

The price is theirs. Noise of standard deviation z S in every coordinate, for a noise multiplier z, leaves

    sigma_b = z S / (2 w)   on the count (sum of the last coordinates / 2w + clients / 2), and
    z S                     on the sum of the scaled updates, where without the count it would be z.

Solved for w, sigma_b costs w = z / sqrt((2 sigma_b)^2 - z^2), and puts noise of z S = (z^-2 - (2 sigma_b)^-2)^-1/2 on
the updates. That is the z_delta of their split into two Gaussian mechanisms, of sensitivity 1 for the update and 1/2
for the centred count: two orthogonal queries with noises of their own, each scaled to one standard deviation, are one
query whose squared sensitivities add up.
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
"""The paper's noise on the count, for each client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveClip:
    """A bound that moves towards a quantile of the norms, by one noised fraction after each release.

    Attributes:
        bound: C, in the update's unit; 1e-30 to 1e30, and never moved out of that.
        weight: W, the magnitude of the coordinate that counts, where a clipped update's norm is 1; 1e-30 to 1e30.
        quantile: gamma, the fraction of clients whose norms are to be within the bound; strictly between 0 and 1.
        learning_rate: eta, above 0 and at most 1; no release moves the bound by more than a factor of exp(eta).

    Formal guarantees:
        What `prepare` returns has an L2 norm of at most `l2_sensitivity`, sqrt(1 + weight**2), whatever the update and
        the bound; but for a relative rounding error of 2**-50, which an integer encoding that bounds its norms takes
        up. Replacing one client by zero (relation: zero-out, unit: client) means update zero and last coordinate zero,
        and changes a sum of what clients prepared by at most that. One event accounts for update and count. The next
        bound depends on nothing but released sums and so is post-processing; since the noise is relative to the
        bound, every release has the same event, and they compose adaptively.

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
            raise InvalidParameter(f"learning_rate: expected a number above 0 and up to 1, found {self.learning_rate}")

    @property
    def l2_sensitivity(self) -> float:
        """Bound on the L2 norm of what one client prepares."""
        return math.hypot(1.0, self.weight)

    @property
    def unit(self) -> float:
        """The update's units that one unit of the released mean stands for: the bound."""
        return self.bound

    def prepare(self, update: Sequence[ArrayOrNumber]) -> list[NDArray[np.float64]]:
        """Return what a client adds to the sum: its update in units of the bound, clipped to norm 1, and its count.

        Args:
            update: As for `dp.clipping.clip.clip_l2`.

        Returns:
            float64 arrays of the shapes given, and one of shape `(1,)` that holds +weight or -weight.

        Raises:
            InvalidParameter: As for `dp.clipping.clip.clip_l2`.
        """
        clipped = clip_l2(update, bound=self.bound)
        # Dividing rounds once more, by which a norm may come to exceed 1 by a last digit.
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
        # Noise may carry a fraction anywhere.
        fraction = min(1.0, max(0.0, (float(mean[-1][0]) / self.weight + 1) / 2))
        moved = self.bound * math.exp(-self.learning_rate * (fraction - self.quantile))
        following = replace(self, bound=min(MAXIMUM_MAGNITUDE, max(MINIMUM_MAGNITUDE, moved)))
        return [np.asarray(array * self.bound) for array in mean[:-1]], following


def count_weight(*, noise_multiplier: float, count_sigma: float) -> float:
    """Return the weight with which the noise on the count has a given standard deviation.

    Args:
        noise_multiplier: Standard deviation of the summed noise over the joint sensitivity, 1e-30 to 1e30.
        count_sigma: Standard deviation wanted on the number of clients within the bound, 1e-30 to 1e30.

    Raises:
        InfeasibleTarget: The count alone, whose sensitivity is 1/2, needs more noise than that.
        InvalidParameter: An argument is out of range.
    """
    noise = magnitude("noise_multiplier", noise_multiplier)
    double = 2 * magnitude("count_sigma", count_sigma)
    if noise >= double:
        raise InfeasibleTarget(
            f"a noise multiplier of {noise:g} leaves at least {noise / 2:g} on a count, not {double / 2:g}; a larger "
            "count_sigma, as more clients allow, or less noise would do"
        )
    return noise / math.sqrt((double - noise) * (double + noise))
