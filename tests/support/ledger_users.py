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

OnStep = Callable[[str, int, str], None]


def use_ledger(path: Path, on_step: OnStep, *, rounds: int | None = None) -> None:
    """Make or open a ledger, reserve and commit `rounds` times or without end, and report each step that returned."""
    ledger = Ledger.open(path) if path.exists() else Ledger.create(path, epsilon=1, delta=1e-3, population=9)
    with ledger:
        on_step("opened", 0, ledger.head)
        for _ in itertools.count() if rounds is None else range(rounds):
            number = ledger.reserve(EVENT, "round")
            on_step("reserved", number, ledger.head)
            ledger.commit(number, contributors=5, realised=EVENT)
            on_step("committed", number, ledger.head)


@dataclass
class ExpectedLedger:
    """What a ledger file must hold, by what its users reported and by what was found in it.

    Attributes:
        head: The head after the last step that was reported or found; None before there was a file.
        reserved: The number of reservations.
        committed: The number of the last reservation that was committed.
    """

    head: str | None = None
    reserved: int = 0
    committed: int = 0

    def note_step(self, step: str, number: int, head: str) -> None:
        """Take in a step that a user reports."""
        self.head = head
        if step == "reserved":
            self.reserved = number
        if step == "committed":
            self.committed = number

    def check(self, path: Path) -> None:
        """Open what is left, check that all steps are in it and count, and take in what was found."""
        if not path.exists():
            assert self.head is None, f"{path}: lost"
            return
        with Ledger.open(path, head=self.head) as ledger:
            entries = ledger.entries()
            assert len(entries) >= self.reserved, f"{path}: {self.reserved} were reserved, {len(entries)} are left"
            assert not self.committed or entries[self.committed - 1].commitment is not None, path
            assert ledger.spent() == guarantee({EVENT: len(entries)}, delta=1e-3), path
            self.reserved, self.head = len(entries), ledger.head


def use_ledger_in_child(
    path: Path, on_step: OnStep, *, begin: Callable[[], None], end: Callable[[int], None], rounds: int | None
) -> int:
    """Let a child use a ledger, pass on the steps that it reports until it is gone, and return its exit status.

    Args:
        path: The ledger.
        on_step: Called in the parent with each step that the child reports.
        begin: Called in the child, before it begins.
        end: Called in the parent with the child's process number, to end the child or not.
        rounds: As for `use_ledger`.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            begin()
            use_ledger(path, lambda *told: _tell(writing, told), rounds=rounds)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        end(child)
        for line in pipe:
            step, number, head = line.split()
            on_step(step, int(number), head)
    return os.waitpid(child, 0)[1]


def _tell(writing: int, told: tuple[str, int, str]) -> None:
    """Write a step to the parent's pipe, as one line."""
    os.write(writing, " ".join(map(str, told)).encode() + b"\n")
