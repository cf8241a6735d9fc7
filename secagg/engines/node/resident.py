"""A station that stays: a process of the node's operator answers parcels that others pass on through a Unix socket.

Where an engine starts code that somebody else has sent, that code must not read the node's home. So the station runs as
another user, and the engine's process has nothing but the socket: bytes in, bytes out. TensorFlow is also imported once
for all rounds.

One connection carries one parcel and one reply, each after its length in 8 bytes. A parcel of no bytes asks whether the
station is there; its reply has no bytes either. A `secagg.engines.wire.claim.Query` asks which node this is.

Adversary: anyone who may connect. It is told what a server is told, and can keep the station busy. Every parcel is
checked by the station. The length is checked before anything is read. Only the owner of the socket's file may connect:
its mode is 0600, and on systems that name the peer's user, the peer is checked too.
"""

import contextlib
import errno
import os
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from secagg.checks import shown
from secagg.errors import ConfigurationError, SecaggError
from secagg.logger import LOGGER

Answer = Callable[[bytes], bytes]
"""A node's side: takes a parcel, a query or no bytes, and returns a reply."""

HELLO: Final = b""
"""What asks whether a station is there, in the place of a parcel, and the reply to it."""

LONGEST_REPLY: Final = 2**32
_LENGTH: Final = struct.Struct(">Q")
_PEER: Final = struct.Struct("3i")  # The process, the user and the group of a peer, as Linux states them.
_CONNECTIONS: Final = 4
_PIECE_BYTES: Final = 2**20
_PATIENCE_S: Final = 30.0
_PAUSE_S: Final = 0.2
_FIRST_INHERITED: Final = 3


class StationUnavailable(SecaggError, OSError):
    """A resident station that cannot be reached, or that has ended a connection without a reply."""


def ask(path: str | Path, parcel: bytes, *, timeout_s: float) -> bytes:
    """Pass a parcel on to the station behind a socket, and return its reply.

    Args:
        path: The socket.
        parcel: The parcel, a query, or `HELLO`.
        timeout_s: How long to wait for the reply. A station that trains takes as long as training does.

    Raises:
        StationUnavailable: There is no station at `path`, or it has not replied.
        ConfigurationError: Python has no Unix sockets on this system.
    """
    until = time.monotonic() + timeout_s
    try:
        with _unix_socket() as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            _send(connection, parcel)
            return _received(connection, limit=LONGEST_REPLY, until=until)
    except (OSError, ValueError) as error:
        raise StationUnavailable(
            f"station at {shown(str(path))}: expected a reply, found none ({type(error).__name__}). Start `secagg node "
            "serve`, and let the user of this process own the socket."
        ) from None


class ResidentStation:
    """A station behind a socket.

    Args:
        answer: The station, which several threads may call.
        limit: The length of the longest parcel, in bytes.
    """

    def __init__(self, answer: Answer, *, limit: int) -> None:
        self._answer = answer
        self._limit = limit
        self._free = threading.BoundedSemaphore(_CONNECTIONS)

    def serve(self, listener: socket.socket) -> None:
        """Answer one parcel after the other, until the listening socket is shut down or an exception arrives.

        If a connection cannot be accepted or answered, as when there are too many files or threads, the station waits a
        moment and goes on. Anyone who owns the socket's file when this is called may connect, wherever it is moved.
        """
        owner = os.stat(listener.getsockname()).st_uid
        while True:
            try:
                connection, _ = listener.accept()
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno in (errno.EBADF, errno.EINVAL):  # The listening socket was closed or shut down.
                    return
                _wait_after(error)
                continue
            if not is_owner(connection, owner) or not self._free.acquire(blocking=False):
                LOGGER.warning("a connection to the resident station was refused")
                connection.close()
                continue
            try:
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()
            except (RuntimeError, MemoryError) as error:  # Python raises the first one if there are too many threads.
                connection.close()
                self._free.release()
                _wait_after(error)

    def _converse(self, connection: socket.socket) -> None:
        """Read one parcel, and send the reply to it."""
        try:
            with connection:
                connection.settimeout(_PATIENCE_S)
                parcel = _received(connection, limit=self._limit, until=time.monotonic() + _PATIENCE_S)
                _send(connection, self._answer(parcel))
        except (OSError, ValueError, MemoryError) as error:
            LOGGER.warning("a connection to the resident station has ended early: %s", type(error).__name__)
        finally:
            self._free.release()


