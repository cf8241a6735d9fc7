"""What was done to the data, as plain data: one event for each release, fit for JSON and for equality.

An event says everything that an accountant needs and nothing that depends on one: its neighbouring relation, its
privacy unit, and the noise against the sensitivity.
"""

import enum
import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import force_setattr

from dp.checks import integer_at_least, magnitude, member
from dp.errors import IncompatibleEvent, InvalidParameter

MINIMUM_ACCOUNTED_SIGMA: Final = 0.5


class NeighbouringRelation(enum.Enum):
    """Which pairs of inputs a guarantee makes hard to tell apart."""

    ZERO_OUT = "zero-out"
    """One unit's contribution is replaced by zero; how many units contribute, and which, is public."""

    ADD_OR_REMOVE_ONE = "add-or-remove-one"
    """One unit is there or not; whether it contributes is itself protected, so the noise must not depend on it."""


class PrivacyUnit(enum.Enum):
    """Whose data a guarantee protects as a whole."""

    CLIENT = "client"
    """Everything that one client (user, device, institution) ever contributes."""

    EXAMPLE = "example"
    """One example of one client's training data."""


class Trust(enum.StrEnum):
    """Who adds the noise, and so who is trusted with what; ledgers keep it with a release (`TRUST_DETAIL`)."""

    DISTRIBUTED = "distributed"
    """Every client adds a share: the server sees a noisy sum, as long as the protocol hides everything else."""

    LOCAL = "local"
    """Every client adds noise that is enough alone: nobody need be trusted, and no protocol either."""

    CENTRAL = "central"
    """The server adds it to the exact sum, which it sees: only who gets the released means is kept from the rest."""


class GaussianEvent(msgspec.Struct, frozen=True, kw_only=True, tag="gaussian", forbid_unknown_fields=True):
    """One release of a query with continuous Gaussian noise in every coordinate.

    Attributes:
        noise_multiplier: standard deviation of the noise over the query's L2 sensitivity under `relation`, 1e-30 to
            1e30.
        relation: the neighbouring relation that the sensitivity was measured under.
        unit: the privacy unit.

    Raises:
        InvalidParameter: `noise_multiplier` is out of range, or `relation` or `unit` is not one.
    """

    noise_multiplier: float
    relation: NeighbouringRelation = NeighbouringRelation.ZERO_OUT
    unit: PrivacyUnit = PrivacyUnit.CLIENT

    def __post_init__(self) -> None:
        force_setattr(self, "noise_multiplier", magnitude("noise_multiplier", self.noise_multiplier))
        member("relation", self.relation, NeighbouringRelation)
        member("unit", self.unit, PrivacyUnit)


class DistributedDiscreteGaussianEvent(
    msgspec.Struct, frozen=True, kw_only=True, tag="distributed-discrete-gaussian", forbid_unknown_fields=True
):
    """One release of a sum of integer vectors, with independent discrete Gaussian noises of one parameter in it.

    Attributes:
        local_sigma: parameter of each noise in each coordinate, in lattice units; 0.5 to 1e30.
        contributors: the least number of noises in the sum, 1 to 2**53; 1 where one party adds all of it.
        l2_sensitivity: the most, in L2, that one unit's integer vector changes the sum under `relation`; 1e-30 to 1e30,
            as is `noise_multiplier`.
        dimension: number of coordinates, 1 to 2**53.
        relation: zero-out, or add-or-remove-one where so many noises are in the sum whether the unit is there or not;
            a client that takes its own noise along when it goes is not covered by that.
        unit: the privacy unit.

    Raises:
        InvalidParameter: a number is out of range, or `relation` or `unit` is not one.
    """

    local_sigma: float
    contributors: int
    l2_sensitivity: float
    dimension: int
    relation: NeighbouringRelation = NeighbouringRelation.ZERO_OUT
    unit: PrivacyUnit = PrivacyUnit.CLIENT

    def __post_init__(self) -> None:
        force_setattr(self, "local_sigma", magnitude("local_sigma", self.local_sigma))
        if self.local_sigma < MINIMUM_ACCOUNTED_SIGMA:
            raise InvalidParameter(
                f"local_sigma: expected at least {MINIMUM_ACCOUNTED_SIGMA} (the bound on sums needs it), found "
                f"{self.local_sigma}; use a finer lattice, which scales it up"
            )
        _check_lattice_event(self)

    @property
    def noise_multiplier(self) -> float:
        """Standard deviation of the summed noise, sqrt(contributors) * local_sigma, over the L2 sensitivity."""
        return self.local_sigma * math.sqrt(self.contributors) / self.l2_sensitivity


