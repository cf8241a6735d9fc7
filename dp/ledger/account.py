"""The records of a ledger as an account: what was reserved, what was committed, what it cost.

An account performs no I/O and reads no clock. Its records may come from an untrusted file, so each is checked against
what `Ledger.reserve` and `Ledger.commit` could have written.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np

from dp.accounting.guarantee import Guarantee
from dp.checks import integer_at_least, printable
from dp.errors import (
    DpError,
    IncompatibleEvent,
    IncompatibleLedger,
    InvalidReservation,
    LedgerCorrupt,
)
from dp.events import Observer, PrivacyEvent
from dp.figures import in_full, rounded_down, rounded_up, rounded_up_within
from dp.ledger.charges import EVERYBODY, Charges, FilteredCharges, charges_of, guarantee_of
from dp.ledger.further import least_further_multiplier
from dp.ledger.participants import Clients, checked_clients, decode_clients, encode_clients
from dp.ledger.participation import Accounting
from dp.ledger.realised import check_cost
from dp.ledger.records import Budget, Commitment, LedgerEntry, Record, Reservation
from dp.ledger.replay import check_missing, check_salt, decoded_record
from dp.ledger.rounds import Rounds
from dp.ledger.rules import check_asked, check_contributors, check_count, check_event, check_realised


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
        records = [self._decode(position, body) for position, body in enumerate(bodies)]
        if not records or not isinstance(records[0], Budget):
            raise self._corrupt(0, "expected the budget, found none")
        self.budget: Final = records[0]
        self.charges: Final[Charges] = charges_of(self.budget)
        self.rounds: Final = Rounds.of_budget(self.budget)
        self.last_time_s = self.budget.time_s
        for position, record in enumerate(records[1:], start=1):
            self._replay(position, record)

    def entries(self) -> tuple[LedgerEntry, ...]:
        """Return all reserved releases in the order of their reservations."""
        return tuple(
            LedgerEntry(reservation=reservation, commitment=self._commitments.get(reservation.number))
            for reservation in self.reservations
        )

    def guarantee(self, client: int | None = None) -> Guarantee:
        """Return the guarantee of all reserved releases together, of the worst client or of one.

        Raises:
            IncompatibleLedger: A client is given, and the ledger has no participation.
            InvalidParameter: It is not a client of the population.
        """
        charged = self.charged_client(client)
        found = guarantee_of(self._events_of(charged), self.budget)
        if not self.claims_budget:
            return found
        used = self.charges.used(charged) if isinstance(self.charges, FilteredCharges) else None
        exceeded = found.least_bound > self.budget.epsilon if used is None else used > 1
        return replace(found, budget=math.inf if exceeded else self.budget.epsilon, used=used)

    @property
    def claims_budget(self) -> bool:
        """Whether the guarantee is the budget, because results may decide on later releases or on when to stop."""
        participation = self.budget.participation
        adaptive = participation is not None and participation.adaptive
        return adaptive or self.budget.accounting is not Accounting.FIXED

    def clients(self, participants: object) -> Clients:
        """Return the clients that a release asks, sorted.

        Args:
            participants: Their numbers; None without participation, where everybody is asked.

        Raises:
            IncompatibleLedger: They are given without participation, or not given with it.
            InvalidParameter: They are not distinct integers of the population.
        """
        if self.rounds is None:
            if participants is not None:
                raise IncompatibleLedger(
                    f"participants: expected none for {self._name}, which has no participation, found some. Make a new "
                    "ledger with a participation."
                )
            return EVERYBODY
        if participants is None:
            raise IncompatibleLedger(
                f"participants: expected the clients that the release asks, since {self._name} has a participation, "
                "found none. Give their numbers."
            )
        return self.rounds.checked(participants)

    def counted_rounds(self) -> Rounds:
        """Return the counts of a ledger with participation.

        Raises:
            IncompatibleLedger: It has none.
        """
        if self.rounds is None:
            raise IncompatibleLedger(
                f"{self._name}: expected a ledger with participation, found one without. Make a new ledger with a "
                "participation."
            )
        return self.rounds

    def check_cap(self, label: str, clients: Clients) -> None:
        """Refuse a release that asks clients more often than their cap allows.

        Raises:
            ParticipationExceeded: It does.
        """
        if self.rounds is not None:
            self.rounds.check_cap(label, clients)

    def admits(self, event: PrivacyEvent, clients: Clients) -> bool:
        """Return whether one more of `event` stays within the budget for each of these clients."""
        return self.charges.admits(event, self._charged(clients))

    def refusal(self, event: PrivacyEvent, clients: Clients) -> str:
        """Return in words what one more of `event` would cost the worst of these clients, and what is spent."""
        charged = self.charges.worst(self._charged(clients))
        epsilon, delta = in_full(self.budget.epsilon), in_full(self.budget.delta)
        if isinstance(self.charges, FilteredCharges):
            left, charge = self.charges.left(charged), self.charges.charge(event)
            limit = self.charges.rule.limit
            return (
                f"would charge {rounded_up(charge)}, where {rounded_down(left, of=limit)} is left of "
                f"{rounded_up(limit)} ({self.budget.accounting.value} of epsilon {epsilon} at delta {delta})"
            )
        events = self._events_of(charged)
        spent = guarantee_of(events, self.budget).epsilon
        after = guarantee_of({**events, event: events.get(event, 0) + 1}, self.budget).epsilon
        return (
            f"would bring epsilon to {rounded_up(after)} of {epsilon} at delta {delta} "
            f"({rounded_up_within(spent, self.budget.epsilon)} is spent)"
        )

    def remaining(self, event: PrivacyEvent, clients: Clients | None) -> int:
        """Return how many more of `event` may ask all of these clients, by cap and budget; None: everybody."""
        self.check_event(event)
        clients = self._everybody() if clients is None else clients
        cap = None if self.rounds is None else self.rounds.left(clients)
        if cap is not None and cap <= 0:
            return 0
        fit = self.charges.remaining(event, self._charged(clients))
        return fit if cap is None else min(cap, fit)

    def check_event(self, event: PrivacyEvent) -> None:
        """Refuse an event that cannot be reserved.

        Raises:
            IncompatibleEvent: Its relation or unit is not that of the budget, or the accounting cannot take it.
            InvalidParameter: It is not a privacy event.
        """
        check_event(event, self.budget, name=self._name)
        self.charges.check(event)

    def check_contributors(self, event: PrivacyEvent, contributors: int | None, clients: Clients | None = None) -> None:
        """Refuse an event that could not be committed with this number of contributors.

        Args:
            event: What a release will cost.
            contributors: The most clients that may be in its sum; None if that is not known.
            clients: The clients that the release asks, if that is known.

        Raises:
            InvalidParameter: `contributors` is above the population or the number of clients that are asked, or below
                the number of parties whose noise the event counts on.
        """
        if self.rounds is not None and clients is not None:
            check_asked(event, contributors, self.budget, asked=len(clients), name=self._name)
        elif contributors is not None:
            check_contributors(event, contributors, self.budget, name=self._name)

    def contributed(self, number: int, contributors: object) -> tuple[int, str | None]:
        """Return how many clients are in the sum of a reserved release, and the text of those that are missing.

        Args:
            number: The reservation.
            contributors: Their number without participation, else their numbers in the population.

        Raises:
            InvalidReservation: There is no such reservation, or a contributor was not asked.
            InvalidParameter: They are not distinct integers of the population, or not an integer.
        """
        self._check_number(number)
        if self.rounds is None:
            return integer_at_least("contributors", contributors, 1), None
        found = checked_clients("contributors", contributors, size=self.budget.clients)
        asked = self._clients_of(self.reservations[number - 1])
        strange = np.setdiff1d(found, asked, assume_unique=True)
        if len(strange):
            raise InvalidReservation(
                f"reservation {number}: expected contributors that were asked, found {len(strange)} that were not (the "
                f"first: {int(strange[0])}). Do not release this sum."
            )
        missing = np.setdiff1d(asked, found, assume_unique=True)
        return len(found), encode_clients(missing) if len(missing) else None

    def check_commitment(self, number: int, contributors: int, realised: PrivacyEvent | None) -> None:
        """Refuse a commitment of a release that was not reserved, or that has less noise than was reserved.

        Args:
            number: The reservation.
            contributors: How many clients were in the released sum.
            realised: The release with the noise that was really in it.

        Raises:
            InvalidReservation: There is no such reservation, or it is already committed. Or `contributors` is below
                what was reserved or above the population. Or `realised` counts on more contributors, has less noise or
                more sensitivity.
            IncompatibleEvent: The relation or unit of `realised` is not the reserved one.
            InvalidParameter: `number` is not an integer of at least 1, or `realised` is not a privacy event.
        """
        self._check_number(number)
        if number in self._commitments:
            raise InvalidReservation(
                f"reservation {number}: expected one without a commitment, found one that is already committed. Commit "
                "each reservation once."
            )
        name, reserved = f"reservation {number}", self.reservations[number - 1].event
        check_count(name, reserved, contributors, self.budget)
        parties = max(contributors, 1) if self.budget.towards is Observer.READERS else contributors
        check_realised(name, reserved, parties, realised)

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

    def apply(self, record: Reservation | Commitment, clients: Clients | None = None) -> None:
        """Add a record that was written; `clients` are those that a reservation asks, if they are known."""
        if isinstance(record, Reservation):
            clients = self._clients_of(record) if clients is None else clients
            if self.rounds is not None:
                self.rounds.add(clients)
            self.charges.add(record.event, self._charged(clients))
            self.reservations.append(record)
        else:
            self._commitments[record.number] = record
        self.last_time_s = record.time_s

    def charged_client(self, client: int | None) -> int:
        """Return whose charges count for a client: those of the client, of the worst one, or of everybody as client 0.

        Raises:
            IncompatibleLedger: A client is given, and the ledger has no participation.
            InvalidParameter: It is not a client of the population.
        """
        if client is None:
            return self.charges.worst()
        number = self.counted_rounds().client(client)
        return number if self.budget.towards is Observer.SERVER else 0

    def least_multiplier(
        self, releases: int, clients: Clients | None, event_of: Callable[[float], PrivacyEvent]
    ) -> float:
        """Return the least noise multiplier with which further releases may ask all of these clients; None: everybody.

        The cap does not count.
        """
        check_event(event_of(1.0), self.budget, name=self._name)
        asked = self._charged(self._everybody() if clients is None else clients)
        more = integer_at_least("releases", releases, 1)
        return least_further_multiplier(self.charges, asked, more, event_of, budget=self.budget)

    def _everybody(self) -> Clients:
        return np.arange(self.budget.clients)

    def _charged(self, clients: Clients) -> Clients:
        return clients if self.budget.towards is Observer.SERVER else EVERYBODY

    def _clients_of(self, reservation: Reservation) -> Clients:
        if reservation.participants is None:
            return EVERYBODY
        return decode_clients(reservation.participants, size=self.budget.clients)

    def _events_of(self, client: int) -> Mapping[PrivacyEvent, int]:
        found = self.charges.events(client)
        if found is not None:
            return found
        return Counter(
            reservation.event
            for reservation in self.reservations
            if client in self._charged(self._clients_of(reservation))
        )

    def _check_number(self, number: int) -> None:
        if not 1 <= integer_at_least("reservation", number, 1) <= len(self.reservations):
            raise InvalidReservation(
                f"reservation {number}: expected one of {len(self.reservations)} reservations made so far, found "
                "another number. Use the number that `reserve` returned."
            )

    def _replay(self, position: int, record: Record) -> None:
        """Check and add a record that was read.

        Two checks depend on how events are accounted, which may differ between versions. They are not made here:
        whether the budget was enough (see `guarantee`), and whether a realised event costs no more than the reserved
        one if their parameters alone do not decide it (see `unsupported_realised`).
        """
        if isinstance(record, Budget):
            raise self._corrupt(position, "expected one budget, found a second")
        try:
            if isinstance(record, Reservation):
                clients = self._checked_reservation(record)
            else:
                clients = None
                self._check_read_commitment(record)
        except DpError as error:
            raise self._corrupt(position, str(error)) from None
        self.apply(record, clients)

    def _checked_reservation(self, record: Reservation) -> Clients:
        """Check a reservation that was read, and return the clients that it asks."""
        number = len(self.reservations) + 1
        if record.number != number:
            raise InvalidReservation(f"expected reservation {number}, found {record.number}")
        name = f"reservation {number}"
        if (record.event.relation, record.event.unit) != (self.budget.relation, self.budget.unit):
            raise IncompatibleEvent(
                f"{name}: expected the budget's relation and unit, found {record.event.relation.value} and "
                f"{record.event.unit.value}"
            )
        self.check_event(record.event)
        if (record.participants is None) != (self.rounds is None):
            raise InvalidReservation(f"{name}: expected participants if and only if the budget has a participation")
        check_salt(record, self.budget)
        clients = self._clients_of(record)
        if self.rounds is not None:
            self.rounds.check_cap(name, self.rounds.checked(clients))
        return clients

    def _check_read_commitment(self, record: Commitment) -> None:
        check_salt(record, self.budget)
        self.check_commitment(record.number, record.contributors, record.realised)
        asked = self._clients_of(self.reservations[record.number - 1])
        if self.rounds is None:
            if record.missing is not None:
                raise InvalidReservation("expected nobody missing without a participation, found missing clients")
            return
        check_missing(record, asked, size=self.budget.clients)

    def _decode(self, position: int, body: bytes) -> Record:
        try:
            return decoded_record(body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise self._corrupt(
                position, f"expected a record of this format, found another one ({printable(str(error))})"
            ) from None

    def _costs_more(self, reserved: PrivacyEvent, realised: PrivacyEvent) -> bool:
        try:
            check_cost("realised", reserved=reserved, realised=realised, budget=self.budget)
        except InvalidReservation:
            return True
        return False

    def _corrupt(self, position: int, reason: str) -> LedgerCorrupt:
        return LedgerCorrupt(f"{self._name}: record {position}: {reason}")
