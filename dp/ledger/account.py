"""The records of a ledger as an account: what was reserved, what was committed, what it cost.

An account performs no I/O and reads no clock. Its records may come from an untrusted file, so each is checked against
what `Ledger.reserve` and `Ledger.commit` could have written.
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
        bodies: The records in the order they were written, as JSON.
        name: The name of their file in errors.

    Attributes:
        budget: The first record.
        reservations: All reservations, in order.
        last_time_s: The time of the last record.

    Raises:
        LedgerCorrupt: The records are not those of a ledger; the message names the record, counted from 0.
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
        """Return all reserved releases in the order of their reservations."""
        return tuple(
            LedgerEntry(reservation=reservation, commitment=self._commitments.get(reservation.number))
            for reservation in self.reservations
        )

    def guarantee(self, event: PrivacyEvent | None = None, count: int = 0) -> Guarantee:
        """Return the guarantee of all reserved releases and `count` more of `event` together."""
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
        """Refuse an event that cannot be reserved, or cannot be committed with this number of contributors.

        Args:
            event: What a release will cost.
            contributors: The most clients that may be in its sum.

        Raises:
            IncompatibleEvent: Its relation or unit is not that of the budget.
            InvalidParameter: It is not a privacy event, or `contributors` is above the population or below the number
                of parties whose noise the event counts on.
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
                f"contributors: expected at least {least}, whose noise the event counts on, found {contributors}. Plan "
                "the noise for the least number of contributors."
            )

    def check_commitment(self, number: int, contributors: int, realised: PrivacyEvent | None) -> None:
        """Refuse a commitment of a release that was not reserved, or that has less noise than was reserved.

        Args:
            number: The reservation.
            contributors: How many clients were in the released sum, at least 1.
            realised: The release with the noise that was really in it.

        Raises:
            InvalidReservation: There is no such reservation, or it is already committed. Or `contributors` is below
                what was reserved or above the population. Or `realised` counts on more contributors, has less noise or
                more sensitivity.
            IncompatibleEvent: The relation or unit of `realised` is not the reserved one.
            InvalidParameter: `number` is not an integer of at least 1, or `realised` is not a privacy event.
        """
        if not 1 <= integer_at_least("reservation", number, 1) <= len(self.reservations):
            raise InvalidReservation(
                f"reservation {number}: expected one of {len(self.reservations)} reservations made so far, found "
                "another number. Use the number that `reserve` returned."
            )
        if number in self._commitments:
            raise InvalidReservation(
                f"reservation {number}: expected one without a commitment, found one that is already committed. Commit "
                "each reservation once."
            )
        reserved = self.reservations[number - 1].event
        least = least_contributors(reserved)
        if contributors < least:
            raise InvalidReservation(
                f"reservation {number}: expected at least {least} contributors, whose noise was reserved, found "
                f"{contributors}. Do not release this sum."
            )
        if contributors > self.budget.population:
            raise InvalidReservation(
                f"reservation {number}: expected at most the population of {self.budget.population}, found "
                f"{contributors} contributors. Use a ledger whose population counts everyone who may ever contribute."
            )
        self.check_realised(f"reservation {number}", reserved, contributors, realised)

    def check_realised(
        self, name: str, reserved: PrivacyEvent, contributors: int, realised: PrivacyEvent | None
    ) -> None:
        """Refuse a release with less noise than was reserved, or with the noise of more clients than are in it.

        Args:
            name: The beginning of the messages.
            reserved: What was reserved, or will be.
            contributors: How many clients are in the sum.
            realised: The release with the noise that is really in it; None if that is not known.

        Raises:
            InvalidReservation: It has less noise or more sensitivity, or counts on more contributors.
            IncompatibleEvent: The relation or unit of `realised` is not the reserved one.
            InvalidParameter: `realised` is not a privacy event.
        """
        if realised is None:
            return
        check_noise(name, reserved=reserved, realised=realised)
        if least_contributors(realised) > contributors:
            raise InvalidReservation(
                f"{name}: expected the noise of at most the {contributors} contributors, found a realised event that "
                f"counts on {least_contributors(realised)}. Give the event of the contributors that are in the sum."
            )

    def unsupported_realised(self) -> tuple[int, ...]:
        """Return the numbers of the reservations whose realised event `check_cost` refuses, in order."""
        refused: dict[tuple[PrivacyEvent, PrivacyEvent], bool] = {}
        numbers = []
        for number, commitment in sorted(self._commitments.items()):
            if commitment.realised is None:
                continue
            pair = (self.reservations[number - 1].event, commitment.realised)
            if pair not in refused:
                refused[pair] = self._costs_more(*pair)
            if refused[pair]:
                numbers.append(number)
        return tuple(numbers)

    def apply(self, record: Reservation | Commitment) -> None:
        """Add a record that was written."""
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
        """Check and add a record that was read.

        Two checks depend on how events are accounted, which may differ between versions. They are not made here:
        whether the budget was enough (see `guarantee`), and whether a realised event costs no more than the reserved
        one if their parameters alone do not decide it (see `unsupported_realised`).
        """
        if isinstance(record, Budget):
            raise self._corrupt(position, "expected one budget, found a second")
        if isinstance(record, Reservation):
            expected = len(self.reservations) + 1
            if record.number != expected:
                raise self._corrupt(position, f"expected reservation {expected}, found {record.number}")
            if (record.event.relation, record.event.unit) != (self.budget.relation, self.budget.unit):
                raise self._corrupt(
                    position,
                    f"reservation {expected}: expected the budget's relation and unit, found "
                    f"{record.event.relation.value} and {record.event.unit.value}",
                )
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
            raise self._corrupt(
                position, f"expected a record of this format, found another one ({printable(str(error))})"
            ) from None

    def _costs_more(self, reserved: PrivacyEvent, realised: PrivacyEvent) -> bool:
        try:
            check_cost("realised", reserved=reserved, realised=realised, delta=self.budget.delta)
        except InvalidReservation:
            return True
        return False

    def _corrupt(self, position: int, reason: str) -> LedgerCorrupt:
        return LedgerCorrupt(f"{self._name}: record {position}: {reason}")


_DECODER: Final[msgspec.json.Decoder[Record]] = msgspec.json.Decoder(Record)
