"""Uses ledgers on a disk that fails at each of its calls in turn: `python -m tests.support.failing_disk LIBRARY
FOLDER`.

LIBRARY is made of `faults.c` and must be preloaded. Prints a line of JSON for each fault that struck.
"""

import ctypes
import errno
import itertools
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

from dp.errors import LedgerUnavailable
from tests.support.ledger_users import ExpectedLedger, use_ledger, use_ledger_in_child

FILES, FOLDERS, WRITES, TRUNCATIONS, NAMES = 1, 2, 4, 8, 16
ROUNDS: Final = 2


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of failure: which calls fail, with which error number (0 kills instead), and whether later ones do."""

    name: str
    kinds: int
    error: int
    lasting: bool


FAULTS: Final = (
    Fault(name="an fsync fails", kinds=FILES, error=errno.EIO, lasting=False),
    Fault(name="all fsyncs fail from then on", kinds=FILES | FOLDERS, error=errno.EIO, lasting=True),
    Fault(name="all fsyncs of folders fail from then on", kinds=FOLDERS, error=errno.EIO, lasting=True),
    Fault(name="a write fails", kinds=WRITES, error=errno.EIO, lasting=False),
    Fault(name="the disk is full", kinds=WRITES | TRUNCATIONS, error=errno.ENOSPC, lasting=True),
    Fault(name="a kill", kinds=FILES | FOLDERS | WRITES | TRUNCATIONS | NAMES, error=0, lasting=False),
)


class FaultOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was found when one call failed.

    Attributes:
        fault: The name of the fault.
        call: The number of the call that failed, counted from 0.
        steps_before: The number of steps of the ledger that returned before the failure.
        steps_after: The number of steps that returned after it.
        refusal: The error in which the steps ended; None if all of them returned.
    """

    fault: str
    call: int
    steps_before: int
    steps_after: int
    refusal: str | None


def use_ledger_with_fault(library: ctypes.CDLL, fault: Fault, call: int, path: Path) -> FaultOutcome | None:
    """Let a call fail, or kill before it, and check what is left; None if there are fewer calls."""
    expected, refusal = ExpectedLedger(), None
    steps: Counter[bool] = Counter()

    def arm() -> None:
        """Make the call fail."""
        library.fault_arm(fault.kinds, ctypes.c_long(call), fault.error, fault.lasting)

    def note(step: str, number: int, head: str) -> None:
        """Note a step that returned, and count it by whether the call had failed before."""
        steps[library.fault_struck() != 0] += 1
        expected.note_step(step, number, head)

    if fault.error:
        arm()
        try:
            use_ledger(path, note, rounds=ROUNDS)
        except LedgerUnavailable as error:
            refusal = str(error)
        library.fault_disarm()
        has_struck = library.fault_struck() != 0
    else:
        status = use_ledger_in_child(path, note, begin=arm, end=lambda child: None, rounds=ROUNDS)
        has_struck = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert has_struck or status == 0, status
    expected.check(path)
    # It goes on: a fault is not remembered, and an interrupted making can be made up for.
    use_ledger(path, expected.note_step, rounds=1)
    expected.check(path)
    if not has_struck:
        return None
    return FaultOutcome(
        fault=fault.name, call=call, steps_before=steps[False], steps_after=steps[True], refusal=refusal
    )


def main() -> None:
    """Try every fault at every call, and print the outcomes, one a line."""
    library, folder = ctypes.CDLL(sys.argv[1]), Path(sys.argv[2])
    for number, fault in enumerate(FAULTS):
        for call in itertools.count():
            outcome = use_ledger_with_fault(library, fault, call, folder / f"{number}.{call}")
            if outcome is None:
                break
            sys.stdout.write(f"{msgspec.json.encode(outcome).decode()}\n")


if __name__ == "__main__":
    main()
