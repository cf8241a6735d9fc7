"""A FLARE federation of real processes on this machine: started by their own scripts, ended by their own ids.

Every process of a participant, whichever process has started it, has the participant's mark in its environment. So what
is ended is exactly what was started here, also processes that FLARE has put into sessions of their own. Linux only.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_MARK: Final = "FLARE_TEST_PROCESS"
_SITE: Final = "FLARE_TEST_SITE"
_PAUSE_S: Final = 0.05
_GRACE_S: Final = 10.0
_PORTS: Final = range(12000, 32000, 2)
"""Below the ports that Linux gives to connections (`man 7 ip`), so that no connection takes one meanwhile."""


def free_port() -> int:
    """Return a port of this machine that is free, like the one after it.

    Raises:
        OSError: None is.
    """
    begin = int.from_bytes(os.urandom(4))
    for offset in range(len(_PORTS)):
        port = _PORTS[(begin + offset) % len(_PORTS)]
        with socket.socket() as first, socket.socket() as second, contextlib.suppress(OSError):
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + 1))
            return port
    raise OSError("ports: expected two free ones in a row, found none")


@dataclass(frozen=True, slots=True)
class Fleet:
    """Processes of a federation.

    Attributes:
        kits: The folder of the startup kits.
        environment: Variables of the processes, besides those of this one.
        mark: What no other fleet's processes have.
        started: The process of each participant that was started from here.
    """

    kits: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start a participant by the script of its startup kit."""
        self.run(name, "bash", self.kits / name / "startup" / "sub_start.sh", "--once", site=name)

    def run(self, name: str, *command: str | Path, site: str) -> None:
        """Start another process of a site, with a name and a log of its own."""
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            _SITE: site,
            _MARK: self._marked(name),
        }
        with (self.kits / f"{name}.log").open("ab") as log:
            self.started[name] = subprocess.Popen(
                command,
                env={**environment, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, *names: str) -> None:
        """Kill participants with all that they have started; return when all of it has ended.

        Raises:
            TimeoutError: A process is still there.
        """
        until = time.monotonic() + _GRACE_S
        while processes := [process for name in names for process in self.processes(name)]:
            if time.monotonic() > until:
                raise TimeoutError(f"{processes} of {names} have not ended")
            for process in processes:
                self._kill(process)
            threading.Event().wait(_PAUSE_S)
        for name in names:
            if name in self.started:
                self.started.pop(name).wait(_GRACE_S)

    def kill_job(self, name: str) -> None:
        """Kill the process that a participant has started for the job under way, and nothing else."""
        self._kill(self.job(name))

    def job(self, name: str) -> int:
        """Return the id of the process that a participant has started for the job under way."""
        (job,) = [process for process in self.processes(name) if b"_process\0" in _read(process, "cmdline")]
        return job

    def processes(self, name: str) -> list[int]:
        """Return the ids of a participant's processes."""
        mark = f"{_MARK}={self._marked(name)}".encode()
        found = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())
        return [process for process in found if mark in _read(process, "environ").split(b"\0")]

    def wait_for(self, name: str, text: str, *, times: int = 1, timeout_s: float = 120.0) -> None:
        """Wait until a participant has written a text at least that many times.

        Raises:
            TimeoutError: It has not.
        """
        until = time.monotonic() + timeout_s
        while self.log(name).count(text) < times:
            if time.monotonic() > until:
                raise TimeoutError(f"{name} has not written {text!r} {times} times: {self.log(name)[-5000:]}")
            threading.Event().wait(_PAUSE_S)

    def log(self, name: str) -> str:
        """Return what a participant has written."""
        return (self.kits / f"{name}.log").read_text(errors="replace")

    def _marked(self, name: str) -> str:
        return f"{self.mark}-{name}"

    def _kill(self, process: int) -> None:
        """Kill a process if it is still one of this fleet: an id may be used again."""
        try:
            handle = os.pidfd_open(process)
        except ProcessLookupError:
            return
        try:
            if self.mark.encode() in _read(process, "environ"):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            os.close(handle)


def _read(process: int, file: str) -> bytes:
    """Return a file about a process (`man 5 proc`); nothing if the process has ended, or is another user's."""
    try:
        return Path(f"/proc/{process}/{file}").read_bytes()
    except OSError:
        return b""


@contextlib.contextmanager
def running(kits: Path, *names: str, environment: Mapping[str, str] | None = None) -> Iterator[Fleet]:
    """Start participants, and kill all that they have started at the end of the `with` block."""
    fleet = Fleet(kits, environment or {})
    try:
        for name in names:
            fleet.start(name)
        yield fleet
    finally:
        fleet.kill(*names, *fleet.started)
