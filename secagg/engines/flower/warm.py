"""A process that holds Flower and secagg imported, and forks for each message to a node. Experimental.

A SuperNode starts the command `flwr-clientapp` for every message, which imports Flower for seconds. `WarmFolder` has a
command of that name, to be put first on the SuperNode's PATH. That one asks the warm process, through a Unix socket, to
fork and run the real command's function with the same arguments, environment, folder and open files.

It is off unless somebody puts the folder on the PATH, and it is no interface that Flower promises. If anything is off,
the real command runs instead: if nobody listens, if Python's or Flower's settings differ, if another installation of
Flower is on the PATH, or if Flower or secagg was replaced since the start.

Adversary: other users of the machine. Anyone who can connect can run code as this user. So the folder has mode 0700 and
the socket 0600, and on systems that name the peer's user, everybody else is refused before a byte is read. The token
that Flower passes to the command goes through the socket, and into no argument and no log.
"""

import contextlib
import importlib
import json
import multiprocessing
import os
import shlex
import shutil
import signal
import socket
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from secagg.engines.flower import launcher
from secagg.engines.flower.unpromised import CLIENT_COMMAND, DISTRIBUTION, client_command
from secagg.engines.node.resident import is_owner, listening
from secagg.errors import ConfigurationError
from secagg.interruption import ENDING
from secagg.logger import LOGGER

_MOST_BYTES: Final = 2**22
_PATIENCE_S: Final = 10.0
_AT_START: Final = ("FLWR_", "PYTHON", "LD_", "DYLD_")
"""How the names of variables begin that are read when Python or Flower starts or is imported."""

_IMPORTED: Final = ("secagg.engines.flower.mod", "scipy.fft")
"""What a message to a node needs besides Flower; the second is imported by OneShot when it first computes."""

