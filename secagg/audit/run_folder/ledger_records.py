"""The records of a run's ledger in the order of their chain, with the head after each, and the round each is of."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from dp.events import PrivacyEvent
from dp.ledger.account import Account
from dp.ledger.ledger import Ledger
from dp.ledger.log import chained_digest, head_after
from dp.ledger.records import Budget, Commitment, Reservation
from dp.ledger.sqlite_log import SqliteLog
from secagg.audit.account.ledger_file import check_written

_LABEL: Final = re.compile(r"round ([1-9][0-9]{0,9})(?: of run (.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRecords:
    """All records of a ledger whose chain is whole.

    Attributes:
        budget: The first record.
        records: The others, in order.
        heads: The head after each of `records`.
        first_head: The head after the budget, before any of them.
        last_of: The last reservation of each round. A round that was interrupted has been reserved before.
        commitments: All commitments, by the number of the reservation.
        first: The first record, as it was written.
    """

    budget: Budget
    records: tuple[Reservation | Commitment, ...]
    heads: tuple[str, ...]
    first_head: str
    last_of: Mapping[int | None, Reservation]
    commitments: Mapping[int, Commitment]
    first: bytes

    @classmethod
    def read(cls, path: Path) -> "LedgerRecords":
        """Read a ledger without writing or locking anything.

        Raises:
            LedgerError: There is none, it cannot be read, or its chain or its records are not those of a ledger.
        """
        log = SqliteLog.open(path, writable=False)
        bodies = log.bodies
        Ledger.over(log).close()  # It checks every record, and each against those before it.
        check_written(bodies)
        records: list[Reservation | Commitment] = []
        heads, head, budget = [], head_after(bodies[:1]), msgspec.json.decode(bodies[0], type=Budget)
        for body in bodies[1:]:
            head = chained_digest(head, body)
            heads.append(head.hex())
            records.append(msgspec.json.decode(body, type=Reservation | Commitment))
        reservations = [record for record in records if isinstance(record, Reservation)]
        return cls(
            budget=budget,
            records=tuple(records),
            heads=tuple(heads),
            first_head=head_after(bodies[:1]).hex(),
            last_of={label_parts(record.label)[0]: record for record in reservations},
            commitments={record.number: record for record in records if isinstance(record, Commitment)},
            first=bodies[0],
        )

    @property
    def reservations(self) -> tuple[Reservation, ...]:
        """All reservations, in order."""
        return tuple(record for record in self.records if isinstance(record, Reservation))

    def commitment_of(self, number: int) -> Commitment | None:
        """Return the commitment of the last reservation of a round."""
        reservation = self.last_of.get(number)
        return None if reservation is None else self.commitments.get(reservation.number)

    def position_of(self, reservation: Reservation) -> int:
        """Return the place, in `records`, of the last record of a reservation: its commitment if there is one."""
        return max(index for index, record in enumerate(self.records) if record.number == reservation.number)

    def accounts(self) -> Iterator[Account]:
        """Yield the account before any of `records`, and after each of them: one object, which goes on."""
        account = Account([self.first], name="ledger")
        yield account
        for record in self.records:
            account.apply(record)
            yield account


def reserved_events(bodies: Sequence[bytes]) -> dict[int, PrivacyEvent]:
    """Return the event of each reservation, by its number; the records are read one by one, and nothing is counted.

    Raises:
        LedgerCorrupt: A record is not one that a ledger writes.
    """
    check_written(bodies)
    records = (msgspec.json.decode(body, type=Reservation | Commitment) for body in bodies[1:])
    return {record.number: record.event for record in records if isinstance(record, Reservation)}


def label_parts(label: str) -> tuple[int | None, str | None]:
    """Return the round and the run that a label names; None for what it does not name."""
    match = _LABEL.fullmatch(label)
    return (int(match[1]), match[2]) if match else (None, None)
