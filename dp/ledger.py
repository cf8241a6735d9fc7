"""The privacy budget as a file: reserved before a release, committed after it, and never overspent.

A release is reserved first; `reserve` checks the whole account and returns only when the reservation is on the disk.
After the release, `commit` records what was realised. A reservation that was never committed counts as spent, because
after a crash nobody can tell whether its release was seen. Nothing is ever given back.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from dp.accounting import Guarantee, guarantee
from dp.chain import ChainFile
from dp.checks import harmless, integer_at_least, short_text
from dp.errors import BudgetExceeded, InvalidParameter, InvalidReservation, LedgerCorrupt
from dp.events import DistributedDiscreteGaussianEvent, NeighbouringRelation, PrivacyEvent, PrivacyUnit
from dp.records import Budget, Commitment, Detail, LedgerEntry, Record, Reservation

Clock = Callable[[], float]

MAXIMUM_REMAINING: Final = 1 << 40


class Ledger:
    """A privacy budget that cannot be overspent; a context manager. Made by `create` or `open`.

    Formal guarantees:
        At any time all releases that were reserved, committed or not, satisfy `spent()` under the budget's relation
        and unit, and `spent().epsilon <= budget.epsilon` at the budget's delta, provided nothing is released without
        a reservation, that each release is what its event says, and that the file is the latest one. What is asked
        of the data may depend on earlier releases; the events may not: their noise and sensitivity are to be fixed
        beforehand, as in training, where every round has the same event (composition: arXiv 1702.07476). It covers
        what is in this ledger, and no other use of the same data.
    """

    def __init__(self, chain: ChainFile, clock: Clock) -> None:
        self._chain = chain
        self._clock = clock
        self._reservations: list[Reservation] = []
        self._commitments: dict[int, Commitment] = {}
        self._spent: Counter[PrivacyEvent] = Counter()
        records = [self._decode(body) for body in chain.bodies]
        if not records or not isinstance(records[0], Budget):
            raise LedgerCorrupt(f"{chain.path}: expected the budget in the first record, found none")
        self.budget: Final = records[0]
        for record in records[1:]:
            self._replay(record)

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
        clock: Clock = time.time,
    ) -> Self:
        """Make a new ledger and open it for writing.

        Raises:
            InvalidParameter: the budget is out of range, such as a delta of 1 / `population` or more.
            LedgerError: the file exists or cannot be written.
        """
        budget = Budget(
            epsilon=epsilon, delta=delta, population=population, unit=unit, relation=relation, time_s=clock()
        )
        return cls._upon(ChainFile.create(Path(path), msgspec.json.encode(budget)), clock)

    @classmethod
    def open(cls, path: str | Path, *, clock: Clock = time.time) -> Self:
        """Verify an existing ledger and open it for writing, as its only user.

        Raises:
            LedgerLocked: somebody else has it open.
            LedgerCorrupt: the file is not a ledger, or was cut or altered.
            LedgerUnavailable: there is no such file, or it cannot be written.
        """
        return cls._upon(ChainFile.open(Path(path), writable=True), clock)

    @classmethod
    def open_to_read(cls, path: str | Path) -> Self:
        """Verify an existing ledger and open it for reports; `reserve` and `commit` will refuse.

        Raises:
            LedgerLocked: a writer has it open.
            LedgerCorrupt: the file is not a ledger, or was cut or altered.
            LedgerUnavailable: there is no such file, or it cannot be read.
        """
        return cls._upon(ChainFile.open(Path(path), writable=False), time.time)

    @classmethod
    def _upon(cls, chain: ChainFile, clock: Clock) -> Self:
        try:
            return cls(chain, clock)
        except BaseException:
            chain.close()
            raise

    def reserve(self, event: PrivacyEvent, label: str) -> int:
        """Set aside the cost of a release that is about to be made; returns when that is on the disk.

        Args:
            event: what the release costs.
            label: a name for it, 1 to 200 printable characters.

        Returns:
            The number to give to `commit`.

        Raises:
            BudgetExceeded: it would overspend; nothing was recorded.
            IncompatibleEvent: its relation or unit is not the budget's.
            InvalidParameter: the label or event is not one.
            LedgerError: it could not be recorded for certain; do not release.

        If it is interrupted, as by Ctrl-C, the ledger may have closed, and the release may be counted; do not release.
        """
        label = short_text("label", label)
        after = self._guarantee(event, 1)
        if not after.epsilon <= self.budget.epsilon:
            raise BudgetExceeded(
                f"{label}: would bring epsilon to {after.epsilon:.6g} of {self.budget.epsilon:.6g} at delta "
                f"{self.budget.delta:.6g} ({self.spent().epsilon:.6g} is spent); more noise or a new budget would do"
            )
        record = Reservation(number=len(self._reservations) + 1, label=label, event=event, time_s=self._clock())
        self._append(record)
        return record.number

    def commit(self, reservation: int, *, contributors: int, details: Mapping[str, Detail] | None = None) -> None:
        """Record what a reserved release was; returns when that is on the disk.

        Args:
            reservation: what `reserve` returned.
            contributors: how many clients were in the released sum.
            details: anything else worth keeping; finite numbers and text.

        Raises:
            InvalidReservation: there is no such reservation, it is committed already, or the sum had fewer
                contributors than its noise was reserved for.
            InvalidParameter: an argument is out of range.
            LedgerError: it could not be recorded for certain.
        """
        self._check_commitment(reservation, integer_at_least("contributors", contributors, 1))
        kept = {} if details is None else details
        self._append(Commitment(number=reservation, contributors=contributors, details=kept, time_s=self._clock()))

    def entries(self) -> tuple[LedgerEntry, ...]:
        """Return all releases in the order they were reserved."""
        return tuple(
            LedgerEntry(reservation=reservation, commitment=self._commitments.get(reservation.number))
            for reservation in self._reservations
        )

    def spent(self) -> Guarantee:
        """Return what all reserved releases satisfy together at the budget's delta."""
        return self._guarantee(None, 0)

    def remaining(self, event: PrivacyEvent) -> int:
        """Return how many more of `event` fit into the budget, at most 2**40."""
        fits, fails = 0, 1
        while fails <= MAXIMUM_REMAINING and self._guarantee(event, fails).epsilon <= self.budget.epsilon:
            fits, fails = fails, 2 * fails
        while fails - fits > 1 and fits < MAXIMUM_REMAINING:
            middle = (fits + fails) // 2
            if self._guarantee(event, middle).epsilon <= self.budget.epsilon:
                fits = middle
            else:
                fails = middle
        return fits

    @property
    def head(self) -> str:
        """Digest of the last record, in hexadecimal: kept elsewhere, it shows whether the file is the latest one."""
        return self._chain.head.hex()

    def close(self) -> None:
        """Release the file; closing twice is harmless."""
        self._chain.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _guarantee(self, event: PrivacyEvent | None, count: int) -> Guarantee:
        events = self._spent.copy()
        if event is not None:
            events[event] += count
        return guarantee(events, delta=self.budget.delta, relation=self.budget.relation, unit=self.budget.unit)

    def _check_commitment(self, number: int, contributors: int) -> None:
        if not 1 <= integer_at_least("reservation", number, 1) <= len(self._reservations):
            raise InvalidReservation(f"reservation {number}: expected one of {len(self._reservations)} made so far")
        if number in self._commitments:
            raise InvalidReservation(f"reservation {number}: committed already")
        event = self._reservations[number - 1].event
        if isinstance(event, DistributedDiscreteGaussianEvent) and contributors < event.contributors:
            raise InvalidReservation(
                f"reservation {number}: expected at least {event.contributors} contributors, whose noise was reserved, "
                f"found {contributors}; such a sum must not be released"
            )
        if contributors > self.budget.population:
            raise InvalidReservation(
                f"reservation {number}: expected at most the population {self.budget.population}, found {contributors}"
            )

    def _append(self, record: Reservation | Commitment) -> None:
        # Interrupted between the file and the memory of it, the two would differ, and the next reservation with them.
        try:
            self._chain.append(msgspec.json.encode(record))
            self._apply(record)
        except BaseException:
            self.close()
            raise

    def _apply(self, record: Reservation | Commitment) -> None:
        if isinstance(record, Reservation):
            self._reservations.append(record)
            self._spent[record.event] += 1
        else:
            self._commitments[record.number] = record

    def _replay(self, record: Record) -> None:
        """Apply a record that was read, holding it to what `reserve` and `commit` would have written."""
        if isinstance(record, Budget):
            raise LedgerCorrupt(f"{self._chain.path}: expected one budget, found a second")
        if isinstance(record, Reservation):
            if record.number != len(self._reservations) + 1:
                raise LedgerCorrupt(f"{self._chain.path}: found reservation {record.number} out of order")
            if (record.event.relation, record.event.unit) != (self.budget.relation, self.budget.unit):
                raise LedgerCorrupt(f"{self._chain.path}: reservation {record.number} has not the budget's relation")
        else:
            try:
                self._check_commitment(record.number, record.contributors)
            except (InvalidParameter, InvalidReservation) as error:
                raise LedgerCorrupt(f"{self._chain.path}: {error}") from None
        self._apply(record)

    def _decode(self, body: bytes) -> Record:
        try:
            return _DECODER.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            reason = harmless(str(error))
            raise LedgerCorrupt(f"{self._chain.path}: a record is not one of this format ({reason})") from None


_DECODER: Final[msgspec.json.Decoder[Record]] = msgspec.json.Decoder(Record)