_SCRIPT: Final = """\
#!/bin/sh
# Stands in for {name} as long as `secagg engine warm` runs; otherwise it becomes the real command.
exec {python} -I -S {launcher} {folder} {name} "$@"
"""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a launcher asks for.

    Attributes:
        command: The real command that it has found.
        arguments: The command's arguments.
        folder: The working directory.
        environment: All variables.
    """

    command: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """What this process holds, and what it compares requests with.

    Attributes:
        run: The command's function, which reads `sys.argv`.
        command: The real command, as it is installed beside this Python.
        environment: The variables with which this process began.
        versions: The versions that are imported, by distribution.
    """

    run: Callable[[], object]
    command: str
    environment: Mapping[str, str]
    versions: Mapping[str, str]

    @classmethod
    def here(cls) -> "Warm":
        """Return the command of this installation, imported with everything that a message to a node needs.

        Raises:
            MissingExtraError: Flower is not installed.
            ConfigurationError: There is no such command beside this Python.
        """
        run = client_command()
        for name in _IMPORTED:
            importlib.import_module(name)
        command = shutil.which(CLIENT_COMMAND, path=str(Path(sys.executable).parent))
        if command is None:
            raise ConfigurationError(
                f"{CLIENT_COMMAND}: expected the command beside {sys.executable}, found none. Run secagg from the "
                "environment in which Flower is installed."
            )
        return cls(run=run, command=command, environment=dict(os.environ), versions=installed())

    def difference(self, request: Request) -> str | None:
        """Return what is not as in this process, in words; None if the request can be run here."""
        if os.path.realpath(request.command) != os.path.realpath(self.command):
            return "another installation of Flower is on the PATH"
        names = {
            name
            for name in {*request.environment, *self.environment}
            if name.startswith(_AT_START) and request.environment.get(name) != self.environment.get(name)
        }
        if names:
            return f"other values of {', '.join(sorted(names))}"
        return None if installed() == self.versions else "another version was installed since the start"


@contextlib.contextmanager
def warm_folder(folder: Path) -> Iterator[socket.socket]:
    """Make a folder with the command in it, and listen there; the socket is removed afterwards.

    Raises:
        ConfigurationError: The folder is not this user's alone, another process listens there, or this system has no
            fork.
    """
    if sys.platform == "win32":
        raise ConfigurationError("warm process: expected a system with fork, found Windows. Run it on Linux.")
    folder = folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise ConfigurationError(
            f"{folder}: expected a folder of this user with mode 0700, found another one. Name a new folder."
        )
    _write_command(folder)
    with listening(folder / launcher.SOCKET) as listener:
        yield listener


def serve(listener: socket.socket, warm: Warm) -> None:
    """Fork for each connection, until an exception arrives."""
    owner = os.stat(listener.getsockname()).st_uid
    while True:
        with contextlib.suppress(ConnectionAbortedError), listener.accept()[0] as connection:
            if is_owner(connection, owner):
                _fork(listener, connection, warm)
            else:
                LOGGER.warning("a connection to the warm process was refused")
        multiprocessing.active_children()  # Takes note of those that have ended.


def _fork(listener: socket.socket, connection: socket.socket, warm: Warm) -> None:
    if sys.platform == "win32":
        return
    process = multiprocessing.get_context("fork").Process(target=_answer, args=(listener, connection, warm))
    try:
        process.start()
    except OSError as error:  # Too many processes, or too little memory: the real command may have more luck.
        LOGGER.warning("the real command runs instead: no fork (%s)", type(error).__name__)


def _answer(listener: socket.socket, connection: socket.socket, warm: Warm) -> None:
    """Run one command, in a process of its own."""
    listener.close()
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    connection.settimeout(_PATIENCE_S)
    try:
        request, files = _received(connection)
        difference = warm.difference(request)
        if difference is not None:
            LOGGER.warning("the real command runs instead: %s", difference)
        connection.sendall(launcher.PROCESS.pack(0 if difference else os.getpid()))
        if difference is not None or connection.recv(1) != launcher.GO:
            return
    except (OSError, ValueError, EOFError) as error:
        LOGGER.warning("a connection to the warm process has ended early: %s", type(error).__name__)
        return
    code = 1
    try:
        _enter(request, files)
        warm.run()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        raise
    finally:
        with contextlib.suppress(OSError):
            connection.sendall(launcher.CODE.pack(code))


def _received(connection: socket.socket) -> tuple[Request, list[int]]:
    """Return a request, and the open files that came with it.

    Raises:
        ValueError: It is no request.
        EOFError: The connection has ended.
    """
    if sys.platform == "win32":
        raise ValueError("a system without Unix sockets")
    head, files, _, _ = socket.recv_fds(connection, launcher.LENGTH.size, len(launcher.DESCRIPTORS))
    if len(head) != launcher.LENGTH.size or len(files) != len(launcher.DESCRIPTORS):
        raise EOFError
    (length,) = launcher.LENGTH.unpack(head)
    if length > _MOST_BYTES:
        raise ValueError("a request that is longer than the limit")
    body = bytearray()
    while len(body) < length:
        part = connection.recv(length - len(body))
        if not part:
            raise EOFError
        body += part
    return msgspec.convert(json.loads(body), Request), files  # JSON as Python writes it: names of files may be no text.


def _enter(request: Request, files: list[int]) -> None:
    """Become the process that the launcher would have been."""
    for file, number in zip(files, launcher.DESCRIPTORS, strict=True):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = os.fdopen(0, closefd=False)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = [request.command, *request.arguments]
    np.random.seed()  # All forks have the same state of it, and apps draw from it. Python's own is seeded by the fork.


def _write_command(folder: Path) -> None:
    script = _SCRIPT.format(
        name=CLIENT_COMMAND,
        python=shlex.quote(sys.executable),
        launcher=shlex.quote(str(Path(launcher.__file__).absolute())),
        folder=shlex.quote(str(folder)),
    )
    partial = folder / f".{CLIENT_COMMAND}"
    partial.write_text(script)
    partial.chmod(0o700)
    partial.replace(folder / CLIENT_COMMAND)


def installed() -> dict[str, str]:
    """Return the installed versions of what a warm process holds, by distribution."""
    found = {}
    for name in (DISTRIBUTION, "secagg-toolkit"):
        with contextlib.suppress(PackageNotFoundError):  # secagg may run from a clone that is not installed.
            found[name] = version(name)
    return found
