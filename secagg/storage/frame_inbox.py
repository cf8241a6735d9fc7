"""Replies that arrive in frames: each is written to a file of its own, and taken in once all of it is there.

So the server needs no memory for a reply. A party that stops in the middle, or sends a frame that is not the next one,
has changed nothing, and is missing like any other dropout. A file has no name, so whatever ends the process leaves
nothing behind. If a server restarts in the middle of a session, begin a new session under the same context. (With
`SeedSum`, it must have the same contributors if a member has signed their list.)

There is one open file for each party that is sending. `SeedSum` keeps the clients' files open until the contributors
are fixed, and the members' files until the end: allow the process as many open files (`ulimit -n`).
"""

import mmap
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from protocols.errors import RefusedFrame
from protocols.frames import FrameReader
from protocols.machine import Server


@dataclass(slots=True)
class _Spool:
    """A reply that is arriving.

    Attributes:
        turn: The server's turn.
        reader: What checks its frames.
        file: The file with the frames so far.
        earlier: The reader of a reply to the same step that had begun when the server asked once more; None without
            one. Frames that continue it are late.
    """

    turn: int
    reader: FrameReader
    file: IO[bytes]
    earlier: FrameReader | None

    def is_late(self, frame: bytes) -> bool:
        """Return whether a frame is the next one of the earlier reply."""
        if self.earlier is None:
            return False
        try:
            self.earlier.take(frame)
        except RefusedFrame:
            self.earlier = None
            return False
        return True


class FrameInbox:
    """The frames that parties send to one server; close it after use.

    Args:
        server: The server, in whose place `add` calls `receive`.
        folder: Where replies are spooled. It needs room for all of them.
    """

    def __init__(self, server: Server, folder: Path) -> None:
        self._server, self._folder = server, folder
        self._spools = dict[int, _Spool]()

    def add(self, sender: int, frame: bytes) -> bool:
        """Take one frame; the driver vouches for the sender's id.

        Frames that continue a reply to an earlier request of the same step are dropped: they came too late.

        Returns:
            Whether it was the last one, so that the server has taken in the reply.

        Raises:
            OrderError, ParameterError: As for `Server.receive`.
            RefusedFrame: It is not the next frame of this party's reply. The party is missing until the server asks
                again.
            RemoteError: As for `Server.receive`; the step goes on.
            OSError: The folder has no room. The party's reply is dropped.
        """
        spool = self._spool(sender, frame)
        if spool.is_late(frame):
            return False
        try:
            spool.file.write(spool.reader.take(frame))
        except RefusedFrame:
            spool.file.close()  # The reader stays, and refuses what follows.
            raise
        except BaseException:
            self._drop(sender)
            raise
        if not spool.reader.complete:
            return False
        try:
            spool.file.flush()
            reply = memoryview(mmap.mmap(spool.file.fileno(), 0, access=mmap.ACCESS_READ))
        finally:
            self._drop(sender)
        self._server.receive(sender, reply)
        return True

    def _spool(self, sender: int, frame: bytes) -> _Spool:
        """Return the reply that a frame belongs to: the one that has begun, unless the server asks for another now.

        A party sends its replies one after the other, so there is one for each party. With batches, a reply to the
        first step is not over when the step is.
        """
        turn, reader, spool = self._server.turn, self._server.frames(sender, frame), self._spools.get(sender)
        earlier: FrameReader | None = None
        if spool is not None and spool.reader.step == reader.step:
            if reader.step == 0 and not spool.reader.refused:
                spool.turn = turn
            if spool.turn == turn:
                return spool
            earlier = spool.reader if spool.reader.begun else None
        self._drop(sender)
        file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # It is closed when the reply is dropped.
        spool = self._spools[sender] = _Spool(turn, reader, file, earlier)
        return spool

    def _drop(self, sender: int) -> None:
        spool = self._spools.pop(sender, None)
        if spool is not None:
            spool.file.close()

    def close(self) -> None:
        """Drop all replies that are not complete."""
        for sender in tuple(self._spools):
            self._drop(sender)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
