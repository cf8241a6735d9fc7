"""The command that stands in for `flwr-clientapp` on a SuperNode's PATH; see `secagg.engines.flower.warm`.

It is run by its path for every message to a node, so it imports little and nothing of this package. It asks the warm
process to run the command. If that cannot be, for whatever reason, it becomes the real command instead. Once it has
told the warm process to begin, it never does: the command would run twice.

    python launcher.py FOLDER NAME ARGUMENTS...
"""

import json
import os
import shutil
import signal
import socket
import struct
import sys

TYPE_CHECKING = False  # Importing `typing` itself takes milliseconds.
if TYPE_CHECKING:
    from typing import Final

SOCKET: "Final" = "socket"
"""The name of the warm process's socket in its folder."""

LENGTH: "Final" = struct.Struct(">Q")
PROCESS: "Final" = struct.Struct(">Q")
"""The answer to a request: the id of the process that is ready to run the command; 0 if there is none."""

CODE: "Final" = struct.Struct(">i")
GO: "Final" = b"!"
DESCRIPTORS: "Final" = (0, 1, 2)
_PATIENCE_S: "Final" = 10.0
_NOT_FOUND: "Final" = 127


def main(folder: str, name: str, arguments: "list[str]") -> int:
    """Run the command in a fork of the warm process, or become the real command. Return the exit code."""
    elsewhere = [each for each in os.get_exec_path() if not _is_same(each, folder)]
    real = shutil.which(name, path=os.pathsep.join(elsewhere))
    if real is None:
        sys.stderr.write(f"{name}: expected the command on the PATH behind {folder}, found none\n")
        return _NOT_FOUND
    try:
        connection = _begun(folder, real, arguments)
    except (OSError, ValueError):
        connection = None
    if connection is None:
        os.execv(real, [real, *arguments])  # noqa: S606  # It is the command that was asked for.
    return _wait(connection)


def _begun(folder: str, real: str, arguments: "list[str]") -> "socket.socket | None":
    """Return a connection to a process that has begun to run the command; None if there is none."""
    if sys.platform == "win32":
        return None
    status = os.stat(folder)
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        return None
    request = {"command": real, "arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    body = json.dumps(request).encode()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_PATIENCE_S)
        connection.connect(os.path.join(folder, SOCKET))
        socket.send_fds(connection, [LENGTH.pack(len(body))], DESCRIPTORS)
        connection.sendall(body)
        told = connection.recv(PROCESS.size)
        process = PROCESS.unpack(told)[0] if len(told) == PROCESS.size else 0
        if process:
            _forward_signals(process)
            connection.sendall(GO)
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def _forward_signals(process: int) -> None:
    """Hand on to the process what is to end this one."""
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda received, _: _hand_on(process, received))


def _hand_on(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


def _wait(connection: socket.socket) -> int:
    """Return the exit code of the process at the other end; 1 if it has ended without one, as by SIGKILL."""
    connection.settimeout(None)
    try:
        told = connection.recv(CODE.size)
    except OSError:
        told = b""
    return int(CODE.unpack(told)[0]) if len(told) == CODE.size else 1


def _is_same(first: str, second: str) -> bool:
    return os.path.realpath(first) == os.path.realpath(second)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
