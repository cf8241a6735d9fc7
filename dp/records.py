"""What a budget ledger holds: the budget, the reservations and the commitments, as plain data for JSON."""

from dataclasses import dataclass

import msgspec

from dp.accounting import check_delta
from dp.checks import positive_real
from dp.events import NeighbouringRelation, PrivacyEvent, PrivacyUnit

Detail = str | int | float


class Budget(msgspec.Struct, frozen=True, kw_only=True, tag="budget", forbid_unknown_fields=True):
    """What may be spent in all, and on whom; the first record of a ledger.

    Attributes:
        epsilon: above 0.
        delta: above 0 and below 1 / `population`.
        population: number of privacy units that may ever contribute.
        unit: the privacy unit.
        relation: the neighbouring relation.
        time_s: when the ledger was made, by its clock, in seconds.
    """

    epsilon: float
    delta: float
    population: int
    unit: PrivacyUnit
    relation: NeighbouringRelation
    time_s: float

    def __post_init__(self) -> None:
        positive_real("epsilon", self.epsilon)
        check_delta(self.delta, population=self.population)


class Reservation(msgspec.Struct, frozen=True, kw_only=True, tag="reservation", forbid_unknown_fields=True):
    """The record of a release that was about to be made.

    Attributes:
        number: counts reservations from 1.
        label: the caller's name for the release.
        event: what the release costs.
        time_s: when it was reserved, by the ledger's clock, in seconds.
    """

    number: int
    label: str
    event: PrivacyEvent
    time_s: float


class Commitment(msgspec.Struct, frozen=True, kw_only=True, tag="commitment", forbid_unknown_fields=True):
    """The record of a release that was made.

    Attributes:
        number: the reservation it belongs to.
        contributors: how many clients' vectors and noise shares were in the released sum.
        details: whatever else the caller records.
        time_s: when it was committed, by the ledger's clock, in seconds.
    """

    number: int
    contributors: int
    details: dict[str, Detail]
    time_s: float


Record = Budget | Reservation | Commitment


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One reserved release, and its commitment if there is one."""

    reservation: Reservation
    commitment: Commitment | None