@contextlib.contextmanager
def listening(path: Path | None) -> Iterator[socket.socket]:
    """Listen at a path with mode 0600, or on the socket that systemd has made for this process.

    A socket of systemd is how a process of another user can be let in: `SocketUser=` of the unit is the one who may
    connect.

    Args:
        path: The socket to make, removed afterwards; None takes the one of systemd.

    Raises:
        ConfigurationError: Something else is at `path`, another station listens there, no socket can be made there, or
            there is no socket of systemd.
    """
    if path is None:
        with _inherited() as listener:
            yield listener
        return
    _check_free(path)
    with _unix_socket() as listener:
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        except OSError as error:
            raise ConfigurationError(
                f"{path}: expected a path at which a socket can be made, found: {error.strerror or error}. Make its "
                "folder, or name a shorter path in a folder that may be written."
            ) from None
        finally:
            os.umask(mask)
        try:
            listener.listen()
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _unix_socket() -> socket.socket:
    """Return a new Unix socket.

    Raises:
        ConfigurationError: Python has no Unix sockets on this system, as on Windows.
    """
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise ConfigurationError(
            "resident station: expected a system with Unix sockets, found none. Run the station on Linux or macOS."
        )
    return socket.socket(family, socket.SOCK_STREAM)


def _inherited() -> socket.socket:
    """Return the socket that systemd has passed on (sd_listen_fds(3))."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        raise ConfigurationError(
            "socket: expected a path, or one socket from systemd, found neither. Use --socket, or start the station by "
            "a socket unit."
        )
    listener = socket.socket(fileno=_FIRST_INHERITED)
    listener.setblocking(True)
    if listener.family.name != "AF_UNIX" or not isinstance(listener.getsockname(), str):
        listener.close()
        raise ConfigurationError(
            "socket: expected a Unix socket at a path from systemd, found another kind. Set ListenStream= to a path."
        )
    return listener


def _check_free(path: Path) -> None:
    """Remove the socket of a station that was killed.

    Raises:
        ConfigurationError: Something else is at the path, or a station listens there.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigurationError(f"socket: expected nothing at {path}, found a file. Choose another path.")
    with _unix_socket() as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ConfigurationError(f"socket: expected nothing at {path}, found a process that listens there. Stop it first.")


def is_owner(connection: socket.socket, owner: int) -> bool:
    """Return whether the peer is the user `owner`; True where the system does not name the peer's user."""
    kind = getattr(socket, "SO_PEERCRED", None)
    if kind is None:
        return True
    _, user, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, kind, _PEER.size))
    return bool(user == owner)


def _wait_after(error: Exception) -> None:
    """Log that a connection was lost for lack of resources, and wait, since the next one may fail at once too."""
    LOGGER.warning("a connection to the resident station could not be answered: %s", type(error).__name__)
    time.sleep(_PAUSE_S)


def _send(connection: socket.socket, data: bytes) -> None:
    connection.sendall(_LENGTH.pack(len(data)))
    if data:  # The peer may have replied to the length 0 and closed; sending nothing would then be an error.
        connection.sendall(data)


def _received(connection: socket.socket, *, limit: int, until: float) -> bytes:
    """Return what follows its own length.

    Raises:
        ValueError: The length is above the limit; nothing of it has been read.
        OSError: The connection has ended before, or it takes longer than until then.
    """
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size, until=until))
    if length > limit:
        raise ValueError("a message that is longer than the limit")
    return bytes(_exactly(connection, length, until=until))


def _exactly(connection: socket.socket, length: int, *, until: float) -> bytearray:
    """Return `length` bytes. Memory is taken for those that have arrived, and not for those that were promised."""
    data = bytearray()
    while len(data) < length:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        part = connection.recv(min(length - len(data), _PIECE_BYTES))
        if not part:
            raise ConnectionResetError
        data += part
    return data
