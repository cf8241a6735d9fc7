"""The privacy budget: reserved before a release, committed after it, and never overspent.

A release is reserved first. `reserve` checks the whole account and returns only when the reservation is on the disk.
After the release, `commit` records what was realised, above all the noise. It refuses less noise than was reserved;
more noise changes nothing in the account. A reservation that was never committed counts as spent, because after a crash
nobody can tell whether its release was seen. Nothing is ever given back.

The ledger refuses a reservation whose time is earlier than that of the last record. Reading does not check times,
because ledgers written by earlier versions may be out of order. The hash chain shows what was altered.
"""

import logging
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from dp.checks import short_text
from dp.errors import BudgetExceeded, LedgerUnavailable
from dp.events import NeighbouringRelation, Observer, PrivacyEvent, PrivacyUnit
from dp.figures import in_full, rounded_up_within
from dp.ledger.description import Description
from dp.ledger.log import RecordLog, chained_digest, checked_bodies, kept_head, position_of
from dp.ledger.participants import encode_clients
from dp.ledger.participation import Accounting, Participation
from dp.ledger.realised import check_cost
from dp.ledger.records import Clock, Commitment, Detail, Reservation, first_record, new_salt
from dp.ledger.rules import check_clock, check_realised
from dp.ledger.sqlite_log import SqliteLog, ledger_path
from dp.ledger.view import LedgerView, stale
from dp.logger import LOGGER, refusals_logged
from dp.noise.discrete_gaussian import Entropy


