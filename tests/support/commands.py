"""The installed command `secagg`, run as a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

COMMAND = (sys.executable, "-P", "-c", "from secagg.cli import main; main()")
SMALL = ("--dataset", "breast-cancer", "--model", "numpy-softmax", "--clients", "16", "--delta", "0.01")
TIMEOUT_S = 120


def secagg(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, and return what it printed and its exit code."""
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=_plain()
    )


def stopped(
    *arguments: str, cwd: Path, when: Callable[[], bool], after_s: float, by: signal.Signals
) -> subprocess.CompletedProcess[str]:
    """Run the command until `when` is true and `after_s` longer, send it a signal, and return what it printed."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_plain(),
        # A shell starts background jobs with Ctrl-C ignored, and they hand that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + TIMEOUT_S
    while not when() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(after_s)
    process.send_signal(by)
    out, err = process.communicate(timeout=TIMEOUT_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def lines_of(path: Path) -> int:
    """Return the number of whole lines of a file; 0 if there is no such file."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _plain() -> dict[str, str]:
    """Return the environment of a terminal of 200 columns without colours."""
    return os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
