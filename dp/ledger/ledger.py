"""The privacy budget: reserved before a release, committed after it, and never overspent.

A release is reserved first; `reserve` checks the whole account and returns only when the reservation is on the disk.
After the release, `commit` records what was realised, the noise above all; less than was reserved is refused, and more
changes nothing in the account. A reservation that was never committed counts as spent, because after a crash nobody can
tell whether its release was seen. Nothing is ever given back.

Records are written in the order of their times: a reservation by a clock that went back is refused. Reading takes
times as they are, since ledgers of earlier versions may hold others, and it is the chain that shows what was altered.
"""

import logging
import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from dp.accounting.guarantee import Guarantee
from dp.checks import integer_at_least, short_text
from dp.errors import BudgetExceeded, InvalidParameter, LedgerClock, LedgerStale
from dp.events import NeighbouringRelation, PrivacyEvent, PrivacyUnit
from dp.figures import in_full, rounded_up, rounded_up_within
from dp.ledger.account import Account
from dp.ledger.description import Description
from dp.ledger.log import RecordLog
from dp.ledger.realised import check_cost
from dp.ledger.records import Clock, Commitment, Detail, LedgerEntry, Reservation, first_record
from dp.ledger.sqlite_log import SqliteLog, ledger_path
from dp.logger import LOGGER, refusals_logged
from dp.noise.discrete_gaussian import Entropy


