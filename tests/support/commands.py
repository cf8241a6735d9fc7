"""The command `secagg`, run as a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.forked import TIMEOUT_S, Running, run_code

PROGRAM = "from secagg.cli import main; main()"
COMMAND = (sys.executable, "-P", "-c", PROGRAM)
SMALL = ("--dataset", "breast-cancer", "--model", "numpy-softmax", "--clients", "16", "--delta", "0.01")


def secagg(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, and return what it printed and its exit code."""
    return run_code(PROGRAM, *arguments, cwd=cwd, environment=_plain())


def stopped(
    *arguments: str, cwd: Path, when: Callable[[], bool], after_s: float, by: signal.Signals
) -> subprocess.CompletedProcess[str]:
    """Run the command until `when` is true and `after_s` longer, send it a signal, and return what it printed."""

    def stop(running: Running) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not when() and not running.has_ended() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(after_s)
        running.send_signal(by)

    return run_code(PROGRAM, *arguments, cwd=cwd, environment=_plain(), meanwhile=stop)


def lines_of(path: Path) -> int:
    """Return the number of whole lines of a file; 0 if there is no such file."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _plain() -> dict[str, str]:
    """Return the environment of a terminal of 200 columns without colours."""
    return os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
