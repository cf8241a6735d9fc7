"""Distributed noise: every client adds its own noise share, and only the sum is seen.

Sources: the discrete Gaussian is that of Kairouz, Liu, Steinke, arXiv 2102.06387v4; the Skellam that of Agarwal,
Kairouz, Liu, arXiv 2110.04995v2. Both protect from an adversary that sees only the sum: a semi-honest server of a
secure aggregation, and everyone to whom it publishes. The noise is weaker if a client leaves out its noise share, or if
the server learns the noise shares of some clients. So `minimum_contributors` counts only the noise shares that are
certain to be honest and secret, without those of colluding clients.
"""

import enum
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Final, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from dp.checks import integer_at_least, magnitude, positive_real, probability
from dp.errors import InvalidParameter
from dp.events import DistributedDiscreteGaussianEvent, LatticeEvent, SkellamEvent
from dp.noise.discrete_gaussian import Entropy, discrete_gaussian
from dp.noise.envelope import MAXIMUM_SIGMA
from dp.noise.parameter import Parameter
from dp.noise.skellam import MAXIMUM_VARIANCE, MINIMUM_VARIANCE, skellam

MINIMUM_LOCAL_SIGMA: Final = 2.0
MAXIMUM_LOCAL_SIGMA: Final = float(MAXIMUM_SIGMA)

Event = TypeVar("Event", bound=LatticeEvent)


