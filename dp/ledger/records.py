"""What a budget ledger holds: the budget, the reservations and the commitments, as plain data for JSON.

Each record checks itself when it is made and when it is read: a file has no key, so what is read is checked against
what could have been written.
"""

import math
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Final

import msgspec
from msgspec.structs import force_setattr

from dp.accounting.renyi_order import best_order, checked_order, renyi_budget
from dp.checks import check_delta, integer_at_least, magnitude, member, positive_real, short_text
from dp.errors import EntropyFailure, InvalidParameter
from dp.events import NeighbouringRelation, Observer, PrivacyEvent, PrivacyUnit
from dp.ledger.description import Description
from dp.ledger.participation import MAXIMUM_CLIENTS, Accounting, Participation
from dp.noise.discrete_gaussian import Entropy
from dp.version import SOFTWARE, VERSION

Clock = Callable[[], float]

Detail = str | int | float

TRUST_DETAIL: Final = "trust"
"""The name of the detail that says who added a release's noise, with a `dp.events.Trust` as its value."""

CLIENTS_DETAIL: Final = "clients"
"""The name of the detail that says how many clients there were, of whom the contributors were some."""

NOISE_COLLUDING_DETAIL: Final = "colluding-noise"
"""The name of the detail that says how many contributors' noise is not counted, since they may reveal or omit it."""

SUM_COLLUDING_DETAIL: Final = "colluding-sum"
"""The name of the detail that says how many clients may help the server without breaking the summing protocol."""

UPDATES_HIDDEN_DETAIL: Final = "updates-hidden"
"""The name of the detail that says whether the summing protocol hides single vectors from the server: "yes" or "no"."""

MODEL_DETAIL: Final = "model"
"""The name of the detail with the digest of the model that a release led to, in hexadecimal."""

VELOCITY_DETAIL: Final = "velocity"
"""The name of the detail with the digest of the server's velocity after a release, in hexadecimal."""

SALT_BYTES: Final = 16

LATEST_TIME_S: Final = 253402300799.0
"""The end of the year 9999, the last that has a date."""


class Budget(msgspec.Struct, frozen=True, kw_only=True, tag="budget", forbid_unknown_fields=True, omit_defaults=True):
    """What may be spent in all, and on whom; the first record of a ledger.

    Attributes:
        epsilon: 1e-30 to 1e30.
        delta: Above 0 and below 1 / `population`.
        population: The number of privacy units that may ever contribute, 1 to 2**53.
        unit: The privacy unit.
        relation: The neighbouring relation.
        time_s: The time at which the ledger was made, by its clock, in seconds since 1970, up to the year 9999.
        software: The software that made the ledger, with its version, 1 to 200 printable characters; None in ledgers of
            earlier versions.
        description: What the ledger is about; None if that was not given.
        salt: Randomness, 32 hexadecimal digits; None in ledgers of earlier versions. A published head is a hash over
            this record. Without the salt, anyone who knows all examples but one could use that hash to check a guess of
            that example.
        participation: The population of which each release asks some. None: each release asks everybody, as in all
            ledgers of earlier versions.
        towards: From whom the statement that the ledger enforces protects; None without `participation`.
            `Observer.SERVER` needs the relation zero-out if the unit is the client. `Observer.READERS` needs
            add-or-remove-one, the client as the unit, no cap, and an accounting that takes sampled releases.
        accounting: What may depend on results, and how releases are charged.
        order: The Renyi order of `Accounting.RENYI_FILTER`, above 1 and at most 1e6; None otherwise.

    Raises:
        InvalidParameter: An attribute is out of range or of another kind, or two do not go together.
    """

    epsilon: float
    delta: float
    population: int
    unit: PrivacyUnit
    relation: NeighbouringRelation
    time_s: float
    software: str | None = None
    description: Description | None = None
    salt: str | None = None
    participation: Participation | None = None
    towards: Observer | None = None
    accounting: Accounting = Accounting.FIXED
    order: float | None = None

    @property
    def clients(self) -> int:
        """The number of clients whose participation is counted; 1 without `participation`."""
        if self.participation is None:
            return 1
        return self.population if self.participation.size is None else self.participation.size

    def __post_init__(self) -> None:
        force_setattr(self, "epsilon", magnitude("epsilon", self.epsilon))
        check_delta(self.delta, population=self.population)
        force_setattr(self, "delta", float(self.delta))
        force_setattr(self, "population", int(self.population))
        member("unit", self.unit, PrivacyUnit)
        member("relation", self.relation, NeighbouringRelation)
        force_setattr(self, "time_s", _time(self.time_s))
        if self.software is not None:
            force_setattr(self, "software", short_text("software", self.software))
        if self.description is not None and not isinstance(self.description, Description):
            raise InvalidParameter(f"description: expected a Description, found {type(self.description).__name__}")
        _check_salt(self.salt)
        _check_participation(self)
        _check_order(self)


