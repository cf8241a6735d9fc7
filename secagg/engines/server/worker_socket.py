"""The socket between a server and a worker in another process: messages of any length, without pickles.

`multiprocessing.Connection` reads a long message into memory that it allocates anew for every piece that arrives. For a
vector of a million coordinates that takes longer than everything else of the transport together.
"""

import socket
from typing import Final

_LENGTH_BYTES: Final = 8


class MessageSocket:
    """One end of a connected pair of sockets. A message is its length, and its bytes.

    Args:
        end: The end; it is closed with this object.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._buffer = bytearray(_LENGTH_BYTES)

    def send(self, message: bytes) -> None:
        """Send a message.

        Raises:
            OSError: The other end is closed.
        """
        self._end.sendall(len(message).to_bytes(_LENGTH_BYTES, "big"))
        self._end.sendall(message)

    def receive(self) -> memoryview:
        """Return the next message, in memory that the message after it overwrites.

        Raises:
            EOFError: The other end is closed.
            OSError: The socket cannot be read.
        """
        return self._read(int.from_bytes(self._read(_LENGTH_BYTES), "big"))

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    def _read(self, size: int) -> memoryview:
        """Return the next bytes. The buffer is used again: memory that is new to a process takes time to get."""
        if len(self._buffer) < size:
            self._buffer = bytearray(size)
        wanted, at = memoryview(self._buffer)[:size], 0
        while at < size:
            read = self._end.recv_into(wanted[at:], 0, socket.MSG_WAITALL)
            if not read:
                raise EOFError
            at += read
        return wanted
