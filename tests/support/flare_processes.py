"""A FLARE federation of real processes on this machine: started by their own scripts, ended by their own ids."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_GRACE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """Processes of a federation.

    Attributes:
        kits: The folder of the startup kits.
        processes: The process of each participant, which leads a session of its own.
    """

    kits: Path
    processes: dict[str, "subprocess.Popen[bytes]"]

    def start(self, name: str) -> None:
        """Start a participant by the script of its startup kit."""
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "FLARE_TEST_SITE": name,
        }
        with (self.kits / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                ["bash", self.kits / name / "startup" / "sub_start.sh", "--once"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to a participant and to what it has started, and wait for the end.

        The processes of jobs are in sessions of their own, so they are ended by their ids.
        """
        process = self.processes.pop(name)
        started = [process.pid, *_descendants(process.pid)]
        for each in (how, signal.SIGKILL):
            for target in filter(_is_of_flare, started):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(target, each)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)

    def kill_job(self, name: str) -> None:
        """Kill the process that a participant has started for the job under way, and nothing else."""
        (job,) = [each for each in _descendants(self.processes[name].pid) if _runs_a_job(each)]
        os.kill(job, signal.SIGKILL)

    def wait_for(self, name: str, text: str, *, times: int = 1, timeout_s: float = 120.0) -> None:
        """Wait until a participant has written a text at least that many times.

        Raises:
            TimeoutError: It has not.
        """
        until = time.monotonic() + timeout_s
        while self.log(name).count(text) < times:
            if time.monotonic() > until:
                raise TimeoutError(f"{name} has not written {text!r} {times} times")
            threading.Event().wait(0.05)

    def log(self, name: str) -> str:
        """Return what a participant has written."""
        return (self.kits / f"{name}.log").read_text(errors="replace")


def _descendants(process: int) -> Iterator[int]:
    """Yield the ids of all processes that a process has started, directly or not (Linux, `man 5 proc`)."""
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found = children.read_text()
        except OSError:  # The process has ended.
            continue
        for child in map(int, found.split()):
            yield child
            yield from _descendants(child)


def _runs_a_job(process: int) -> bool:
    return b"_process\0" in _command(process)


def _is_of_flare(process: int) -> bool:
    """Return whether a process is one of FLARE's still: an id may be used again."""
    command = _command(process)
    return b"nvflare" in command or b"sub_start.sh" in command


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


@contextlib.contextmanager
def running(kits: Path, server: str, sites: list[str]) -> Iterator[Fleet]:
    """Start a server and its sites, and end them at the end of the `with` block."""
    fleet = Fleet(kits, {})
    try:
        for name in (server, *sites):
            fleet.start(name)
        yield fleet
    finally:
        for name in list(fleet.processes):
            fleet.end(name)