class Reservation(
    msgspec.Struct, frozen=True, kw_only=True, tag="reservation", forbid_unknown_fields=True, omit_defaults=True
):
    """The record of a release that was about to be made.

    Attributes:
        number: The number of the reservation, counted from 1.
        label: The caller's name for the release, 1 to 200 printable characters.
        event: What the release costs.
        time_s: The time of the reservation, as in `Budget`.
        participants: The clients that it asks, as `dp.ledger.participants` writes them; None without participation.
        salt: Fresh randomness, 32 hexadecimal digits, if the statement of the ledger is towards readers; otherwise
            None. Heads are published. Without the salt, anyone who knows the head before this record could use the one
            after it to check a guess of who was drawn.

    Raises:
        InvalidParameter: An attribute is out of range or of another kind.
    """

    number: int
    label: str
    event: PrivacyEvent
    time_s: float
    participants: str | None = None
    salt: str | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "number", integer_at_least("number", self.number, 1))
        force_setattr(self, "label", short_text("label", self.label))
        if not isinstance(self.event, PrivacyEvent):
            raise InvalidParameter(f"event: expected a privacy event, found {type(self.event).__name__}")
        force_setattr(self, "time_s", _time(self.time_s))
        _check_text("participants", self.participants)
        _check_salt(self.salt)


class Commitment(
    msgspec.Struct, frozen=True, kw_only=True, tag="commitment", forbid_unknown_fields=True, omit_defaults=True
):
    """The record of a release that was made.

    Attributes:
        number: The reservation it belongs to.
        contributors: How many clients' vectors and noise shares were in the released sum; 0 only if nobody was asked.
        realised: The release with the noise that was really in it; None if that is not known.
        details: Anything else that the caller records, by names of 1 to 200 printable characters: texts, finite floats,
            integers of 64 bits.
        time_s: The time of the commitment, as in `Budget`.
        missing: The clients that were asked and are not in the sum, as `dp.ledger.participants` writes them; None
            without participation, or if nobody is missing.
        salt: As in `Reservation`, since a commitment says how many clients were drawn.

    Raises:
        InvalidParameter: An attribute is out of range or of another kind.
    """

    number: int
    contributors: int
    details: Mapping[str, Detail]
    time_s: float
    # A default that a function returns is written too, as all ledgers of earlier versions have it.
    realised: PrivacyEvent | None = msgspec.field(default_factory=lambda: None)
    missing: str | None = None
    salt: str | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "number", integer_at_least("number", self.number, 1))
        force_setattr(self, "contributors", integer_at_least("contributors", self.contributors, 0))
        force_setattr(self, "details", _details(self.details))
        if self.realised is not None and not isinstance(self.realised, PrivacyEvent):
            raise InvalidParameter(f"realised: expected a privacy event, found {type(self.realised).__name__}")
        force_setattr(self, "time_s", _time(self.time_s))
        _check_text("missing", self.missing)
        _check_salt(self.salt)


