"""A ledger's records in memory, with crashes at instants that the auditor chooses."""

import threading
from contextlib import AbstractContextManager

from dp.errors import LedgerUnavailable
from dp.ledger.log import chained_digest, head_after


class Crash(Exception):
    """The end of the process that uses a ledger, at an instant that the auditor has chosen."""


class Records:
    """The records that outlive a crash, as those of a file do.

    Args:
        first: The first record of a ledger.

    Attributes:
        bodies: All records, in order.
        appended: How many records any log has been asked to add.
        crash_before: The number of the append, from 1, that crashes before the record is durable; None for none.
        crash_after: The number of the append that crashes after the record is durable; None for none.
    """

    def __init__(self, first: bytes) -> None:
        self.bodies: tuple[bytes, ...] = (first,)
        self.appended = 0
        self.crash_before: int | None = None
        self.crash_after: int | None = None

    def add(self, body: bytes) -> None:
        """Add a record durably.

        Raises:
            Crash: At the chosen append.
        """
        self.appended += 1
        if self.appended == self.crash_before:
            raise Crash
        self.bodies = (*self.bodies, body)
        if self.appended == self.crash_after:
            raise Crash


class RecordsLog:
    """A `dp.ledger.log.RecordLog` over records in memory.

    Args:
        records: The records.
    """

    name = "records in memory"

    def __init__(self, records: Records) -> None:
        self._records = records
        self._open = True
        self._lock = threading.RLock()
        self.bodies = records.bodies
        self.head = head_after(self.bodies)

    def append(self, body: bytes) -> None:
        """Add a record durably; see `RecordLog`."""
        self.check_writable()
        self._keep(body)
        self.bodies = (*self.bodies, body)
        self.head = chained_digest(self.head, body)

    def _keep(self, body: bytes) -> None:
        self._records.add(body)

    def check_writable(self) -> None:
        """Refuse a closed log; see `RecordLog`."""
        if not self._open:
            raise LedgerUnavailable(f"{self.name}: expected an open ledger, found it closed. Open it again.")

    def exclusively(self) -> AbstractContextManager[object]:
        """Return a lock; see `RecordLog`."""
        return self._lock

    def close(self) -> None:
        """Close the log; see `RecordLog`."""
        self._open = False
