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
from tests.support.ledger_users import Known, forked, use

FILES, FOLDERS, WRITES, TRUNCATIONS, NAMES = 1, 2, 4, 8, 16
ROUNDS: Final = 2


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls fail, with which error number (0 kills instead), and whether all later ones fail, too."""

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


class Struck(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one fault.

    Attributes:
        fault: its name.
        call: which call it struck, counted from 0.
        told: how many steps of the ledger returned before it struck.
        told_after: how many returned afterwards.
        refusal: the error that they ended in.
    """

    fault: str
    call: int
    told: int
    told_after: int
    refusal: str | None


def strike(library: ctypes.CDLL, fault: Fault, call: int, path: Path) -> Struck | None:
    """Let a call fail, or kill before it, and check what is left; None if there are not so many calls."""
    known, refusal = Known(), None
    told: Counter[bool] = Counter()

    def arm() -> None:
        library.fault_arm(fault.kinds, ctypes.c_long(call), fault.error, fault.lasting)

    def hear(step: str, number: int, head: str) -> None:
        told[library.fault_struck() != 0] += 1
        known.hear(step, number, head)

    if fault.error:
        arm()
        try:
            use(path, hear, rounds=ROUNDS)
        except LedgerUnavailable as error:
            refusal = str(error)
        library.fault_disarm()
        struck = library.fault_struck() != 0
    else:
        status = forked(path, hear, begin=arm, end=lambda child: None, rounds=ROUNDS)
        struck = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        assert struck or status == 0, status
    known.check(path)
    # It goes on: a fault is not remembered, and an interrupted making can be made up for.
    use(path, known.hear, rounds=1)
    known.check(path)
    if not struck:
        return None
    return Struck(fault=fault.name, call=call, told=told[False], told_after=told[True], refusal=refusal)


def main() -> None:
    library, folder = ctypes.CDLL(sys.argv[1]), Path(sys.argv[2])
    for number, fault in enumerate(FAULTS):
        for call in itertools.count():
            struck = strike(library, fault, call, folder / f"{number}.{call}")
            if struck is None:
                break
            sys.stdout.write(f"{msgspec.json.encode(struck).decode()}\n")


if __name__ == "__main__":
    main()