class LatticeNoise(enum.StrEnum):
    """The distribution of the noise that is added to integers."""

    DISCRETE_GAUSSIAN = "discrete-gaussian"
    SKELLAM = "skellam"


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedNoise(ABC, Generic[Event]):
    """A secure sum of integer vectors to which every client adds noise of its own.

    All quantities are in steps of the integer grid, after scaling and rounding.

    Attributes:
        parameter: The parameter of a noise share that calibration searches for: its name and its range.
        minimum_contributors: The least number of noise shares in a released sum that are honest and secret: the
            protocol's threshold, MINUS the clients that may collude. With the threshold itself the guarantee would be
            overstated. If fewer such noise shares are in a sum, it must not be released; 1 to 2**53.
        l2_sensitivity: The largest L2 norm of one client's integer vector; 1e-30 to 1e30. `noise_multiplier` must be
            within the same range.
        dimension: The number of coordinates, 1 to 2**53.

    Formal guarantees:
        Sensitivity: `l2_sensitivity` in L2. Relation: zero-out, one client's vector replaced by zero with its noise
        share staying in the sum; the number and names of the contributors are public. Unit: client. Releasing the sum
        of at least `minimum_contributors` vectors with their noise shares costs at most `event`, by every accountant
        (see `dp.accounting.lattice` and `dp.accounting.renyi`). A sum over more contributors is post-processing of a
        sum over `minimum_contributors` of them, which include the protected client, plus vectors and noise shares that
        are independent of that sum. So it costs no more.

    Raises:
        InvalidParameter: An attribute is out of range.
    """

    parameter: ClassVar[Parameter]

    minimum_contributors: int
    l2_sensitivity: float
    dimension: int

    def __post_init__(self) -> None:
        contributors = integer_at_least("minimum_contributors", self.minimum_contributors, 1)
        object.__setattr__(self, "minimum_contributors", contributors)
        object.__setattr__(self, "l2_sensitivity", magnitude("l2_sensitivity", self.l2_sensitivity))
        object.__setattr__(self, "dimension", integer_at_least("dimension", self.dimension, 1))
        magnitude("noise_multiplier", self.noise_multiplier)

    @classmethod
    @abstractmethod
    def of(cls, parameter: float, *, minimum_contributors: int, l2_sensitivity: float, dimension: int) -> Self:
        """Return the mechanism whose noise shares have this parameter: a sigma or a variance."""

    @abstractmethod
    def share(self, entropy: Entropy = os.urandom) -> NDArray[np.int64]:
        """Draw one client's noise share, exactly distributed; shape `(dimension,)`, int64.

        The noise share is as secret as the vector that it hides: add it to the vector and use it for nothing else.

        Raises:
            EntropyFailure: `entropy` did not return the bytes that were asked for.
        """

    @property
    @abstractmethod
    def central_sigma(self) -> float:
        """Standard deviation, to within rounding, of the noise in a sum over `minimum_contributors` clients."""

    @property
    def noise_multiplier(self) -> float:
        """`central_sigma` over `l2_sensitivity`."""
        return self.central_sigma / self.l2_sensitivity

    @property
    def event(self) -> Event:
        """The accounting event of one release."""
        return self.realised(self.minimum_contributors)

    @abstractmethod
    def realised(self, contributors: int) -> Event:
        """Return the accounting event of a sum that contains `contributors` noise shares, at least 1.

        Raises:
            InvalidParameter: `contributors` is out of range.
        """

    @abstractmethod
    def tail_bound(self, contributors: int, failure: float) -> int:
        """Return a B that some coordinate of a sum of noise shares exceeds in magnitude with probability <= `failure`.

        Args:
            contributors: The number of noise shares in the sum, at least 1; it may be above `minimum_contributors`.
            failure: The probability that some coordinate exceeds the bound, strictly between 0 and 1.

        Raises:
            InvalidParameter: An argument is out of range.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedDiscreteGaussian(DistributedNoise[DistributedDiscreteGaussianEvent]):
    """Distributed noise whose noise shares are discrete Gaussians.

    Attributes:
        local_sigma: Parameter of the noise that each client adds to each coordinate, in `[2, 2**40]`. Below 2 the sum
            of noise shares differs measurably from a discrete Gaussian (at 0.7 the log-ratio is up to 1.6e-2 with two
            noise shares and 4.6e-3 with ten; at 2 it is 1.4e-17 and 2.8e-30). So less than 2 is refused: use a finer
            integer grid.
    """

    parameter: ClassVar = Parameter(
        name="local sigma",
        unit="steps of the integer grid",
        lowest=MINIMUM_LOCAL_SIGMA,
        least="2",
        highest=MAXIMUM_LOCAL_SIGMA,
        reference=MINIMUM_LOCAL_SIGMA,
        power=1,
    )

    local_sigma: float

    def __post_init__(self) -> None:
        local_sigma = positive_real("local_sigma", self.local_sigma)
        if not MINIMUM_LOCAL_SIGMA <= local_sigma <= MAXIMUM_LOCAL_SIGMA:
            raise InvalidParameter(
                f"local_sigma: expected {MINIMUM_LOCAL_SIGMA} to {MAXIMUM_LOCAL_SIGMA:.6g} steps of the integer grid, "
                f"found {self.local_sigma}. Use a finer grid (a larger scale) to raise it, a coarser one to lower it."
            )
        object.__setattr__(self, "local_sigma", local_sigma)
        DistributedNoise.__post_init__(self)

    @classmethod
    def of(cls, parameter: float, *, minimum_contributors: int, l2_sensitivity: float, dimension: int) -> Self:
        """Return the mechanism whose noise shares have this sigma."""
        return cls(
            local_sigma=parameter,
            minimum_contributors=minimum_contributors,
            l2_sensitivity=l2_sensitivity,
            dimension=dimension,
        )

    def share(self, entropy: Entropy = os.urandom) -> NDArray[np.int64]:
        """Draw one client's noise share, as `DistributedNoise` describes."""
        return discrete_gaussian(self.local_sigma, self.dimension, entropy)

    @property
    def central_sigma(self) -> float:
        """Standard deviation, to within rounding, of the noise in a sum over `minimum_contributors` clients."""
        return self.local_sigma * math.sqrt(self.minimum_contributors)

    def realised(self, contributors: int) -> DistributedDiscreteGaussianEvent:
        """Return the accounting event of a sum of `contributors` noise shares, as `DistributedNoise` describes."""
        return DistributedDiscreteGaussianEvent(
            local_sigma=self.local_sigma,
            contributors=contributors,
            l2_sensitivity=self.l2_sensitivity,
            dimension=self.dimension,
        )

    def tail_bound(self, contributors: int, failure: float) -> int:
        """Return a bound on the magnitude of a sum of noise shares, as `DistributedNoise` describes.

        The discrete Gaussian is sub-Gaussian with variance proxy sigma^2 (arXiv 2004.00010v5, section on tail bounds):
        completing the square, E exp(t X) = exp(t^2 sigma^2 / 2) Theta(t sigma^2) / Theta(0) with
        Theta(c) = sum_x exp(-(x - c)^2 / (2 sigma^2)), which Poisson summation shows is largest at c = 0. Hence
        P(|sum| >= r) <= 2 exp(-r^2 / (2 n sigma^2)) in each coordinate, and a union bound over the coordinates.
        """
        shares = integer_at_least("contributors", contributors, 1)
        log_ratio = math.log(2 * self.dimension) - math.log(probability("failure", failure))
        radius = self.local_sigma * math.sqrt(2 * shares * log_ratio)
        # Exceeding B means reaching B + 1; the factor is far above the rounding errors of the line before.
        return math.ceil(radius * (1 + 2.0**-40)) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedSkellam(DistributedNoise[SkellamEvent]):
    """Distributed noise whose noise shares are symmetric Skellam noise.

    Sums of Skellam noises are exactly Skellam noise, so noise shares may be as small as needed.

    Attributes:
        local_variance: Variance of the noise that each client adds to each coordinate, in `[2**-30, 2**32]`; the exact
            value of the float.
    """

    parameter: ClassVar = Parameter(
        name="local variance",
        unit="squared steps of the integer grid",
        lowest=float(MINIMUM_VARIANCE),
        least="2**-30",
        highest=float(MAXIMUM_VARIANCE),
        reference=1.0,
        power=2,
    )

    local_variance: float

    def __post_init__(self) -> None:
        variance = positive_real("local_variance", self.local_variance)
        if not MINIMUM_VARIANCE <= variance <= MAXIMUM_VARIANCE:
            raise InvalidParameter(
                f"local_variance: expected {float(MINIMUM_VARIANCE):.6g} to {float(MAXIMUM_VARIANCE):.6g} squared "
                f"steps of the integer grid, found {self.local_variance}. Use a finer grid (a larger scale) to raise "
                "it, a coarser one to lower it."
            )
        object.__setattr__(self, "local_variance", variance)
        DistributedNoise.__post_init__(self)

    @classmethod
    def of(cls, parameter: float, *, minimum_contributors: int, l2_sensitivity: float, dimension: int) -> Self:
        """Return the mechanism whose noise shares have this variance."""
        return cls(
            local_variance=parameter,
            minimum_contributors=minimum_contributors,
            l2_sensitivity=l2_sensitivity,
            dimension=dimension,
        )

    def share(self, entropy: Entropy = os.urandom) -> NDArray[np.int64]:
        """Draw one client's noise share, as `DistributedNoise` describes."""
        return skellam(self.local_variance, self.dimension, entropy)

    @property
    def central_sigma(self) -> float:
        """Standard deviation, to within rounding, of the noise in a sum over `minimum_contributors` clients."""
        return math.sqrt(self.event.variance)

    def realised(self, contributors: int) -> SkellamEvent:
        """Return the accounting event of a sum of `contributors` noise shares, as `DistributedNoise` describes.

        Its variance is the exact one rounded down.
        """
        shares = integer_at_least("contributors", contributors, 1)
        return SkellamEvent(
            variance=rounded_down(shares * Fraction(self.local_variance)),
            contributors=shares,
            l2_sensitivity=self.l2_sensitivity,
            dimension=self.dimension,
        )

    def tail_bound(self, contributors: int, failure: float) -> int:
        """Return a bound on the magnitude of a sum of noise shares, as `DistributedNoise` describes."""
        shares = integer_at_least("contributors", contributors, 1)
        return skellam_reach(shares * Fraction(self.local_variance), self.dimension, failure)


