"""Kills a process at random instants while it uses a ledger: `python -m tests.support.ledger_kills 1000 FOLDER`.

What is left always opens; a ledger whose maker was killed is whole or not there; everything that the killed process
knew to be reserved is there and counts. A folder in memory, such as one in /dev/shm, is faster, on a disk more kills
strike within a record: it is the process that is killed here, not the disk.
"""

import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.support.ledger_users import ExpectedLedger, use_ledger, use_ledger_in_child

LIVES: Final = 8
"""After this number of kills, another ledger is begun."""


def kill_often(kills: int, folder: Path) -> Counter[str]:
    """Kill users of ledgers `kills` times, and count the places in the ledger's work where they were killed.

    Raises:
        AssertionError: If a ledger was lost or under-counted, or a child was refused something.
        DpError: If a ledger does not open.
    """
    # The first time imports what the children need.
    for name in ("imported", "timed"):
        began_s = time.perf_counter()
        use_ledger(folder / name, lambda *_: None, rounds=2)
    latest_s = 2 * (time.perf_counter() - began_s)
    places: Counter[str] = Counter()
    for number in range(kills):
        if number % LIVES == 0:
            path, expected = folder / f"{number}.ledger", ExpectedLedger()
        places[killed(path, expected, latest_s)] += 1
    return places


def killed(path: Path, expected: ExpectedLedger, latest_s: float) -> str:
    """Kill a user of the ledger after 0 to `latest_s` seconds, check what is left, and return where it was killed."""

    def end(child: int) -> None:
        """Kill the child after a random time."""
        time.sleep(latest_s * int.from_bytes(os.urandom(4)) / (1 << 32))
        os.kill(child, signal.SIGKILL)

    before = expected.head
    status = use_ledger_in_child(path, expected.note_step, begin=lambda: None, end=end, rounds=None)
    assert os.WIFSIGNALED(status), "the child ended by itself: it was refused something"
    last_told = expected.head
    journal = path.with_name(f"{path.name}-journal")
    within = journal.exists() and any(journal.read_bytes()[:8])
    expected.check(path)
    if expected.head is None:
        return "before there was a ledger"
    if within:
        return "within a record, which was rolled back"
    if last_told != expected.head:
        return "after a record that nobody was told of"
    return "after a record that was told of" if last_told != before else "before anything was recorded"


def main() -> None:
    """Kill as often as the command line says, and print where."""
    kills, folder = int(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True)
    began_s = time.perf_counter()
    places = kill_often(kills, folder)
    for where, times in places.most_common():
        sys.stdout.write(f"{times:6} {where}\n")
    sys.stdout.write(f"{kills:6} kills in {time.perf_counter() - began_s:.0f} s: no ledger lost, none under-counted\n")


if __name__ == "__main__":
    main()