class Ledger:
    """A privacy budget that cannot be overspent; a context manager.

    `create` and `open` keep its records in a file, `over` in any other log.

    Threads may share it; a fork of the process may not, and is refused.

    Formal guarantees:
        At any time all releases that were reserved, committed or not, satisfy `spent()` under the budget's relation
        and unit, and `spent().epsilon <= budget.epsilon` at the budget's delta, provided nothing is released without
        a reservation, that each release is what its event says or more private, and that the file is the latest one,
        which a `head` that is kept elsewhere makes sure of. What is asked of the data may depend on earlier releases;
        the events may not: their noise and sensitivity are to be fixed beforehand, as in training, where every round
        has the same event (composition: arXiv 1702.07476). It covers what is in this ledger, and no other use of the
        same data.
    """

    def __init__(self, log: RecordLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._account = Account(log.bodies, name=log.name)
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
            path: the file, which must not exist.
            epsilon: as in `Budget`, like the following four.
            delta: likewise.
            population: likewise.
            unit: likewise.
            relation: likewise.
            description: what the ledger is about, kept in its first record.
            clock: tells the time, in seconds since 1970.
            entropy: randomness for the salt of its first record.

        Raises:
            InvalidParameter: the budget is out of range, such as a delta of 1 / `population` or more, `description` is
                not one, or `path` is no path.
            LedgerError: the file exists or cannot be written.
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

        Its records have no key. Without `head`, a file that was rebuilt, replaced or cut at its end is not noticed.

        Args:
            path: the file.
            head: a `head` of this ledger, kept from an earlier time: the file may have grown since, but not shrunk.
            clock: tells the time, in seconds since 1970.

        Raises:
            LedgerLocked: somebody else has it open.
            LedgerCorrupt: the file is not a ledger, or was altered or, so that this shows, cut.
            LedgerStale: it lacks the record whose digest is `head`: it was cut or rebuilt, or is an older copy.
            LedgerUnavailable: there is no such file, or it cannot be written.
            InvalidParameter: `head` is not 64 hexadecimal digits, or `path` is no path.
        """
        file, kept = ledger_path(path), None if head is None else _kept(head)
        return cls._over(SqliteLog.open(file, writable=True), clock, kept)

    @classmethod
    def open_to_read(cls, path: str | Path, *, head: str | None = None) -> Self:
        """Check that an existing ledger is consistent and read it for reports; `reserve` and `commit` will refuse.

        As with `open`, a file that was rebuilt, replaced or cut at its end is noticed by its `head` only.
        Anyone may have it open meanwhile, this process too: reading waits for no writer and hinders none. What is read
        are the records that were whole at one instant. A record that is being written, or that a killed writer left
        unfinished, is not among them. The file, its journal and their folder are not written.

        Args:
            path: the file.
            head: as for `open`.

        Raises:
            LedgerLocked: it was changed during every one of many attempts to read it.
            LedgerCorrupt, LedgerStale: as for `open`.
            LedgerUnavailable: there is no such file, it cannot be read, or there is no folder for temporary files,
                which it is copied to.
            InvalidParameter: `head` is not 64 hexadecimal digits, or `path` is no path.
        """
        file, kept = ledger_path(path), None if head is None else _kept(head)
        return cls._over(SqliteLog.open(file, writable=False), time.time, kept)

    @classmethod
    def over(cls, log: RecordLog, *, head: str | None = None, clock: Clock = time.time) -> Self:
        """Check that the records of an open log are a ledger's and go on with them; the ledger closes the log.

        Args:
            log: where records are kept; its first one is that of `first_record`.
            head: as for `open`.
            clock: tells the time, in seconds since 1970.

        Raises:
            LedgerCorrupt: The records are not a ledger's; the log was closed.
            LedgerStale: It lacks the record whose digest is `head`; the log was closed.
            InvalidParameter: `head` is not 64 hexadecimal digits.
        """
        return cls._over(log, clock, None if head is None else _kept(head))

    @classmethod
    def _over(cls, log: RecordLog, clock: Clock, kept: bytes | None = None) -> Self:
        try:
            if kept is not None and log.position(kept) is None:
                raise _stale(log, "the kept head")
            return cls(log, clock)
        except BaseException:
            log.close()
            raise

    def check(
        self, event: PrivacyEvent, *, label: str, contributors: int, realised: PrivacyEvent | None = None
    ) -> None:
        """Refuse a release that `reserve` or `commit` would refuse, whatever is left of the budget.

        Nothing is recorded. Whoever plans releases calls it before anything is asked of a client: what `commit` would
        refuse has been released by then.

        Args:
            event: what the release is to cost.
            label: as for `reserve`.
            contributors: how many clients are to be in the sum.
            realised: the release as it is to come to be with these contributors, where that is known.

        Raises:
            IncompatibleEvent: the relation or unit of `event` or `realised` is not the budget's.
            InvalidParameter: the label or an event is not one, or `contributors` is above the population, or below
                those whose noise `event` counts on.
            InvalidReservation: `realised` has less noise than `event`, or may cost more.
            LedgerUnavailable: the ledger is closed, moved, open for reading only, or another process's.
        """
        with self._log.exclusively():
            self._log.check_writable()
            short_text("label", label)
            self._account.check_event(event, contributors)
            self._account.check_realised("the planned release", event, contributors, realised)
            if realised is not None:
                check_cost("the planned release", reserved=event, realised=realised)

    def reserve(self, event: PrivacyEvent, label: str, *, contributors: int | None = None) -> int:
        """Set aside the cost of a release that is about to be made; returns when that is on the disk.

        Args:
            event: what the release costs.
            label: a name for it, 1 to 200 printable characters.
            contributors: the most clients that may be in the sum, where that is known: where `commit` would refuse
                them all, the release is refused now.

        Returns:
            The number to give to `commit`.

        Raises:
            BudgetExceeded: it would overspend; nothing was recorded.
            IncompatibleEvent: its relation or unit is not the budget's.
            InvalidParameter: the label or event is not one, or `contributors` is above the population, or below those
                whose noise the event counts on; nothing was recorded.
            LedgerClock: the clock is behind the last record; nothing was recorded.
            LedgerError: it could not be recorded for certain; do not release.

        If it is interrupted, as by Ctrl-C, the ledger may have closed, and the release may be counted; do not release.
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
                    "budget: what both ledgers cost adds up."
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
        """Record what a reserved release was; returns when that is on the disk.

        What counts as spent stays the reserved event, the worst that was planned for. The release has been made: a
        clock that has gone back since is no reason to leave it without a record, which has the last one's time then.

        Args:
            reservation: what `reserve` returned.
            contributors: how many clients were in the released sum.
            realised: the release with the noise that was really in it; None where nothing tells.
            details: anything else worth keeping; finite numbers and text.

        Raises:
            InvalidReservation: there is no such reservation, it is committed already, the sum had fewer contributors
                than its noise was reserved for, or `realised` has less noise than was reserved, or may cost more.
            IncompatibleEvent: the relation or unit of `realised` is not the budget's.
            InvalidParameter: an argument is out of range.
            LedgerError: it could not be recorded for certain.
        """
        with refusals_logged("a commitment"), self._log.exclusively():
            self._account.check_commitment(reservation, integer_at_least("contributors", contributors, 1), realised)
            if realised is not None:
                reserved = self._account.reservations[reservation - 1].event
                check_cost(f"reservation {reservation}", reserved=reserved, realised=realised)
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
        """Return all releases in the order they were reserved."""
        return self._account.entries()

    def spent(self) -> Guarantee:
        """Return what all reserved releases satisfy together at the budget's delta."""
        return self._account.guarantee()

    def unsupported_realised(self) -> tuple[int, ...]:
        """Return the numbers of the reservations whose realised event may cost more than the reserved one, in order.

        `commit` records none, but a file could hold some: reading it compares parameters only, since what an event
        costs depends on the accountant's version. What is spent rests on the reserved events alone.
        """
        return self._account.unsupported_realised()

    def records_after(self, head: str) -> int:
        """Return how many records were written after the one with this `head`; 0 if it is the last.

        Raises:
            LedgerStale: no record has that digest.
            InvalidParameter: `head` is not 64 hexadecimal digits.
        """
        position = self._log.position(_kept(head))
        if position is None:
            raise _stale(self._log, "that head")
        return len(self._log.bodies) - 1 - position

    def remaining(self, event: PrivacyEvent) -> int:
        """Return how many more of `event` fit into the budget, at most 2**40."""
        return self._account.remaining(event)

    @property
    def head(self) -> str:
        """Digest of the last record, in hexadecimal.

        Kept elsewhere after each `reserve` and `commit` and given to `open`, it shows whether the file still holds
        everything that it held then. An interruption may come between the two: the file is ahead of it then.
        """
        return self._log.head.hex()

    def close(self) -> None:
        """Release the file; closing twice is harmless."""
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _tell(self, done: str) -> None:
        if LOGGER.isEnabledFor(logging.INFO):  # what is spent takes long to compute
            spent = rounded_up_within(self.spent().epsilon, self.budget.epsilon)
            LOGGER.info("%s. Spent so far: epsilon %s of %s", done, spent, in_full(self.budget.epsilon))

    def _check_clock(self, record: Reservation | Commitment) -> None:
        behind_s = self._account.last_time_s - record.time_s
        if behind_s > 0:
            last = datetime.fromtimestamp(self._account.last_time_s, UTC).isoformat(timespec="milliseconds")
            raise LedgerClock(
                f"{self._log.name}: expected a clock that does not go back, found one {behind_s:.6g} s behind the "
                f"last record, {last}; set the clock right and try again, or, if that record's time is what is wrong, "
                "wait for it, open the ledger with another `clock`, or begin a new one with what is left"
            )

    def _append(self, record: Reservation | Commitment) -> None:
        self._check_clock(record)
        # Interrupted between the file and the memory of it, the two would differ, and the next reservation with them.
        try:
            self._log.append(msgspec.json.encode(record))
            self._account.apply(record)
        except BaseException:
            self.close()
            raise


def _kept(head: object) -> bytes:
    if not isinstance(head, str) or not re.fullmatch("[0-9a-fA-F]{64}", head):
        raise InvalidParameter(
            "head: expected 64 hexadecimal digits, as `Ledger.head` gives them, found something else"
        )
    return bytes.fromhex(head)


def _stale(log: RecordLog, head: str) -> LedgerStale:
    return LedgerStale(
        f"{log.name}: expected the record with {head}, found {len(log.bodies)} records without it: the file was cut or "
        "rebuilt, or is an older copy or another ledger; restore the latest one"
    )
