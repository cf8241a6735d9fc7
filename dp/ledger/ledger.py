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
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from dp.accounting.guarantee import Guarantee
from dp.checks import integer_at_least, short_text
from dp.errors import BudgetExceeded, LedgerClock, LedgerStale, LedgerUnavailable
from dp.events import NeighbouringRelation, PrivacyEvent, PrivacyUnit
from dp.figures import in_full, rounded_up, rounded_up_within
from dp.ledger.account import Account
from dp.ledger.description import Description
from dp.ledger.log import RecordLog, chained_digest, checked_bodies, head_after, kept_head, position_of
from dp.ledger.realised import check_cost
from dp.ledger.records import Clock, Commitment, Detail, LedgerEntry, Reservation, first_record
from dp.ledger.sqlite_log import SqliteLog, ledger_path
from dp.logger import LOGGER, refusals_logged
from dp.noise.discrete_gaussian import Entropy


class Ledger:
    """A privacy budget that refuses each reservation that would exceed it; a context manager.

    It cannot prevent releases that are made without a reservation, or the use of an old copy of its file.

    `create` and `open` keep the records in a file; `over` uses any other log. Threads may share a ledger. A fork of the
    process may not, and is refused.

    Formal guarantees:
        At any time, all reserved releases, committed or not, satisfy `spent()` under the budget's relation and unit,
        and `spent().epsilon <= budget.epsilon` at the budget's delta. This holds if nothing is released without a
        reservation, if each release is what its event says or more private, and if the file is the latest one. A
        `head` that is kept elsewhere makes sure of the last condition. What is asked of the data may depend on earlier
        releases. The events may not: their noise and sensitivity must be fixed beforehand, as in training, where every
        round has the same event (composition: arXiv 1702.07476). The guarantee covers what is in this ledger. It covers
        no other use of the same data.
    """

    def __init__(self, log: RecordLog, clock: Clock, bodies: list[bytes]) -> None:
        self._log = log
        self._clock = clock
        self._bodies = bodies
        self._head = head_after(bodies)
        self._account = Account(self._bodies, name=log.name)
        self.budget: Final = self._account.budget

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
            clock: Returns the time, in seconds since 1970.
            entropy: Source of the salt of its first record.

        Raises:
            InvalidParameter: The budget is out of range, such as a delta of 1 / `population` or more, `description` is
                not a `Description`, or `path` is not a path.
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
            clock=clock,
            entropy=entropy,
        )
        return cls._over(SqliteLog.create(ledger_path(path), first), clock)

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
    def _over(cls, log: RecordLog, clock: Clock, kept: bytes | None = None) -> Self:
        try:
            bodies = checked_bodies(log)
            if kept is not None and position_of(kept, bodies) is None:
                raise _stale(log, "the kept head")
            return cls(log, clock, bodies)
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
            IncompatibleEvent: The relation or unit of `event` or `realised` is not that of the budget.
            InvalidParameter: The label is not a valid text, an event is not a privacy event, or `contributors` is above
                the population or below the number of parties whose noise `event` counts on.
            InvalidReservation: `realised` has less noise than `event`, or may cost more.
            LedgerUnavailable: The ledger is closed, moved, open for reading only, or belongs to another process.
        """
        with self._log.exclusively():
            self._log.check_writable()
            short_text("label", label)
            self._account.check_event(event, contributors)
            self._account.check_realised("the planned release", event, contributors, realised)
            if realised is not None:
                check_cost("the planned release", reserved=event, realised=realised, delta=self.budget.delta)

    def reserve(self, event: PrivacyEvent, label: str, *, contributors: int | None = None) -> int:
        """Set aside the cost of a release that is about to be made, and return when the record is on the disk.

        If `reserve` is interrupted, for example by Ctrl-C, treat the release as spent and do not make it. The ledger
        may then be closed.

        Args:
            event: What the release costs.
            label: A name for the release, 1 to 200 printable characters.
            contributors: The most clients that may be in the sum, if that is known. If `commit` would refuse this
                number, the release is refused now.

        Returns:
            The number to give to `commit`.

        Raises:
            BudgetExceeded: It would overspend; nothing was recorded.
            IncompatibleEvent: Its relation or unit is not that of the budget.
            InvalidParameter: The label is not a valid text, the event is not a privacy event, or `contributors` is
                above the population or below the number of parties whose noise the event counts on; nothing was
                recorded.
            LedgerClock: The clock is behind the last record; nothing was recorded.
            LedgerError: The record may or may not be on the disk; do not release.
        """
        with refusals_logged("a reservation"), self._log.exclusively():
            label = short_text("label", label)
            if contributors is not None:
                self._account.check_event(event, contributors)
            if not self._account.admits(event):
                after, spent = self._account.guarantee(event, 1), self.spent()
                raise BudgetExceeded(
                    f"{label}: would bring epsilon to {rounded_up(after.epsilon)} of {in_full(self.budget.epsilon)} at "
                    f"delta {in_full(self.budget.delta)} ({rounded_up_within(spent.epsilon, self.budget.epsilon)} "
                    "is spent). Stop here, or add more noise. A new ledger for the same data does not restore the "
                    "budget: the costs of both ledgers add up."
                )
            record = Reservation(
                number=len(self._account.reservations) + 1, label=label, event=event, time_s=self._clock()
            )
            self._append(record)
        self._tell(f"reservation {record.number} is recorded: {label}")
        return record.number

    def commit(
        self,
        reservation: int,
        *,
        contributors: int,
        realised: PrivacyEvent | None = None,
        details: Mapping[str, Detail] | None = None,
    ) -> None:
        """Record what a reserved release became, and return when the record is on the disk.

        The reserved event, the worst case that was planned for, stays what counts as spent. If the clock has gone back
        since the last record, the commitment is recorded with the time of that record, because the release has been
        made and needs a record.

        Args:
            reservation: What `reserve` returned.
            contributors: How many clients were in the released sum.
            realised: The release with the noise that was really in it; None if that is not known.
            details: Anything else worth keeping; finite numbers and text.

        Raises:
            InvalidReservation: There is no such reservation, it is already committed, the sum had fewer contributors
                than its noise was reserved for, or `realised` has less noise than was reserved, or may cost more.
            IncompatibleEvent: The relation or unit of `realised` is not that of the budget.
            InvalidParameter: An argument is out of range.
            LedgerError: The record may or may not be on the disk.
        """
        with refusals_logged("a commitment"), self._log.exclusively():
            self._account.check_commitment(reservation, integer_at_least("contributors", contributors, 1), realised)
            if realised is not None:
                reserved = self._account.reservations[reservation - 1].event
                check_cost(f"reservation {reservation}", reserved=reserved, realised=realised, delta=self.budget.delta)
            kept = {} if details is None else details
            time_s = max(self._clock(), self._account.last_time_s)
            self._append(
                Commitment(
                    number=reservation, contributors=contributors, details=kept, time_s=time_s, realised=realised
                )
            )
            label = self._account.reservations[reservation - 1].label
        self._tell(f"commitment of reservation {reservation} is recorded: {label}")

    def entries(self) -> tuple[LedgerEntry, ...]:
        """Return all reserved releases in the order of their reservations."""
        return self._account.entries()

    def spent(self) -> Guarantee:
        """Return the guarantee that all reserved releases satisfy together at the budget's delta."""
        return self._account.guarantee()

    def unsupported_realised(self) -> tuple[int, ...]:
        """Return the numbers of the reservations whose realised event may cost more than the reserved one, in order.

        `commit` never records such an event, but a file may hold one: reading compares parameters only, because the
        cost of an event depends on the version of the accountant. What is spent rests on the reserved events alone.
        """
        return self._account.unsupported_realised()

    def records_after(self, head: str) -> int:
        """Return how many records were written after the one with this `head`; 0 if it is the last.

        Raises:
            LedgerStale: No record has that digest.
            InvalidParameter: `head` is not 64 hexadecimal digits.
        """
        position = position_of(kept_head(head), self._bodies)
        if position is None:
            raise _stale(self._log, "that head")
        return len(self._bodies) - 1 - position

    def remaining(self, event: PrivacyEvent) -> int:
        """Return how many more of `event` fit into the budget, at most 2**40."""
        return self._account.remaining(event)

    @property
    def head(self) -> str:
        """Digest of the last record, in hexadecimal.

        Keep it elsewhere after each `reserve` and `commit` and give it to `open`: this shows whether the file still
        holds everything that it held then. If the process ends between a `reserve` and the saving of the head, the file
        has one record more than that head. That is harmless.
        """
        return self._head.hex()

    def close(self) -> None:
        """Release the file; closing twice is harmless."""
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _tell(self, done: str) -> None:
        if LOGGER.isEnabledFor(logging.INFO):  # It takes long to compute what is spent.
            spent = rounded_up_within(self.spent().epsilon, self.budget.epsilon)
            LOGGER.info("%s. Spent so far: epsilon %s of %s", done, spent, in_full(self.budget.epsilon))

    def _check_clock(self, record: Reservation | Commitment) -> None:
        behind_s = self._account.last_time_s - record.time_s
        if behind_s > 0:
            last = datetime.fromtimestamp(self._account.last_time_s, UTC).isoformat(timespec="milliseconds")
            raise LedgerClock(
                f"{self._log.name}: expected a clock that does not go back, found one {behind_s:.6g} s behind the "
                f"last record, {last}. Set the clock and try again. If the time of that record is wrong, wait until "
                "then, open the ledger with another `clock`, or create a ledger with what is left of the budget."
            )

    def _append(self, record: Reservation | Commitment) -> None:
        self._check_clock(record)
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


def _stale(log: RecordLog, head: str) -> LedgerStale:
    return LedgerStale(
        f"{log.name}: expected the record with {head}, found {len(log.bodies)} records without it. The file was cut or "
        "rebuilt, or is an older copy or another ledger. Restore the latest copy."
    )
