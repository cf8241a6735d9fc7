"""Releases as plain data: one event for each release, which JSON can hold and which can be compared.

An event contains everything that an accountant needs, and nothing that depends on the accountant: the neighbouring
relation, the privacy unit, and the noise relative to the sensitivity.
"""

import enum
import math
from collections import Counter
from collections.abc import Mapping
from typing import ClassVar, Final

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
    """Who adds the noise, and therefore who is trusted; ledgers record it with a release (`TRUST_DETAIL`)."""

    DISTRIBUTED = "distributed"
    """Every client adds a noise share. If the protocol hides everything else, the server sees only a noisy sum."""

    LOCAL = "local"
    """Every client adds noise that is enough by itself, so no other party and no protocol has to be trusted."""

    CENTRAL = "central"
    """The server sees the exact sum and adds the noise. The guarantee does not hold against the server; it holds
    against everyone who sees only the released means."""


class Observer(enum.StrEnum):
    """From whom a statement protects, in a population of which only some take part in a release."""

    SERVER = "server"
    """Who asks the clients, and sees who takes part, who drops out, and every released sum."""

    READERS = "readers"
    """Those who see the released models and nothing else: no roster, no ledger, no log. They were in no round together
    with the client whose data are protected."""


class GaussianEvent(msgspec.Struct, frozen=True, kw_only=True, tag="gaussian", forbid_unknown_fields=True):
    """One release of a query with continuous Gaussian noise in every coordinate.

    Attributes:
        contributors: The number of parties that add the noise.
        noise_multiplier: Standard deviation of the noise over the query's L2 sensitivity under `relation`, 1e-30 to
            1e30.
        relation: The neighbouring relation that the sensitivity was measured under.
        unit: The privacy unit.

    Raises:
        InvalidParameter: `noise_multiplier` is out of range, or `relation` or `unit` is not a member of its type.
    """

    contributors: ClassVar = 1  # Not a field: ledgers and reports do not contain it.

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
        local_sigma: Parameter of each noise in each coordinate, in steps of the integer grid; 0.5 to 1e30.
        contributors: The least number of noises in the sum, 1 to 2**53; 1 if one party adds all of the noise.
        l2_sensitivity: The most, in L2 norm, that one unit's integer vector changes the sum under `relation`; 1e-30 to
            1e30. `noise_multiplier` must be within the same range.
        dimension: The number of coordinates, 1 to 2**53.
        relation: Zero-out, or add-or-remove-one if at least `contributors` noises are in the sum whether the unit is
            present or not. Add-or-remove-one does not cover a client whose own noise is missing when the client is.
        unit: The privacy unit.

    Raises:
        InvalidParameter: A number is out of range, or `relation` or `unit` is not a member of its type.
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
                f"local_sigma: expected at least {MINIMUM_ACCOUNTED_SIGMA}, which the bound on sums needs, found "
                f"{self.local_sigma}. Use a finer integer grid, which makes it larger."
            )
        _check_lattice_event(self)

    @property
    def noise_multiplier(self) -> float:
        """Standard deviation of the summed noise, sqrt(contributors) * local_sigma, over the L2 sensitivity."""
        return self.local_sigma * math.sqrt(self.contributors) / self.l2_sensitivity


