"""The budget of a number of equal releases together, and the epsilon that they spend."""

import math
from dataclasses import dataclass
from typing import Final

import msgspec

from dp.accounting.guarantee import guarantee
from dp.accounting.renyi_accountant import RenyiAccountant
from dp.checks import integer_at_least, magnitude, member, positive_real, probability
from dp.errors import InvalidParameter
from dp.events import (
    NeighbouringRelation,
    NoisyEvent,
    PoissonSampledEvent,
    PrivacyEvent,
)

MAXIMUM_NOISE_MULTIPLIER: Final = 1e12
_FINITE: Final = 1e300


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTarget:
    """The budget of a number of equal releases together.

    Attributes:
        epsilon: Above 0.
        delta: Strictly between 0 and 1.
        releases: The number of releases, 1 to 2**53.
        relation: The neighbouring relation of the guarantee.
        sampling_rate: The probability that a client takes part in a release, drawn afresh, independently and in secret,
            in (0, 1].

    Raises:
        InvalidParameter: An attribute is out of range.
    """

    epsilon: float
    delta: float
    releases: int
    relation: NeighbouringRelation
    sampling_rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", positive_real("epsilon", self.epsilon))
        object.__setattr__(self, "delta", probability("delta", self.delta))
        object.__setattr__(self, "releases", integer_at_least("releases", self.releases, 1))
        member("relation", self.relation, NeighbouringRelation)
        object.__setattr__(self, "sampling_rate", magnitude("sampling_rate", self.sampling_rate))
        if self.sampling_rate > 1:
            raise InvalidParameter(
                f"sampling_rate: expected a probability in (0, 1], found {self.sampling_rate}. Use 1 or less."
            )

    def event(self, event: NoisyEvent) -> PrivacyEvent:
        """Return the event of a release under this relation, over clients sampled at this rate.

        Raises:
            IncompatibleEvent: There is sampling, and the relation is not add-or-remove-one.
        """
        unsampled = msgspec.structs.replace(event, relation=self.relation)
        if self.sampling_rate == 1:
            return unsampled
        return PoissonSampledEvent(sampling_rate=self.sampling_rate, event=unsampled)

    def spent(self, event: NoisyEvent) -> float:
        """Return the epsilon of all releases if each of them is `event`."""
        return guarantee({self.event(event): self.releases}, delta=self.delta, relation=self.relation).epsilon

    def renyi_spent(self, event: NoisyEvent) -> float:
        """Return the epsilon of all releases by Renyi DP alone."""
        return RenyiAccountant().epsilon({self.event(event): self.releases}, self.delta).epsilon

    @property
    def noise_multiplier(self) -> float:
        """The noise multiplier of Gaussian noise that spends about this budget: a first guess without a proof.

        Without sampling each release is r-zCDP for r = 1 / (2 z^2), and all are (R + 2 sqrt(R log(1/delta)), delta)-DP
        for R = releases * r (Bun, Steinke, arXiv 1605.02065, Proposition 1.3). Sampling at rate q multiplies the
        chi-square divergence exp(2 r) - 1 by q^2.
        """
        log_delta = -math.log(self.delta)
        root = self.epsilon / (math.sqrt(log_delta + self.epsilon) + math.sqrt(log_delta))
        chi_square = 2 * root**2 / self.releases / self.sampling_rate**2
        return 1 / math.sqrt(math.log1p(min(max(chi_square, MAXIMUM_NOISE_MULTIPLIER**-2), _FINITE)))

    def __str__(self) -> str:
        text = f"epsilon {self.epsilon} at delta {self.delta} over {self.releases} releases"
        return text if self.sampling_rate == 1 else f"{text} sampled at {self.sampling_rate}"
