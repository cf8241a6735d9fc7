"""Processes that a test starts and ends, each with those that it has started itself: by id, never by name."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

_END_S: Final = 15.0
_PORTS: Final = range(20000, 32000)
_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG of Linux.


def free_ports(count: int) -> list[int]:
    """Return ports on which nothing listens now, below those that the system gives to outgoing connections."""
    chosen = random.SystemRandom()
    with ExitStack() as opened:
        found: list[int] = []
        while len(found) < count:
            each, port = opened.enter_context(socket.socket()), chosen.choice(_PORTS)
            try:
                each.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
        return found


class OwnedProcesses:
    """Processes, each at the head of a group of its own, with logs in one folder.

    Args:
        folder: The folder of their logs.
        environment: All variables of the processes.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._environment = folder, dict(environment)
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, command: Sequence[str | Path], **variables: str) -> subprocess.Popen[bytes]:
        """Start a process, which ends with this one whatever becomes of it (Linux)."""
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                env=self._environment | variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_death_with_parent(),
            )
        self._running.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a process itself by SIGKILL, as the system would, and wait for its end."""
        os.kill(process.pid, signal.SIGKILL)
        self._await_end([process])
        self._end_groups([process])

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End a process, and what it has started."""
        self._end_groups([process])

    def collect(self, process: subprocess.Popen[bytes]) -> bool:
        """Return whether a process has ended by itself; what it has started is ended then."""
        ended = _has_ended(process)
        if ended:
            self._end_groups([process])
        return ended

    def wait_for(self, done: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait until something is so.

        Raises:
            AssertionError: It is not in time, or a process has ended; with the ends of the logs.
        """
        until = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < until, self.logs()
            assert not any(_has_ended(process) for process in self._running), self.logs()
            time.sleep(0.1)

    def logs(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(
            f"{path.name}:\n{path.read_text(errors='replace')[-3000:]}" for path in sorted(self._folder.glob("*.log"))
        )

    def end(self) -> None:
        """End the processes that were started, each with those that it has started itself."""
        self._end_groups(list(reversed(self._running)))

    def _end_groups(self, processes: list[subprocess.Popen[bytes]]) -> None:
        """End groups. Their heads are waited for last: until then nobody else gets the ids of the groups."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in processes:
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:
                    continue
            self._await_end(processes)
        for process in processes:
            process.wait()
            self._running.remove(process)

    @staticmethod
    def _await_end(processes: list[subprocess.Popen[bytes]]) -> None:
        until = time.monotonic() + _END_S
        while not all(_has_ended(process) for process in processes) and time.monotonic() < until:
            time.sleep(0.05)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether a process has ended, without waiting for it, so that its id stays its own."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _death_with_parent() -> Callable[[], object] | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return lambda: library.prctl(_DEATH_SIGNAL, signal.SIGKILL)