class SkellamEvent(msgspec.Struct, frozen=True, kw_only=True, tag="skellam", forbid_unknown_fields=True):
    """One release of a sum of integer vectors with Skellam noise in it, from one party or from many.

    Attributes:
        variance: Variance of all the noise in each coordinate, in squared steps of the integer grid; 1e-30 to 1e30.
        contributors: The least number of parties whose noise has that variance in total, 1 to 2**53.
        l2_sensitivity: The most, in L2 norm, that one unit's integer vector changes the sum under `relation`; 1e-30 to
            1e30. `noise_multiplier` must be within the same range.
        dimension: The number of coordinates, 1 to 2**53.
        relation: Zero-out, or add-or-remove-one if the noise has this variance whether the unit is present or not.
        unit: The privacy unit.

    Raises:
        InvalidParameter: A number is out of range, or `relation` or `unit` is not a member of its type.
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


LatticeEvent = DistributedDiscreteGaussianEvent | SkellamEvent
"""A release of a sum of integer vectors with integer noise."""

NoisyEvent = GaussianEvent | LatticeEvent
"""A release with noise in which every unit takes part."""


class PoissonSampledEvent(msgspec.Struct, frozen=True, kw_only=True, tag="poisson-sampled", forbid_unknown_fields=True):
    """One release in which each unit takes part with the same probability, drawn afresh, independently and in secret.

    Amplification does not hold against anyone who sees which units took part, such as the server of a secure sum. Only
    the guarantee of `event` holds against that party.

    Attributes:
        sampling_rate: The probability, 1e-30 to 1.
        event: The release over the units that take part; its relation must be add-or-remove-one.

    Raises:
        InvalidParameter: `sampling_rate` is out of range, or `event` is not an event that can be sampled.
        IncompatibleEvent: The event's relation is not add-or-remove-one.
    """

    sampling_rate: float
    event: NoisyEvent

    def __post_init__(self) -> None:
        force_setattr(self, "sampling_rate", magnitude("sampling_rate", self.sampling_rate))
        if self.sampling_rate > 1:
            raise InvalidParameter(
                f"sampling_rate: expected a probability in (0, 1], found {self.sampling_rate}. Use 1 or less."
            )
        if not isinstance(self.event, NoisyEvent):
            raise InvalidParameter(
                f"event: expected an event that can be sampled, found {type(self.event).__name__}. Use an event of one "
                "release without sampling."
            )
        if self.event.relation is not NeighbouringRelation.ADD_OR_REMOVE_ONE:
            raise IncompatibleEvent(
                f"relation: expected add-or-remove-one, because sampling hides who takes part, found "
                f"{self.event.relation.value}, under which that is public. Account the event without sampling."
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
        """The noise multiplier of the release over the units that take part."""
        return self.event.noise_multiplier


class RepeatedEvent(msgspec.Struct, frozen=True, kw_only=True, tag="repeated", forbid_unknown_fields=True):
    """Several releases that are reserved as one, such as the steps of one round of local training.

    Attributes:
        times: The number of releases, 1 to 2**53.
        event: The event of each release.

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
        """The noise multiplier of each release."""
        return self.event.noise_multiplier


PrivacyEvent = NoisyEvent | PoissonSampledEvent | RepeatedEvent


def single_releases(event: PrivacyEvent) -> tuple[int, NoisyEvent | PoissonSampledEvent]:
    """Return the number of single releases that an event stands for, and the event of each."""
    return (event.times, event.event) if isinstance(event, RepeatedEvent) else (1, event)


def decompose(event: PrivacyEvent) -> tuple[int, float, NoisyEvent]:
    """Return how often an event takes place, its sampling rate (1 without sampling), and the event of the noise."""
    times, release = single_releases(event)
    if isinstance(release, PoissonSampledEvent):
        return times, release.sampling_rate, release.event
    return times, 1.0, release


def with_noise(event: PrivacyEvent, noise: NoisyEvent) -> PrivacyEvent:
    """Return an event with another event of the noise, as often and at the same sampling rate."""
    times, release = single_releases(event)
    if isinstance(release, PoissonSampledEvent):
        release = PoissonSampledEvent(sampling_rate=release.sampling_rate, event=noise)
    else:
        release = noise
    return RepeatedEvent(times=times, event=release) if isinstance(event, RepeatedEvent) else release


def single_release_counts(events: Mapping[PrivacyEvent, int]) -> Counter[PrivacyEvent]:
    """Return how often each single release took place, with repeated events taken apart and counts of 0 left out."""
    found: Counter[PrivacyEvent] = Counter()
    for event, times in events.items():
        if times:
            repeated, release = single_releases(event)
            found[release] += times * repeated
    return found


def _check_lattice_event(event: LatticeEvent) -> None:
    force_setattr(event, "contributors", integer_at_least("contributors", event.contributors, 1))
    force_setattr(event, "l2_sensitivity", magnitude("l2_sensitivity", event.l2_sensitivity))
    force_setattr(event, "dimension", integer_at_least("dimension", event.dimension, 1))
    magnitude("noise_multiplier", event.noise_multiplier)
    member("relation", event.relation, NeighbouringRelation)
    member("unit", event.unit, PrivacyUnit)
