"""A log of records in memory: a second `RecordLog`, which shows what a ledger needs of one."""

import threading
from contextlib import AbstractContextManager

from dp.errors import LedgerLocked, LedgerUnavailable
from dp.ledger.log import chained_digest, head_after


class StoredRecords:
    """The records that outlive a log, as a file does; at most one log may hold them for writing."""

    def __init__(self, first: bytes) -> None:
        self.bodies: tuple[bytes, ...] = (first,)
        self.is_held = False


class MemoryLog:
    """A `RecordLog` over records in memory."""

    name = "records in memory"

    def __init__(self, records: StoredRecords, *, writable: bool) -> None:
        if writable and records.is_held:
            raise LedgerLocked(f"{self.name}: expected to be its only user, found it in use; close the other one")
        records.is_held |= writable
        self._records = records
        self._writable = writable
        self._open = True
        self._lock = threading.RLock()
        self.bodies = records.bodies
        self.head = head_after(self.bodies)

    def append(self, body: bytes) -> None:
        """See `RecordLog`."""
        self.check_writable()
        self._records.bodies = self.bodies = (*self.bodies, body)
        self.head = chained_digest(self.head, body)

    def check_writable(self) -> None:
        """See `RecordLog`."""
        if not self._writable:
            raise LedgerUnavailable(f"{self.name}: expected a ledger opened for writing, found one opened for reading")
        if not self._open:
            raise LedgerUnavailable(f"{self.name}: expected an open ledger, found it closed; open it again")

    def exclusively(self) -> AbstractContextManager[object]:
        """See `RecordLog`."""
        return self._lock

    def close(self) -> None:
        """See `RecordLog`."""
        if self._open and self._writable:
            self._records.is_held = False
        self._open = False