class SkellamEvent(msgspec.Struct, frozen=True, kw_only=True, tag="skellam", forbid_unknown_fields=True):
    """One release of a sum of integer vectors with Skellam noise in it, from one party or from many.

    Attributes:
        variance: of the whole noise in each coordinate, in squared lattice units; 1e-30 to 1e30.
        contributors: the least number of parties whose noise makes that variance, 1 to 2**53.
        l2_sensitivity: the most, in L2, that one unit's integer vector changes the sum under `relation`; 1e-30 to 1e30,
            as is `noise_multiplier`.
        dimension: number of coordinates, 1 to 2**53.
        relation: zero-out, or add-or-remove-one where the noise has this variance whether the unit is there or not.
        unit: the privacy unit.

    Raises:
        InvalidParameter: a number is out of range, or `relation` or `unit` is not one.
    """

    variance: float
    contributors: int
    l2_sensitivity: float
    dimension: int
    relation: NeighbouringRelation = NeighbouringRelation.ZERO_OUT
    unit: PrivacyUnit = PrivacyUnit.CLIENT

    def __post_init__(self) -> None:
        force_setattr(self, "variance", magnitude("variance", self.variance))
        _check_lattice_event(self)

    @property
    def noise_multiplier(self) -> float:
        """Standard deviation of the noise over the L2 sensitivity."""
        return math.sqrt(self.variance) / self.l2_sensitivity


NoisyEvent = GaussianEvent | DistributedDiscreteGaussianEvent | SkellamEvent
"""A release of everybody's data with noise."""


class PoissonSampledEvent(msgspec.Struct, frozen=True, kw_only=True, tag="poisson-sampled", forbid_unknown_fields=True):
    """One release that each unit takes part in with the same probability, drawn afresh, independently and in secret.

    Whoever sees who took part, as the server of a secure sum does, gets `event` and no amplification.

    Attributes:
        sampling_rate: the probability, 1e-30 to 1.
        event: the release to those who take part; its relation must be add-or-remove-one.

    Raises:
        InvalidParameter: `sampling_rate` is out of range, or `event` is not one that can be sampled.
        IncompatibleEvent: the event's relation is another.
    """

    sampling_rate: float
    event: NoisyEvent

    def __post_init__(self) -> None:
        force_setattr(self, "sampling_rate", magnitude("sampling_rate", self.sampling_rate))
        if self.sampling_rate > 1:
            raise InvalidParameter(f"sampling_rate: expected a probability in (0, 1], found {self.sampling_rate}")
        if not isinstance(self.event, NoisyEvent):
            raise InvalidParameter(f"event: expected one that can be sampled, found {type(self.event).__name__}")
        if self.event.relation is not NeighbouringRelation.ADD_OR_REMOVE_ONE:
            raise IncompatibleEvent(
                f"relation: sampling hides who takes part, which is add-or-remove-one, found "
                f"{self.event.relation.value}, where that is public; account the event without sampling"
            )

    @property
    def relation(self) -> NeighbouringRelation:
        """The neighbouring relation."""
        return self.event.relation

    @property
    def unit(self) -> PrivacyUnit:
        """The privacy unit."""
        return self.event.unit

    @property
    def noise_multiplier(self) -> float:
        """That of the release to those who take part."""
        return self.event.noise_multiplier


class RepeatedEvent(msgspec.Struct, frozen=True, kw_only=True, tag="repeated", forbid_unknown_fields=True):
    """Several releases that are reserved as one, such as the steps of one round of local training.

    Attributes:
        times: how many, 1 to 2**53.
        event: each of them.

    Raises:
        InvalidParameter: `times` is out of range, or `event` is not a single release.
    """

    times: int
    event: NoisyEvent | PoissonSampledEvent

    def __post_init__(self) -> None:
        force_setattr(self, "times", integer_at_least("times", self.times, 1))
        if not isinstance(self.event, NoisyEvent | PoissonSampledEvent):
            raise InvalidParameter(f"event: expected a single release, found {type(self.event).__name__}")

    @property
    def relation(self) -> NeighbouringRelation:
        """The neighbouring relation."""
        return self.event.relation

    @property
    def unit(self) -> PrivacyUnit:
        """The privacy unit."""
        return self.event.unit

    @property
    def noise_multiplier(self) -> float:
        """That of each release."""
        return self.event.noise_multiplier


PrivacyEvent = NoisyEvent | PoissonSampledEvent | RepeatedEvent


def single_releases(event: PrivacyEvent) -> tuple[int, NoisyEvent | PoissonSampledEvent]:
    """Return how many single releases an event stands for, and what each is."""
    return (event.times, event.event) if isinstance(event, RepeatedEvent) else (1, event)


def decompose(event: PrivacyEvent) -> tuple[int, float, NoisyEvent]:
    """Return how often an event takes place, at which sampling rate (1 without sampling), and the noisy release."""
    times, release = single_releases(event)
    if isinstance(release, PoissonSampledEvent):
        return times, release.sampling_rate, release.event
    return times, 1.0, release


def single_release_counts(events: Mapping[PrivacyEvent, int]) -> Counter[PrivacyEvent]:
    """Return how often each single release took place, those of repeated events one by one, none that did not."""
    found: Counter[PrivacyEvent] = Counter()
    for event, times in events.items():
        if times:
            repeated, release = single_releases(event)
            found[release] += times * repeated
    return found


def _check_lattice_event(event: DistributedDiscreteGaussianEvent | SkellamEvent) -> None:
    force_setattr(event, "contributors", integer_at_least("contributors", event.contributors, 1))
    force_setattr(event, "l2_sensitivity", magnitude("l2_sensitivity", event.l2_sensitivity))
    force_setattr(event, "dimension", integer_at_least("dimension", event.dimension, 1))
    magnitude("noise_multiplier", event.noise_multiplier)
    member("relation", event.relation, NeighbouringRelation)
    member("unit", event.unit, PrivacyUnit)
