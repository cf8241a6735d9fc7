"""The records of a ledger as an account: what was reserved, what was committed, what it cost.

It knows neither file nor clock. What it is made of was written by a `dp.ledger`, or by anyone: it is held to what
`reserve` and `commit` would have written.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from dp.accounting.guarantee import Guarantee, guarantee, is_within
from dp.checks import integer_at_least, printable
from dp.errors import IncompatibleEvent, InvalidParameter, InvalidReservation, LedgerCorrupt
from dp.events import PrivacyEvent
from dp.ledger.realised import check_cost, check_noise, least_contributors
from dp.ledger.records import Budget, Commitment, LedgerEntry, Record, Reservation
from dp.ledger.remaining import remaining


class Account:
    """A budget and the releases that were reserved under it.

    Args:
        bodies: the records in the order they were written, as JSON.
        name: what errors call their file.

    Attributes:
        budget: the first record.
        reservations: all of them, in order.
        last_time_s: the time of the last record.

    Raises:
        LedgerCorrupt: the records are not a ledger's; the message says which, counted from 0.
    """

    def __init__(self, bodies: Sequence[bytes], *, name: str) -> None:
        self._name = name
        self.reservations: list[Reservation] = []
        self._commitments: dict[int, Commitment] = {}
        self._events: Counter[PrivacyEvent] = Counter()
        records = [self._decode(position, body) for position, body in enumerate(bodies)]
        if not records or not isinstance(records[0], Budget):
            raise self._corrupt(0, "expected the budget, found none")
        self.budget: Final = records[0]
        self.last_time_s = self.budget.time_s
        for position, record in enumerate(records[1:], start=1):
            self._replay(position, record)

    def entries(self) -> tuple[LedgerEntry, ...]:
        """Return all releases in the order they were reserved."""
        return tuple(
            LedgerEntry(reservation=reservation, commitment=self._commitments.get(reservation.number))
            for reservation in self.reservations
        )

    def guarantee(self, event: PrivacyEvent | None = None, count: int = 0) -> Guarantee:
        """Return what all reserved releases satisfy together, and `count` more of `event`."""
        return guarantee(
            self._with(event, count), delta=self.budget.delta, relation=self.budget.relation, unit=self.budget.unit
        )

    def admits(self, event: PrivacyEvent) -> bool:
        """Return whether one more of `event` stays within the budget."""
        budget = self.budget
        return is_within(
            self._with(event, 1),
            epsilon=budget.epsilon,
            delta=budget.delta,
            relation=budget.relation,
            unit=budget.unit,
        )

    def remaining(self, event: PrivacyEvent) -> int:
        """Return how many more of `event` stay within the budget, at most 2**40."""
        return remaining(self._events, event, budget=self.budget)

    def check_event(self, event: PrivacyEvent, contributors: int) -> None:
        """Refuse an event that could not be reserved, or not be committed with this number of contributors.

        Args:
            event: what a release is to cost.
            contributors: the most clients that are to be in its sum.

        Raises:
            IncompatibleEvent: its relation or unit is not the budget's.
            InvalidParameter: it is no privacy event, or `contributors` is above the population or below those whose
                noise it counts on.
        """
        budget = self.budget
        if not isinstance(event, PrivacyEvent):
            raise InvalidParameter(f"event: expected a privacy event, found {type(event).__name__}")
        if (event.relation, event.unit) != (budget.relation, budget.unit):
            raise IncompatibleEvent(
                f"event: expected relation {budget.relation.value} and unit {budget.unit.value}, as in the budget of "
                f"{self._name}, found {event.relation.value} and {event.unit.value}. Create "
                "a ledger with this relation and unit."
            )
        if integer_at_least("contributors", contributors, 1) > budget.population:
            raise InvalidParameter(
                f"contributors: expected at most the population {budget.population} of {self._name}, found "
                f"{contributors}. Create a ledger whose population counts everyone who may ever contribute."
            )
        least = least_contributors(event)
        if contributors < least:
            raise InvalidParameter(
                f"contributors: expected at least {least}, whose noise the event counts on, found {contributors}"
            )

    def check_commitment(self, number: int, contributors: int, realised: PrivacyEvent | None) -> None:
        """Refuse to commit what was not reserved, or less than was reserved.

        Args:
            number: the reservation.
            contributors: how many clients were in the released sum, at least 1.
            realised: the release with the noise that was really in it.

        Raises:
            InvalidReservation: there is no such reservation, it is committed already, contributors are too few or more
                than the population, or `realised` counts on more of them, has less noise or more sensitivity.
            IncompatibleEvent: the relation or unit of `realised` is not the reserved one.
            InvalidParameter: `number` is not an integer of at least 1, or `realised` is not a privacy event.
        """
        if not 1 <= integer_at_least("reservation", number, 1) <= len(self.reservations):
            raise InvalidReservation(f"reservation {number}: expected one of {len(self.reservations)} made so far")
        if number in self._commitments:
            raise InvalidReservation(f"reservation {number}: committed already")
        reserved = self.reservations[number - 1].event
        least = least_contributors(reserved)
        if contributors < least:
            raise InvalidReservation(
                f"reservation {number}: expected at least {least} contributors, whose noise was reserved, found "
                f"{contributors}; such a sum must not be released"
            )
        if contributors > self.budget.population:
            raise InvalidReservation(
                f"reservation {number}: expected at most the population {self.budget.population}, found {contributors}"
            )
        self.check_realised(f"reservation {number}", reserved, contributors, realised)

    def check_realised(
        self, name: str, reserved: PrivacyEvent, contributors: int, realised: PrivacyEvent | None
    ) -> None:
        """Refuse a release with less noise than was reserved, or with the noise of more clients than are in it.

        Args:
            name: begins the messages.
            reserved: what was, or is to be, reserved.
            contributors: how many clients are in the sum.
            realised: the release with the noise that is really in it; None where nothing tells.

        Raises:
            InvalidReservation: it has less noise or more sensitivity, or counts on more contributors.
            IncompatibleEvent: the relation or unit of `realised` is not the reserved one.
            InvalidParameter: `realised` is not a privacy event.
        """
        if realised is None:
            return
        check_noise(name, reserved=reserved, realised=realised)
        if least_contributors(realised) > contributors:
            raise InvalidReservation(
                f"{name}: expected the noise of at most the {contributors} contributors, found a "
                f"realised event that counts on {least_contributors(realised)}"
            )

    def unsupported_realised(self) -> tuple[int, ...]:
        """Return the reservations whose realised event `check_cost` refuses, in order."""
        refused: dict[tuple[PrivacyEvent, PrivacyEvent], bool] = {}
        numbers = []
        for number, commitment in sorted(self._commitments.items()):
            if commitment.realised is None:
                continue
            pair = (self.reservations[number - 1].event, commitment.realised)
            if pair not in refused:
                refused[pair] = _costs_more(*pair)
            if refused[pair]:
                numbers.append(number)
        return tuple(numbers)

    def apply(self, record: Reservation | Commitment) -> None:
        """Take in a record that was written."""
        if isinstance(record, Reservation):
            self.reservations.append(record)
            self._events[record.event] += 1
        else:
            self._commitments[record.number] = record
        self.last_time_s = record.time_s

    def _with(self, event: PrivacyEvent | None, count: int) -> Counter[PrivacyEvent]:
        events = self._events.copy()
        if event is not None:
            events[event] += count
        return events

    def _replay(self, position: int, record: Record) -> None:
        """Take in a record that was read.

        What depends on how events are accounted, and may differ between versions, is not asked again: whether the
        budget sufficed (`guarantee` tells), and whether a realised event cost no more than the reserved one where
        that is not a matter of their parameters (`unsupported_realised` tells).
        """
        if isinstance(record, Budget):
            raise self._corrupt(position, "expected one budget, found a second")
        if isinstance(record, Reservation):
            expected = len(self.reservations) + 1
            if record.number != expected:
                raise self._corrupt(position, f"expected reservation {expected}, found {record.number}")
            if (record.event.relation, record.event.unit) != (self.budget.relation, self.budget.unit):
                raise self._corrupt(position, f"reservation {expected} has not the budget's relation and unit")
        else:
            try:
                self.check_commitment(record.number, record.contributors, record.realised)
            except (IncompatibleEvent, InvalidParameter, InvalidReservation) as error:
                raise self._corrupt(position, str(error)) from None
        self.apply(record)

    def _decode(self, position: int, body: bytes) -> Record:
        try:
            return _DECODER.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._corrupt(position, f"not one of this format ({printable(str(error))})") from None

    def _corrupt(self, position: int, reason: str) -> LedgerCorrupt:
        return LedgerCorrupt(f"{self._name}: record {position}: {reason}")


def _costs_more(reserved: PrivacyEvent, realised: PrivacyEvent) -> bool:
    try:
        check_cost("realised", reserved=reserved, realised=realised)
    except InvalidReservation:
        return True
    return False


_DECODER: Final[msgspec.json.Decoder[Record]] = msgspec.json.Decoder(Record)