LatticeMechanism = DistributedDiscreteGaussian | DistributedSkellam
"""Any of the mechanisms of distributed noise."""

MECHANISMS: Final[Mapping[LatticeNoise, type[LatticeMechanism]]] = {
    LatticeNoise.DISCRETE_GAUSSIAN: DistributedDiscreteGaussian,
    LatticeNoise.SKELLAM: DistributedSkellam,
}
"""The mechanism of each distribution of noise."""


def skellam_reach(variance: Fraction, dimension: int, failure: float) -> int:
    """Return a B that any of `dimension` Skellam noises exceeds in magnitude with probability at most `failure`.

    With v the variance, E exp(t X) = exp(v (cosh t - 1)), so that P(|X| >= r) <= 2 exp(v (cosh t - 1) - t r) for every
    t > 0 (Chernoff). The best t has sinh t = r / v, which makes the exponent -r (t - tanh(t / 2)). A union bound covers
    all coordinates. B + 1 is the least r that the bound allows, or a little more.

    Args:
        variance: Above 0.
        dimension: At least 1.
        failure: Strictly between 0 and 1.

    Raises:
        InvalidParameter: `failure` is out of range.
    """
    # The factors are far above the rounding errors of what they multiply.
    needed = (math.log(2 * dimension) - math.log(probability("failure", failure))) * (1 + 2.0**-40)

    def is_enough(reach: int) -> bool:
        t = math.asinh(float(reach / variance))
        return reach * (t - math.tanh(t / 2)) * (1 - 2.0**-40) >= needed

    enough = 1
    while not is_enough(enough):
        enough *= 2
    too_little = enough // 2
    while enough - too_little > 1:
        middle = (enough + too_little) // 2
        if is_enough(middle):
            enough = middle
        else:
            too_little = middle
    # Exceeding B means reaching B + 1.
    return enough - 1


def rounded_down(value: Fraction) -> float:
    """Return the greatest float64 that is not above a positive `value`."""
    nearest = float(value)
    return nearest if nearest <= value else math.nextafter(nearest, 0)
