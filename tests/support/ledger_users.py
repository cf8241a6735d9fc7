"""A user of a ledger that says what returned, and what must be in the file whatever became of its user."""

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dp.accounting.guarantee import guarantee
from dp.events import DistributedDiscreteGaussianEvent
from dp.ledger.ledger import Ledger

EVENT = DistributedDiscreteGaussianEvent(local_sigma=1e4, contributors=5, l2_sensitivity=1.0, dimension=10)

Hear = Callable[[str, int, str], None]


def use(path: Path, hear: Hear, *, rounds: int | None = None) -> None:
    """Make a ledger or open it, and reserve and commit `rounds` times or without end, telling of all that returned."""
    ledger = Ledger.open(path) if path.exists() else Ledger.create(path, epsilon=1, delta=1e-3, population=9)
    with ledger:
        hear("opened", 0, ledger.head)
        for _ in itertools.count() if rounds is None else range(rounds):
            number = ledger.reserve(EVENT, "round")
            hear("reserved", number, ledger.head)
            ledger.commit(number, contributors=5, realised=EVENT)
            hear("committed", number, ledger.head)


@dataclass
class Known:
    """What is known of a ledger file, by what its users told and by what was found in it.

    Attributes:
        head: of the last step that returned, or that was found; None before there was a file.
        reserved: how many reservations there are.
        committed: the last reservation that was committed.
    """

    head: str | None = None
    reserved: int = 0
    committed: int = 0

    def hear(self, step: str, number: int, head: str) -> None:
        self.head = head
        if step == "reserved":
            self.reserved = number
        if step == "committed":
            self.committed = number

    def check(self, path: Path) -> None:
        """Open what is left, make sure that all is in it and counts, and know it from now on."""
        if not path.exists():
            assert self.head is None, f"{path}: lost"
            return
        with Ledger.open(path, head=self.head) as ledger:
            entries = ledger.entries()
            assert len(entries) >= self.reserved, f"{path}: {self.reserved} were reserved, {len(entries)} are left"
            assert not self.committed or entries[self.committed - 1].commitment is not None, path
            assert ledger.spent() == guarantee({EVENT: len(entries)}, delta=1e-3), path
            self.reserved, self.head = len(entries), ledger.head


def forked(path: Path, hear: Hear, *, begin: Callable[[], None], end: Callable[[int], None], rounds: int | None) -> int:
    """Let a child use a ledger, hear what it tells until it is gone, and return the status that it left.

    Args:
        path: the ledger.
        hear: called in the parent with what the child told.
        begin: called in the child, before it begins.
        end: called in the parent with the child's number, to end it or not.
        rounds: as for `use`.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            begin()
            use(path, lambda *told: _tell(writing, told), rounds=rounds)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        end(child)
        for line in pipe:
            step, number, head = line.split()
            hear(step, int(number), head)
    return os.waitpid(child, 0)[1]


def _tell(writing: int, told: tuple[str, int, str]) -> None:
    os.write(writing, " ".join(map(str, told)).encode() + b"\n")
