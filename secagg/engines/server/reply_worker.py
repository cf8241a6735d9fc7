"""A process that takes in replies to the first step of a session, for a server that has too many of them for one core.

It has a machine of the protocol's server of its own. What it holds is a sum of masked vectors and a list of encrypted
contributions, which nobody can open without the committee; see `SecureSum.shards`. At the end it gives a snapshot,
which the server merges. Parent and worker talk through a `MessageSocket`:

- `BEGIN`, then the key of the snapshot, the serial and the session as a record: a new session replaces the last one.
- `REPLY` and the sender's id, and the reply in a message of its own. The answer is what became of it, in MessagePack.
- `SNAPSHOT`: the answer is the machine's snapshot, and the session has ended.
"""

import os
import signal
import socket
import time
from typing import Final

import msgspec

from protocols.crypto.secret import Secret
from protocols.machine import Server
from secagg.engines.server.reply_intake import ReplyIntake
from secagg.engines.server.worker_socket import MessageSocket
from secagg.transcripts.description import rebuild
from secagg.transcripts.records import SessionHeader, decode

BEGIN: Final = b"B"
REPLY: Final = b"R"
SNAPSHOT: Final = b"S"
KEY_BYTES: Final = 32
SERIAL_BYTES: Final = 8
ID_BYTES: Final = 4


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """What became of one reply.

    Attributes:
        code: Why it was dropped; None if the machine has accepted it.
        given: Whether the machine was given its message.
        last: The last serial of a node that refuses the session as an old one; otherwise 0.
        seconds: How long it took.
    """

    code: str | None
    given: bool
    last: int
    seconds: float


class _Session:
    """The machine of one session, and its intake."""

    def __init__(self, data: memoryview) -> None:
        self._key = Secret(bytes(data[:KEY_BYTES]))
        serial = int.from_bytes(data[KEY_BYTES : KEY_BYTES + SERIAL_BYTES], "big")
        header = decode(bytes(data[KEY_BYTES + SERIAL_BYTES :]))
        if not isinstance(header, SessionHeader):
            raise TypeError("session: expected its record, found another one")
        protocol, session = rebuild(header)
        self._server = Server(protocol, session)
        asked = frozenset(self._server.start().requests)
        limit = protocol.reply_limit(session, 0)
        self._intake = ReplyIntake(server=self._server, asked=asked, serial=serial, number=0, limit=limit)

    def take(self, sender: int, data: memoryview) -> Verdict:
        """Take in a reply, and return what became of it."""
        begun = time.perf_counter()
        (taken,) = self._intake.take(sender, data)
        return Verdict(taken.code, taken.body is not None, taken.last, time.perf_counter() - begun)

    def snapshot(self) -> bytes:
        """Return the machine's snapshot."""
        return self._server.snapshot(self._key, entropy=os.urandom)


def work(end: socket.socket) -> None:
    """Serve a parent until it closes its end of the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes, and the parent decides what to do.
    parent = MessageSocket(end)
    session: _Session | None = None
    while True:
        try:
            message = parent.receive()
        except EOFError:
            return
        kind = bytes(message[:1])
        if kind == BEGIN:
            session = _Session(message[1:])
        elif session is None:
            raise RuntimeError("expected the beginning of a session, found another message")
        elif kind == REPLY:
            sender = int.from_bytes(message[1:], "big")  # The next message takes its place.
            verdict = session.take(sender, parent.receive())
            parent.send(msgspec.msgpack.encode(verdict))
        else:
            parent.send(session.snapshot())
            session = None
