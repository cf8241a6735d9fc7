"""What was done to the data, as plain data: one event for each release, fit for JSON and for equality.

An event says everything that an accountant needs and nothing that depends on one: its neighbouring relation, its
privacy unit, and the noise against the sensitivity.
"""

import enum
import math
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
    """One unit is there or not; whether it contributes is itself protected."""


class PrivacyUnit(enum.Enum):
    """Whose data a guarantee protects as a whole."""

    CLIENT = "client"
    """Everything that one client (user, device, institution) ever contributes."""


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
    """One release of a sum of integer vectors, each with independent discrete Gaussian noise of its client's own.

    Attributes:
        local_sigma: parameter of each client's noise in each coordinate, in lattice units; 0.5 to 1e30.
        contributors: the least number of clients whose noise is in the sum, 1 to 2**53.
        l2_sensitivity: the most, in L2, that replacing one client's integer vector by zero changes the sum; 1e-30 to
            1e30, as is `noise_multiplier`.
        dimension: number of coordinates, 1 to 2**53.
        relation: must be zero-out: a client that is left out takes its noise along, which this event does not cover.
        unit: the privacy unit.

    Raises:
        InvalidParameter: a number is out of range, or `relation` or `unit` is not one.
        IncompatibleEvent: the relation is not zero-out.
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
        force_setattr(self, "contributors", integer_at_least("contributors", self.contributors, 1))
        force_setattr(self, "l2_sensitivity", magnitude("l2_sensitivity", self.l2_sensitivity))
        force_setattr(self, "dimension", integer_at_least("dimension", self.dimension, 1))
        magnitude("noise_multiplier", self.noise_multiplier)
        member("unit", self.unit, PrivacyUnit)
        if member("relation", self.relation, NeighbouringRelation) is not NeighbouringRelation.ZERO_OUT:
            raise IncompatibleEvent(
                f"relation: distributed noise is accounted under {NeighbouringRelation.ZERO_OUT.value}, found "
                f"{self.relation.value}"
            )

    @property
    def noise_multiplier(self) -> float:
        """Standard deviation of the summed noise, sqrt(contributors) * local_sigma, over the L2 sensitivity."""
        return self.local_sigma * math.sqrt(self.contributors) / self.l2_sensitivity


PrivacyEvent = GaussianEvent | DistributedDiscreteGaussianEvent
