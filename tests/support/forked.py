"""Programs as processes of their own, which are forked from one that has imported what they use."""

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from select import select
from typing import Final

from tests.support import fork_server

TIMEOUT_S: Final = 300


def run_code(
    code: str,
    *arguments: str,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    meanwhile: Callable[["Running"], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program as `python -P -c` would, to its end, and return what it printed and its exit code.

    Args:
        code: The program.
        arguments: Its arguments.
        cwd: The folder in which it runs.
        environment: Its environment; None: that of this process.
        meanwhile: What to do while it runs, before its end is awaited.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "stdout", Path(folder) / "stderr"
        for path in (out, err):
            path.touch()
        program: dict[str, object] = {
            "code": code,
            "arguments": arguments,
            "folder": str(cwd),
            "environment": dict(os.environ if environment is None else environment),
            "stdout": str(out),
            "stderr": str(err),
        }
        with contextlib.closing(_server().begin(program)) as running:
            if meanwhile is not None:
                meanwhile(running)
            code_of_exit = running.wait()
        return subprocess.CompletedProcess(
            [sys.executable, "-P", "-c", code, *arguments], code_of_exit, out.read_text("utf-8"), err.read_text("utf-8")
        )


class Running:
    """A program that has begun."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._number = _number(channel)

    def close(self) -> None:
        """Forget the process, which goes on if it has not ended."""
        self._channel.close()

    def has_ended(self) -> bool:
        """Return whether the process has ended."""
        return bool(select([self._channel], [], [], 0)[0])

    def send_signal(self, signal_number: signal.Signals) -> None:
        """Send a signal to the process, unless it has ended."""
        if not self.has_ended():
            os.kill(self._number, signal_number)

    def wait(self) -> int:
        """Return the exit code, when the process has ended.

        Raises:
            TimeoutError: It has not ended in time, and is killed.
        """
        try:
            return _number(self._channel)
        except TimeoutError:
            os.kill(self._number, signal.SIGKILL)
            _number(self._channel)
            raise


def _number(channel: socket.socket) -> int:
    """Return the next number that the server sends, and read nothing beyond it."""
    line = b""
    while not line.endswith(b"\n"):
        found = channel.recv(1)
        if not found:
            raise RuntimeError(
                "the server of forks: expected a number, found that it has ended. Read its errors above."
            )
        line += found
    return int(line)


class _Server:
    """The process that is forked, and the socket to it."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair()
        self._turn = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", fork_server.__file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                # A shell starts background jobs with Ctrl-C ignored, and they hand that down.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        atexit.register(self.close)

    def begin(self, program: dict[str, object]) -> Running:
        """Begin a program. Several threads may do that, and several programs may run at the same time."""
        request = json.dumps(program).encode()
        ours, theirs = socket.socketpair()
        ours.settimeout(TIMEOUT_S)
        with self._turn, theirs:
            length = f"{len(request):0{fork_server.LENGTH_BYTES}}".encode()
            socket.send_fds(self._channel, [length], [theirs.fileno()])
            self._channel.sendall(request)
        return Running(ours)

    def close(self) -> None:
        """End the process, which ends when its socket is closed."""
        self._channel.close()
        self._process.wait()


@cache
def _server() -> _Server:
    return _Server()
