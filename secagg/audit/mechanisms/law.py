"""Exact laws of integer noise, and the moments that checks of variance need.

Formulas: the discrete Gaussian gives x a probability proportional to exp(-x^2 / (2 sigma^2)) (arXiv 2004.00010v5,
definition 1). The symmetric Skellam law of variance v gives x the probability exp(-v) I_x(v), and all of its even
cumulants are v (arXiv 2110.04995v2). Both were checked against sums of their definitions.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

_SMOOTH_SIGMA: Final = 2.0
"""From here on, the moments of a discrete Gaussian are those of the normal law to a relative 1e-30.

By Poisson summation the difference is of the order of sigma^2 exp(-2 pi^2 sigma^2) (arXiv 2004.00010v5, section 2).
"""
_TABLE_SIGMA: Final = 1024.0
"""From here on, a distribution function is that of the normal law, corrected for continuity, to within 1e-7."""
_REACH: Final = 12.0
"""The number of standard deviations of a table. All that is beyond has a probability below 1e-30."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """The moments of noise that is symmetric around zero.

    Attributes:
        variance: The variance, above 0.
        fourth: The fourth cumulant, the fourth moment less three times the squared variance; 0 for the normal law.
    """

    variance: float
    fourth: float = 0.0

    def times(self, count: float) -> "Moments":
        """Return the moments of a sum of independent noises. Cumulants of independent noises add up."""
        return Moments(variance=self.variance * count, fourth=self.fourth * count)


class Law(ABC):
    """The probability function of symmetric integer noise."""

    @property
    @abstractmethod
    def moments(self) -> Moments:
        """The moments."""

    @abstractmethod
    def probabilities(self, reach: int) -> NDArray[np.float64]:
        """Return the probabilities of the integers from -reach to reach; shape `(2 * reach + 1,)`."""

    @property
    @abstractmethod
    def words(self) -> str:
        """The law in words, such as "a discrete Gaussian of sigma 2"."""

    @cached_property
    def reach(self) -> int:
        """An integer that the noise exceeds in magnitude with a probability that is negligible."""
        return math.ceil(_REACH * math.sqrt(self.moments.variance)) + 40

    def cumulated(self, edges: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the probability of being at most each edge."""
        deviation = math.sqrt(self.moments.variance)
        if deviation > _TABLE_SIGMA:
            normal: NDArray[np.float64] = special.ndtr((edges + 0.5) / deviation)
            return normal
        at = np.clip(edges + self.reach, -1, 2 * self.reach)
        table = np.concatenate([[0.0], np.cumsum(self.probabilities(self.reach))])
        return np.asarray(np.minimum(table[at + 1], 1.0))


@dataclass(frozen=True)
class DiscreteGaussianLaw(Law):
    """The discrete Gaussian.

    Attributes:
        sigma: The parameter, above 0.
    """

    sigma: float

    @property
    def moments(self) -> Moments:
        """The moments; below a sigma of 2 they are sums over the probability function."""
        return (
            Moments(variance=self.sigma**2)
            if self.sigma >= _SMOOTH_SIGMA
            else moments_of(self.probabilities(math.ceil(_REACH * self.sigma) + 40))
        )

    def probabilities(self, reach: int) -> NDArray[np.float64]:
        """Return the probabilities of the integers from -reach to reach."""
        x = np.arange(-reach, reach + 1, dtype=np.float64)
        weights = np.exp(-(x**2) / (2 * self.sigma**2))
        return np.asarray(weights / weights.sum())

    @property
    def words(self) -> str:
        """The law in words."""
        return f"a discrete Gaussian of sigma {self.sigma:g}"


@dataclass(frozen=True)
class SkellamLaw(Law):
    """The symmetric Skellam law.

    Attributes:
        variance: The variance, above 0.
    """

    variance: float

    @property
    def moments(self) -> Moments:
        """The moments: all even cumulants are the variance."""
        return Moments(variance=self.variance, fourth=self.variance)

    def probabilities(self, reach: int) -> NDArray[np.float64]:
        """Return the probabilities of the integers from -reach to reach."""
        return np.asarray(special.ive(np.abs(np.arange(-reach, reach + 1)), self.variance))

    @property
    def words(self) -> str:
        """The law in words."""
        return f"a Skellam law of variance {self.variance:g}"


@dataclass(frozen=True)
class OwnLaw(Law):
    """A law that is given by its probability function.

    Attributes:
        probability: Returns the probability of each integer; an even function that sums to 1.
        furthest: An integer beyond which the probability is negligible.
        words: The law in words.
    """

    probability: Callable[[NDArray[np.int64]], NDArray[np.float64]]
    furthest: int
    words: str = "the given distribution"

    @cached_property
    def moments(self) -> Moments:
        """The moments, summed over the probability function."""
        return moments_of(self.probabilities(self.furthest))

    @cached_property
    def reach(self) -> int:
        """An integer that the noise exceeds in magnitude with a probability that is negligible."""
        return self.furthest

    def probabilities(self, reach: int) -> NDArray[np.float64]:
        """Return the probabilities of the integers from -reach to reach."""
        return np.asarray(self.probability(np.arange(-reach, reach + 1)), dtype=np.float64)


def moments_of(probabilities: NDArray[np.float64]) -> Moments:
    """Return the moments of a symmetric law from the probabilities of the integers from -reach to reach."""
    reach = probabilities.size // 2
    squares = np.arange(-reach, reach + 1, dtype=np.float64) ** 2
    variance = float(probabilities @ squares)
    return Moments(variance=variance, fourth=float(probabilities @ squares**2) - 3 * variance**2)
