"""New ledgers with a clock that ticks, in a file or in memory, and a release to enter in them."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from dp.events import DistributedDiscreteGaussianEvent
from dp.ledger.ledger import Ledger
from dp.ledger.records import first_record
from tests.support.memory_log import MemoryLog, Records

EVENT = DistributedDiscreteGaussianEvent(local_sigma=20.0, contributors=100, l2_sensitivity=100.0, dimension=650)


def ticks() -> Callable[[], float]:
    return map(float, itertools.count(1000)).__next__


def create(path: Path, epsilon: float = 8.0, clock: Callable[[], float] | None = None) -> Ledger:
    return Ledger.create(path, epsilon=epsilon, delta=1e-3, population=300, clock=clock or ticks())


class Place(Protocol):
    """A place for one ledger, which can be made there, opened and read."""

    def exists(self) -> bool: ...

    def create(self, **changes: Any) -> Ledger: ...

    def open(self, **options: Any) -> Ledger: ...

    def read(self, **options: Any) -> Ledger: ...


class FilePlace:
    """A place in a file, by SQLite."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        return self.path.exists()

    def create(self, **changes: Any) -> Ledger:
        return Ledger.create(self.path, **_BUDGET | {"clock": ticks()} | changes)

    def open(self, **options: Any) -> Ledger:
        return Ledger.open(self.path, **options)

    def read(self, **options: Any) -> Ledger:
        return Ledger.open_to_read(self.path, **options)


class MemoryPlace:
    """A place in memory."""

    def __init__(self) -> None:
        self.records: Records | None = None

    def exists(self) -> bool:
        return self.records is not None

    def create(self, **changes: Any) -> Ledger:
        chosen = _BUDGET | {"clock": ticks()} | changes
        self.records = Records(first_record(**chosen))
        return self.open(clock=chosen["clock"])

    def open(self, **options: Any) -> Ledger:
        assert self.records is not None
        return Ledger.over(MemoryLog(self.records, writable=True), **options)

    def read(self, **options: Any) -> Ledger:
        assert self.records is not None
        return Ledger.over(MemoryLog(self.records, writable=False), **options)


_BUDGET: dict[str, Any] = {"epsilon": 8.0, "delta": 1e-3, "population": 300}
