"""The distributed discrete Gaussian: every client adds its own share of the noise, and only the sum is seen.

Source: Kairouz, Liu, Steinke, arXiv 2102.06387v4. Stands against whoever sees the sum alone: a semi-honest server of a
secure aggregation, and everyone it publishes to. A client that leaves its share out, or a server that learns some
clients' shares, weakens the noise; size `minimum_contributors` for the shares that can be relied on.
"""

import math
import os
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.checks import integer_at_least, magnitude, positive_real, probability
from dp.envelope import MAXIMUM_SIGMA
from dp.errors import InvalidParameter
from dp.events import DistributedDiscreteGaussianEvent
from dp.sampling import Entropy, discrete_gaussian

MINIMUM_LOCAL_SIGMA: Final = 2.0
MAXIMUM_LOCAL_SIGMA: Final = float(MAXIMUM_SIGMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedDiscreteGaussian:
    """A secure sum of integer vectors to which every client adds discrete Gaussian noise of its own.

    All quantities are in units of the integer lattice, after scaling and rounding.

    Attributes:
        local_sigma: parameter of the noise that each client adds to each coordinate, in `[2, 2**40]`. Below 2 the sum
            of shares differs measurably from a discrete Gaussian (log-ratio up to 4.6e-3 at 0.7 with ten shares, 3e-30
            at 2), so less is refused: use a finer lattice.
        minimum_contributors: the least number of clients whose shares are in a released sum; with fewer, nothing may
            be released; 1 to 2**53.
        l2_sensitivity: the most, in L2, that one client's integer vector can be away from zero; 1e-30 to 1e30, as is
            `noise_multiplier`.
        dimension: number of coordinates, 1 to 2**53.

    Formal guarantees:
        Sensitivity: `l2_sensitivity` in L2. Relation: zero-out, one client's vector replaced by zero with its noise
        share staying in the sum; the number and names of the contributors are public. Unit: client. Releasing the sum
        of at least `minimum_contributors` vectors with their shares has the Renyi divergences of `event` (see
        `dp.accounting`). A sum over more contributors is post-processing of the sum over `minimum_contributors` of
        them, the protected client among these, plus vectors and shares that are independent of it, so it has no more.

    Raises:
        InvalidParameter: an attribute is out of range.
    """

    local_sigma: float
    minimum_contributors: int
    l2_sensitivity: float
    dimension: int

    def __post_init__(self) -> None:
        local_sigma = positive_real("local_sigma", self.local_sigma)
        if not MINIMUM_LOCAL_SIGMA <= local_sigma <= MAXIMUM_LOCAL_SIGMA:
            raise InvalidParameter(
                f"local_sigma: expected {MINIMUM_LOCAL_SIGMA} to {MAXIMUM_LOCAL_SIGMA:.6g} lattice units, found "
                f"{self.local_sigma}; a finer lattice (a larger scale) raises it, a coarser one lowers it"
            )
        contributors = integer_at_least("minimum_contributors", self.minimum_contributors, 1)
        object.__setattr__(self, "local_sigma", local_sigma)
        object.__setattr__(self, "minimum_contributors", contributors)
        object.__setattr__(self, "l2_sensitivity", magnitude("l2_sensitivity", self.l2_sensitivity))
        object.__setattr__(self, "dimension", integer_at_least("dimension", self.dimension, 1))
        magnitude("noise_multiplier", self.noise_multiplier)

    def share(self, entropy: Entropy = os.urandom) -> NDArray[np.int64]:
        """Draw one client's share of the noise, exactly distributed; shape `(dimension,)`, int64.

        The share is as secret as the vector it hides: it goes into the sum and nowhere else.

        Raises:
            EntropyFailure: `entropy` did not return what it was asked for.
        """
        return discrete_gaussian(self.local_sigma, self.dimension, entropy)

    @property
    def central_sigma(self) -> float:
        """Standard deviation, to within rounding, of the noise in a sum over `minimum_contributors` clients."""
        return self.local_sigma * math.sqrt(self.minimum_contributors)

    @property
    def noise_multiplier(self) -> float:
        """`central_sigma` over `l2_sensitivity`."""
        return self.central_sigma / self.l2_sensitivity

    @property
    def event(self) -> DistributedDiscreteGaussianEvent:
        """The accounting event of one release."""
        return DistributedDiscreteGaussianEvent(
            local_sigma=self.local_sigma,
            contributors=self.minimum_contributors,
            l2_sensitivity=self.l2_sensitivity,
            dimension=self.dimension,
        )

    def tail_bound(self, contributors: int, failure: float) -> int:
        """Return a B that no coordinate of a sum of shares exceeds in magnitude, but with probability `failure`.

        The discrete Gaussian is sub-Gaussian with variance proxy sigma^2 (arXiv 2004.00010v5, section on tail bounds):
        completing the square, E exp(t X) = exp(t^2 sigma^2 / 2) Theta(t sigma^2) / Theta(0) with
        Theta(c) = sum_x exp(-(x - c)^2 / (2 sigma^2)), which Poisson summation shows is largest at c = 0. Hence
        P(|sum| >= r) <= 2 exp(-r^2 / (2 n sigma^2)) in each coordinate, and a union bound over the coordinates.

        Args:
            contributors: number of shares in the sum, at least 1; it may be above `minimum_contributors`.
            failure: probability that some coordinate exceeds the bound, strictly between 0 and 1.

        Raises:
            InvalidParameter: an argument is out of range.
        """
        shares = integer_at_least("contributors", contributors, 1)
        log_ratio = math.log(2 * self.dimension) - math.log(probability("failure", failure))
        radius = self.local_sigma * math.sqrt(2 * shares * log_ratio)
        # Exceeding B means reaching B + 1; the factor is far above the rounding errors of the line before.
        return math.ceil(radius * (1 + 2.0**-40)) - 1