class Ledger(LedgerView):
    """A privacy budget that refuses each reservation that would exceed it; a context manager.

    It cannot prevent releases that are made without a reservation, or the use of an old copy of its file.

    `create` and `open` keep the records in a file; `over` uses any other log. Threads may share a ledger. A fork of the
    process may not, and is refused.

    A release asks everybody, unless the ledger has a participation: a population of which each release asks some. Then
    the ledger counts for each client the reservations that asked it, refuses a release above the cap, and charges each
    client for its own releases. Nobody is charged less because it dropped out or because nothing was committed.

    Formal guarantees:
        At any time, all reserved releases, committed or not, satisfy `spent()` under the budget's relation and unit,
        and `spent().epsilon <= budget.epsilon` at the budget's delta. This holds if nothing is released without a
        reservation, if each release is what its event says or more private, and if the file is the latest one. A
        `head` that is kept elsewhere makes sure of the last condition. What is asked of the data may depend on earlier
        releases. What else may depend on them, the ledger's accounting says:

        - `Accounting.FIXED`: nothing else. Noise, sensitivity, cohorts and the number of releases must be fixed
          beforehand, as in training, where every round has the same event (composition: arXiv 1702.07476). If the
          participation is adaptive, the ledger takes one kind of event only, and cohorts and the time to stop may
          depend on earlier releases (Theorem A of docs/participation.md).
        - `Accounting.GAUSSIAN_FILTER` (Theorem B) and `Accounting.RENYI_FILTER` (Theorem C): noise, clip, cohorts and
          the number of releases.

        The statement towards the server holds against everyone who sees all cohorts and releases. The statement towards
        readers holds only against those of `Observer.READERS`, and ends if the ledger is published. Cohorts and
        drop-outs may depend on earlier releases, on public facts and on independent randomness, never on the clients'
        data.

        If results decide on later releases or on when to stop, the guarantee is the budget (`Guarantee.claim`). That a
        run was stopped early because of its results does not make it better, and neither does a client's count that
        stayed below its cap. This includes a ledger that claims what was spent: `--resume` with more rounds, after a
        look at the accuracy, is covered by the budget and not by the epsilon at the stop. The guarantee covers what is
        in this ledger. It covers no other use of the same data.
    """

    def __init__(self, log: RecordLog, clock: Clock, bodies: list[bytes], entropy: Entropy) -> None:
        super().__init__(log, bodies)
        self._clock, self._entropy = clock, entropy

    @classmethod
    def create(
        cls,
        path: str | Path,
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
    ) -> Self:
        """Make a new ledger and open it for writing.

        Args:
            path: The file, which must not exist.
            epsilon: As in `Budget`, like the following four.
            delta: As in `Budget`.
            population: As in `Budget`.
            unit: As in `Budget`.
            relation: As in `Budget`.
            description: What the ledger is about, kept in its first record.
            participation: The population of which each release asks some; None: each release asks everybody.
            towards: From whom the statement that is enforced protects; it does not matter without `participation`.
            accounting: What may depend on the results of earlier releases, and how releases are charged.
            order: The Renyi order of `Accounting.RENYI_FILTER`. By default, the one that is best without a plan; use
                `best_order` with the planned events.
            clock: Returns the time, in seconds since 1970.
            entropy: Source of the salts of its records.

        Raises:
            InvalidParameter: The budget is out of range, such as a delta of 1 / `population` or more, `description` is
                not a `Description`, or `path` is not a path. Or `order` is given without the Renyi filter, is not above
                1, or cannot reach the budget. Or `towards` does not go with unit, relation or cap.
            EntropyFailure: `entropy` did not return the bytes that were asked for.
            LedgerError: The file exists or cannot be written.
        """
        first = first_record(
            epsilon=epsilon,
            delta=delta,
            population=population,
            unit=unit,
            relation=relation,
            description=description,
            participation=participation,
            towards=towards,
            accounting=accounting,
            order=order,
            clock=clock,
            entropy=entropy,
        )
        return cls._over(SqliteLog.create(ledger_path(path), first), clock, entropy=entropy)

    @classmethod
    def open(cls, path: str | Path, *, head: str | None = None, clock: Clock = time.time) -> Self:
        """Check that an existing ledger is consistent and open it for writing, as its only user.

        The records have no key. Without `head`, a file that was rebuilt, replaced or cut at its end is not noticed.

        Args:
            path: The file.
            head: A `head` of this ledger that was kept. The file may have grown since then, but may not have shrunk.
            clock: Returns the time, in seconds since 1970.

        Raises:
            LedgerLocked: Another process or connection has it open.
            LedgerCorrupt: The file is not a ledger, was altered, or was cut in a way that shows without `head`.
            LedgerStale: The record whose digest is `head` is missing. The file was cut or rebuilt, or is an older copy.
            LedgerUnavailable: There is no such file, or it cannot be written.
            InvalidParameter: `head` is not 64 hexadecimal digits, or `path` is not a path.
        """
        file, kept = ledger_path(path), None if head is None else kept_head(head)
        return cls._over(SqliteLog.open(file, writable=True), clock, kept)

    @classmethod
    def open_to_read(cls, path: str | Path, *, head: str | None = None) -> Self:
        """Check that an existing ledger is consistent and read it for reports; `reserve` and `commit` will refuse.

        As with `open`, only `head` shows that a file was rebuilt, replaced or cut at its end.

        Other processes, and this one, may have the file open at the same time. Reading waits for no writer and hinders
        no writer. It returns the records that were complete at one instant. A record that is being written, or that a
        killed writer left unfinished, is not among them. The file, its journal and their folder are not written.

        Args:
            path: The file.
            head: As for `open`.

        Raises:
            LedgerLocked: It changed during each of many attempts to read it.
            LedgerCorrupt, LedgerStale: As for `open`.
            LedgerUnavailable: There is no such file, it cannot be read, or there is no folder for the temporary copy.
            InvalidParameter: `head` is not 64 hexadecimal digits, or `path` is not a path.
        """
        file, kept = ledger_path(path), None if head is None else kept_head(head)
        return cls._over(SqliteLog.open(file, writable=False), time.time, kept)

    @classmethod
    def over(cls, log: RecordLog, *, head: str | None = None, clock: Clock = time.time) -> Self:
        """Check that an open log holds the records of a ledger and continue it; the ledger closes the log.

        Args:
            log: Where records are kept; its first record is that of `first_record`.
            head: As for `open`.
            clock: Returns the time, in seconds since 1970.

        Raises:
            LedgerCorrupt: The records are not those of a ledger; the log was closed.
            LedgerStale: The record whose digest is `head` is missing; the log was closed.
            InvalidParameter: `head` is not 64 hexadecimal digits.
        """
        return cls._over(log, clock, None if head is None else kept_head(head))

    @classmethod
    def _over(cls, log: RecordLog, clock: Clock, kept: bytes | None = None, *, entropy: Entropy = os.urandom) -> Self:
        try:
            bodies = checked_bodies(log)
            if kept is not None and position_of(kept, bodies) is None:
                raise stale(log, "the kept head")
            return cls(log, clock, bodies, entropy)
        except BaseException:
            log.close()
            raise

    def check(
        self, event: PrivacyEvent, *, label: str, contributors: int, realised: PrivacyEvent | None = None
    ) -> None:
        """Raise an error if `reserve` or `commit` would refuse a release for a reason other than the budget.

        Nothing is recorded. Call it when you plan releases, before you ask anything of a client: once `commit` refuses
        a release, that release has already been made.

        Args:
            event: What the release will cost.
            label: As for `reserve`.
            contributors: How many clients will be in the sum.
            realised: The release with the noise that these contributors will give it, if that is known.

        Raises:
            IncompatibleEvent: The relation or unit of `event` or `realised` is not that of the budget, or the ledger's
                accounting cannot take `event`.
            InvalidParameter: The label is not a valid text, an event is not a privacy event, or `contributors` is above
                the population or below the number of parties whose noise `event` counts on.
            InvalidReservation: `realised` has less noise than `event`, or may cost more.
            LedgerUnavailable: The ledger is closed, moved, open for reading only, or belongs to another process.
        """
        with self._log.exclusively():
            self._log.check_writable()
            short_text("label", label)
            self._account.check_event(event)
            self._account.check_contributors(event, contributors)
            check_realised("the planned release", event, contributors, realised)
            if realised is not None:
                check_cost("the planned release", reserved=event, realised=realised, budget=self.budget)

    def reserve(
        self,
        event: PrivacyEvent,
        label: str,
        *,
        contributors: int | None = None,
        participants: Iterable[int] | None = None,
    ) -> int:
        """Set aside the cost of a release that is about to be made, and return when the record is on the disk.

        If `reserve` is interrupted, for example by Ctrl-C, treat the release as spent and do not make it. The ledger
        may then be closed. Ask no client for a vector before `reserve` has returned. Every repetition of a release
        needs a reservation of its own: everybody whom it asks is charged, also if nothing is committed.

        Args:
            event: What the release costs.
            label: A name for the release, 1 to 200 printable characters.
            contributors: The most clients that may be in the sum, if that is known. If `commit` would refuse this
                number, the release is refused now. With participation it is the number of participants by default.
            participants: With participation, the numbers of all clients that are about to be asked for a vector, 0 to
                one less than the population, in any order; otherwise None.

        Returns:
            The number to give to `commit`.

        Raises:
            IncompatibleEvent: Its relation or unit is not that of the budget, or the ledger's accounting cannot take
                it; nothing was recorded.
            InvalidParameter: The label is not a valid text, the event is not a privacy event, `participants` are not
                distinct clients of the population, or `contributors` is above the population or the number of
                participants, or below the number of parties whose noise the event counts on; nothing was recorded.
            IncompatibleLedger: Participants are given without participation, or not given with it; nothing was
                recorded.
            ParticipationExceeded: A participant was asked as often as the cap allows; nothing was recorded.
            BudgetExceeded: It would overspend, for at least one participant; nothing was recorded.
            LedgerClock: The clock is behind the last record; nothing was recorded.
            LedgerError: The record may or may not be on the disk; do not release.
        """
        account = self._account
        with refusals_logged("a reservation"), self._log.exclusively():
            label = short_text("label", label)
            account.check_event(event)
            clients = account.clients(participants)
            account.check_contributors(event, contributors, clients)
            account.check_cap(label, clients)
            if not account.admits(event, clients):
                raise BudgetExceeded(
                    f"{label}: {account.refusal(event, clients)}. Stop here, or add more noise. A new ledger for the "
                    "same data does not restore the budget: the costs of both ledgers add up."
                )
            record = Reservation(
                number=len(account.reservations) + 1,
                label=label,
                event=event,
                time_s=self._clock(),
                participants=None if account.rounds is None else encode_clients(clients),
                salt=self._salt(),
            )
            self._append(record)
        self._tell(f"reservation {record.number} is recorded: {label}")
        return record.number

    def commit(
        self,
        reservation: int,
        *,
        contributors: int | Iterable[int],
        realised: PrivacyEvent | None = None,
        details: Mapping[str, Detail] | None = None,
    ) -> None:
        """Record what a reserved release became, and return when the record is on the disk.

        The reserved event, the worst case that was planned for, stays what counts as spent. If the clock has gone back
        since the last record, the commitment is recorded with the time of that record, because the release has been
        made and needs a record.

        Args:
            reservation: What `reserve` returned.
            contributors: How many clients were in the released sum. With participation, their numbers, all of them
                participants of the reservation.
            realised: The release with the noise that was really in it; None if that is not known.
            details: Anything else worth keeping; finite numbers and text.

        Raises:
            InvalidReservation: There is no such reservation, it is already committed, the sum had fewer contributors
                than its noise was reserved for, or clients that were not asked, or `realised` has less noise than was
                reserved, or may cost more.
            IncompatibleEvent: The relation or unit of `realised` is not that of the budget.
            InvalidParameter: An argument is out of range.
            LedgerError: The record may or may not be on the disk.
        """
        with refusals_logged("a commitment"), self._log.exclusively():
            count, missing = self._account.contributed(reservation, contributors)
            self._account.check_commitment(reservation, count, realised)
            if realised is not None:
                reserved = self._account.reservations[reservation - 1].event
                check_cost(f"reservation {reservation}", reserved=reserved, realised=realised, budget=self.budget)
            kept = {} if details is None else details
            time_s = max(self._clock(), self._account.last_time_s)
            self._append(
                Commitment(
                    number=reservation,
                    contributors=count,
                    details=kept,
                    time_s=time_s,
                    realised=realised,
                    missing=missing,
                    salt=self._salt(),
                )
            )
            label = self._account.reservations[reservation - 1].label
        self._tell(f"commitment of reservation {reservation} is recorded: {label}")

    def close(self) -> None:
        """Release the file; closing twice is harmless."""
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _salt(self) -> str | None:
        """Return the salt of the next record; None if everybody may know who is asked."""
        return new_salt(self._entropy) if self.budget.towards is Observer.READERS else None

    def _tell(self, done: str) -> None:
        if LOGGER.isEnabledFor(logging.INFO):  # It takes long to compute what is spent.
            found, budget = self.spent(), in_full(self.budget.epsilon)
            if found.used is None:
                spent = rounded_up_within(found.least_bound, self.budget.epsilon)
                LOGGER.info("%s. Spent so far: epsilon %s of %s", done, spent, budget)
            else:
                used = rounded_up_within(found.used, 1.0)
                LOGGER.info("%s. Used so far: %s of the budget of epsilon %s", done, used, budget)

    def _append(self, record: Reservation | Commitment) -> None:
        check_clock(self._log.name, record.time_s, last_s=self._account.last_time_s)
        # After an interruption between the two lines, memory and file would differ, so the next number would be wrong.
        try:
            body = msgspec.json.encode(record)
            self._log.append(body)
            head = chained_digest(self._head, body)
            if self._log.head != head:
                raise LedgerUnavailable(
                    f"{self._log.name}: expected the record that was just added at the end of the log, found another "
                    "head. Do not release. Open the ledger again, which shows what it holds."
                )
            self._bodies.append(body)
            self._head = head
            self._account.apply(record)
        except BaseException:
            self.close()
            raise