Record = Budget | Reservation | Commitment


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One reserved release, and its commitment if there is one."""

    reservation: Reservation
    commitment: Commitment | None


def first_record(
    *,
    epsilon: float,
    delta: float,
    population: int,
    unit: PrivacyUnit = PrivacyUnit.CLIENT,
    relation: NeighbouringRelation = NeighbouringRelation.ZERO_OUT,
    description: Description | None = None,
    participation: Participation | None = None,
    towards: Observer = Observer.SERVER,
    accounting: Accounting = Accounting.FIXED,
    order: float | None = None,
    clock: Clock = time.time,
    entropy: Entropy = os.urandom,
) -> bytes:
    """Return the record that a new ledger begins with: its `Budget`, as JSON.

    Args:
        epsilon: As in `Budget`, like the following five.
        delta: As in `Budget`.
        population: As in `Budget`.
        unit: As in `Budget`.
        relation: As in `Budget`.
        description: As in `Budget`.
        participation: As in `Budget`.
        towards: As in `Budget`; without `participation` it is not recorded.
        accounting: As in `Budget`.
        order: As in `Budget`. None: with the Renyi filter, the order that is best without a plan (`best_order`).
        clock: Returns the time, in seconds since 1970.
        entropy: Source of the salt.

    Raises:
        InvalidParameter: The budget is out of range, or `description` is not a `Description`.
        EntropyFailure: `entropy` did not return the bytes that were asked for.
    """
    if member("accounting", accounting, Accounting) is Accounting.RENYI_FILTER and order is None:
        order = best_order(epsilon=epsilon, delta=delta)
    budget = Budget(
        epsilon=epsilon,
        delta=delta,
        population=population,
        unit=unit,
        relation=relation,
        time_s=clock(),
        software=f"{SOFTWARE} {VERSION}",
        description=description,
        salt=new_salt(entropy),
        participation=participation,
        towards=None if participation is None else towards,
        accounting=accounting,
        order=order,
    )
    return msgspec.json.encode(budget)


def _check_participation(budget: Budget) -> None:
    participation: object = budget.participation
    if participation is None:
        if budget.towards is not None:
            raise InvalidParameter("towards: expected None without participation, found an observer")
        return
    if not isinstance(participation, Participation):
        raise InvalidParameter(f"participation: expected a Participation, found {type(participation).__name__}")
    force_setattr(budget, "towards", member("towards", budget.towards, Observer))
    per_client = budget.unit is PrivacyUnit.CLIENT
    if not per_client and participation.size is None:
        raise InvalidParameter(
            "size: expected the number of clients, since the population counts examples, found None. Give "
            "`Participation` a size."
        )
    if per_client and budget.clients != budget.population:
        raise InvalidParameter(
            f"size: expected the population {budget.population}, which counts clients, found {budget.clients}. "
            "Leave it out."
        )
    if budget.clients > MAXIMUM_CLIENTS:
        raise InvalidParameter(
            f"population: expected at most {MAXIMUM_CLIENTS} clients whose participation is counted, found "
            f"{budget.clients}. Use a ledger without participation."
        )
    if budget.towards is Observer.SERVER:
        if per_client and budget.relation is not NeighbouringRelation.ZERO_OUT:
            raise InvalidParameter(
                f"relation: expected zero-out, because the server sees who takes part, found {budget.relation.value}. "
                "Use zero-out, or `Observer.READERS`."
            )
    elif not per_client or budget.relation is not NeighbouringRelation.ADD_OR_REMOVE_ONE:
        raise InvalidParameter(
            f"towards: expected the relation add-or-remove-one and the unit client for readers, found "
            f"{budget.relation.value} and {budget.unit.value}. Use `Observer.SERVER`."
        )
    elif budget.accounting is Accounting.GAUSSIAN_FILTER:
        raise InvalidParameter(
            f"accounting: expected {Accounting.FIXED.value} or {Accounting.RENYI_FILTER.value} for readers, whose "
            f"releases are sampled, found {budget.accounting.value}. Use the Renyi filter."
        )
    elif participation.cap is not None:
        raise InvalidParameter(
            f"cap: expected None for readers, because a draw that a cap limits is not independent, found "
            f"{participation.cap}. Leave the cap out, or use `Observer.SERVER`."
        )


def _check_order(budget: Budget) -> None:
    force_setattr(budget, "accounting", member("accounting", budget.accounting, Accounting))
    if budget.accounting is not Accounting.RENYI_FILTER:
        if budget.order is not None:
            raise InvalidParameter(
                f"order: expected None for {budget.accounting.value}, which has no Renyi order, found a number. "
                f"Leave it out, or use {Accounting.RENYI_FILTER.value}."
            )
        return
    order = checked_order(budget.order)
    force_setattr(budget, "order", order)
    if renyi_budget(order, epsilon=budget.epsilon, delta=budget.delta) <= 0:
        raise InvalidParameter(
            f"order: expected one that reaches epsilon {budget.epsilon:g} at delta {budget.delta:g}, found {order:g}. "
            "Use a larger order, such as that of `best_order`."
        )


def _check_salt(salt: object) -> None:
    if salt is not None and not (isinstance(salt, str) and re.fullmatch(f"[0-9a-f]{{{2 * SALT_BYTES}}}", salt)):
        raise InvalidParameter(f"salt: expected {2 * SALT_BYTES} lower-case hexadecimal digits, found something else")


def _check_text(name: str, text: object) -> None:
    if text is not None and not isinstance(text, str):
        raise InvalidParameter(f"{name}: expected a text or None, found {type(text).__name__}")


def new_salt(entropy: Callable[[int], object]) -> str:
    """Return the salt of a record, 32 hexadecimal digits.

    Raises:
        EntropyFailure: `entropy` did not return the bytes that were asked for.
    """
    salt = entropy(SALT_BYTES)
    if type(salt) is not bytes or len(salt) != SALT_BYTES:
        raise EntropyFailure(f"entropy: expected {SALT_BYTES} bytes, found something else. Use os.urandom.")
    return salt.hex()


def _time(time_s: object) -> float:
    seconds = positive_real("clock", time_s)
    if seconds > LATEST_TIME_S:
        raise InvalidParameter(f"clock: expected seconds since 1970, up to the year 9999, found {seconds:g}")
    return seconds


def _details(details: object) -> dict[str, Detail]:
    if not isinstance(details, Mapping):
        raise InvalidParameter(f"details: expected a mapping, found {type(details).__name__}")
    return {short_text("details", name): _detail(f"details[{name!r}]", value) for name, value in details.items()}


def _detail(name: str, value: object) -> Detail:
    if isinstance(value, str):
        try:
            return value.encode().decode()
        except UnicodeEncodeError:
            raise InvalidParameter(f"{name}: expected a text that UTF-8 can write, found a lone surrogate") from None
    if isinstance(value, Integral) and not isinstance(value, bool):
        return integer_at_least(name, value, -1 << 63, maximum=(1 << 63) - 1)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidParameter(f"{name}: expected a text or a number, found {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidParameter(f"{name}: expected a finite number, found one that is not finite")
    return number
