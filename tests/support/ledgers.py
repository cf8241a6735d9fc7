"""New ledgers with a clock that ticks, in a file or in memory, and a release to enter in them."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from dp.events import DistributedDiscreteGaussianEvent
from dp.ledger.ledger import Ledger
from dp.ledger.records import first_record
from tests.support.memory_log import MemoryLog, StoredRecords

EVENT = DistributedDiscreteGaussianEvent(local_sigma=20.0, contributors=100, l2_sensitivity=100.0, dimension=650)


def ticks() -> Callable[[], float]:
    """Return a clock that is a second later at each call, from 1000 s."""
    return map(float, itertools.count(1000)).__next__


def create(path: Path, epsilon: float = 8.0, clock: Callable[[], float] | None = None) -> Ledger:
    """Create a ledger file with a clock that ticks."""
    return Ledger.create(path, epsilon=epsilon, delta=1e-3, population=300, clock=clock or ticks())


class LedgerLocation(Protocol):
    """A location in which a ledger can be created, opened and read."""

    def exists(self) -> bool:
        """Return whether there is a ledger."""

    def create(self, **changes: Any) -> Ledger:
        """Create a ledger with the usual budget but for these changes."""

    def open(self, **options: Any) -> Ledger:
        """Open the ledger for writing."""

    def read(self, **options: Any) -> Ledger:
        """Open the ledger for reading."""


class FileLocation:
    """A location in a file, which SQLite writes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """See `LedgerLocation`."""
        return self.path.exists()

    def create(self, **changes: Any) -> Ledger:
        """See `LedgerLocation`."""
        return Ledger.create(self.path, **_BUDGET | {"clock": ticks()} | changes)

    def open(self, **options: Any) -> Ledger:
        """See `LedgerLocation`."""
        return Ledger.open(self.path, **options)

    def read(self, **options: Any) -> Ledger:
        """See `LedgerLocation`."""
        return Ledger.open_to_read(self.path, **options)


class MemoryLocation:
    """A location in memory, for a ledger over `MemoryLog`."""

    def __init__(self) -> None:
        self.records: StoredRecords | None = None

    def exists(self) -> bool:
        """See `LedgerLocation`."""
        return self.records is not None

    def create(self, **changes: Any) -> Ledger:
        """See `LedgerLocation`."""
        chosen = _BUDGET | {"clock": ticks()} | changes
        self.records = StoredRecords(first_record(**chosen))
        return self.open(clock=chosen["clock"])

    def open(self, **options: Any) -> Ledger:
        """See `LedgerLocation`."""
        assert self.records is not None
        return Ledger.over(MemoryLog(self.records, writable=True), **options)

    def read(self, **options: Any) -> Ledger:
        """See `LedgerLocation`."""
        assert self.records is not None
        return Ledger.over(MemoryLog(self.records, writable=False), **options)


_BUDGET: dict[str, Any] = {"epsilon": 8.0, "delta": 1e-3, "population": 300}
