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

from tests.support.ledger_users import Known, forked, use

LIVES: Final = 8
"""After so many kills another ledger is begun."""


def kill_often(kills: int, folder: Path) -> Counter[str]:
    """Kill so many times; return where that struck, and how often.

    Raises:
        AssertionError: a ledger was lost or under-counted, or a child was refused something.
        DpError: a ledger does not open.
    """
    # The first time imports what the children need.
    for name in ("imported", "timed"):
        began_s = time.perf_counter()
        use(folder / name, lambda *_: None, rounds=2)
    latest_s = 2 * (time.perf_counter() - began_s)
    struck: Counter[str] = Counter()
    for number in range(kills):
        if number % LIVES == 0:
            path, known = folder / f"{number}.ledger", Known()
        struck[killed(path, known, latest_s)] += 1
    return struck


def killed(path: Path, known: Known, latest_s: float) -> str:
    """Kill a user of the ledger after 0 to `latest_s` seconds, check what is left, and return where that struck."""

    def end(child: int) -> None:
        time.sleep(latest_s * int.from_bytes(os.urandom(4)) / (1 << 32))
        os.kill(child, signal.SIGKILL)

    before = known.head
    status = forked(path, known.hear, begin=lambda: None, end=end, rounds=None)
    assert os.WIFSIGNALED(status), "the child ended by itself: it was refused something"
    told = known.head
    journal = path.with_name(f"{path.name}-journal")
    within = journal.exists() and any(journal.read_bytes()[:8])
    known.check(path)
    if known.head is None:
        return "before there was a ledger"
    if within:
        return "within a record, which was rolled back"
    if told != known.head:
        return "after a record that nobody was told of"
    return "after a record that was told of" if told != before else "before anything was recorded"


def main() -> None:
    kills, folder = int(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True)
    began_s = time.perf_counter()
    struck = kill_often(kills, folder)
    for where, times in struck.most_common():
        sys.stdout.write(f"{times:6} {where}\n")
    sys.stdout.write(f"{kills:6} kills in {time.perf_counter() - began_s:.0f} s: no ledger lost, none under-counted\n")


if __name__ == "__main__":
    main()
