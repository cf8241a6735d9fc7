"""The recorder of a transcript: it writes the server's view of one sum after another into one file.

A driver calls `begin` with the protocol and the session, `message` with every message in the order in which the server
sends or receives them, and `end` or `withhold` with the result. It needs no clock, and no engine is known here.

A transcript holds what the server sees and nothing else: no secret of a client that the protocol keeps from the server.
But it holds all that the server sees. With a protocol that protects nobody this is every client's vector, and if the
server adds the noise, it is the exact sum. Shares that clients reveal and attached secrets that are opened are part of
what the server sees. Only the file's owner can read it.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from dp.version import SOFTWARE, VERSION
from protocols import packing
from protocols.errors import RemoteError, TooFewSurvivors
from protocols.secure_sum import Finish, SecureSum
from protocols.session import Session
from protocols.simulate import Transmission
from secagg.errors import TranscriptError, TranscriptTruncated
from secagg.transcripts.chain import GENESIS, framed
from secagg.transcripts.description import describe
from secagg.transcripts.reader import TranscriptReader, opened_bytes
from secagg.transcripts.records import (
    FORMAT,
    WITHHOLDING,
    FileHeader,
    Kind,
    MessageRecord,
    Record,
    SumRecord,
    WithheldRecord,
    encode,
    joined,
    reason_of,
)

_SOFTWARE: Final = f"{SOFTWARE} {VERSION}"[:64]


class Recorder:
    """The writer of one transcript; a context manager.

    After the first failure it writes nothing more, so the file ends at that record. One thread at a time may use it.

    Attributes:
        path: The file.
        head: The digest of the last record, 32 bytes; keep it elsewhere.
    """

    def __init__(self, path: Path, file: BinaryIO, *, head: bytes, size: int) -> None:
        self.path = path
        self.head = head
        self._file = file
        self._size = size
        self._session: Session | None = None
        self._steps: dict[str, int] = {}
        self._limit = 0

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a new file that only its owner can read, and return its recorder.

        Raises:
            TranscriptError: The file exists already, or cannot be made.
        """
        cls.check_new(path)
        try:
            file = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _BINARY, 0o600), "wb")
        except OSError as error:
            raise _unusable(path, error) from None
        recorder = cls(path, file, head=GENESIS, size=0)
        try:
            recorder._append(FileHeader(FORMAT, _SOFTWARE))
            recorder._sync()
        except BaseException:
            recorder.close()
            raise
        return recorder

    @staticmethod
    def check_new(path: Path) -> None:
        """Refuse a path at which there is a file already.

        Raises:
            TranscriptError: There is one.
        """
        if os.path.lexists(path):
            raise TranscriptError(
                f"{path}: expected no file before a new transcript, found one. Name another file, or move it away."
            )

    @classmethod
    def resume(cls, path: Path) -> Self:
        """Return a recorder that appends to a transcript, after its whole chain was checked.

        A last record that is not whole, as a crash leaves it, is cut off first. A session without a result stays so.

        Raises:
            TranscriptError: There is no such file, it is not a transcript, was altered, or cannot be written.
        """
        with TranscriptReader(path) as reader, contextlib.suppress(TranscriptTruncated):
            for _ in reader:
                pass
        if not reader.count:  # The process ended before the first record was whole.
            path.unlink()
            return cls.create(path)
        try:
            file = path.open("r+b")
            file.truncate(reader.position)
            file.seek(reader.position)
        except OSError as error:
            raise _unusable(path, error) from None
        return cls(path, file, head=reader.head, size=reader.position)

    def begin(self, protocol: SecureSum, session: Session) -> None:
        """Begin the record of a session. One that has not ended before stays without a result.

        Raises:
            ConfigurationError: Protocol and session could not be made again from a record.
            TranscriptError: The file cannot be written.
        """
        self._session = None
        self._append(describe(protocol, session))
        self._steps = {row.name: number for number, row in enumerate(protocol.steps)}
        self._limit = protocol.message_limit(session)
        self._session = session

    def message(self, message: Transmission) -> None:
        """Record a message; a reply after the server has accepted or refused it.

        A refused reply that is longer than any message may be is cut to one byte above that length, at which it would
        be refused too.

        Raises:
            TranscriptError: No session has begun, the message is not one of it, or the file cannot be written.
        """
        self._open_session()
        party = message.receiver if message.sender is None else message.sender
        if message.step not in self._steps or party is None:
            raise TranscriptError(
                f"{self.path}: expected a message of a step of the session, between a party and the server, found one "
                f"of step {message.step!r}. Call `begin` with the protocol that is run."
            )
        kind = Kind.REQUEST if message.sender is None else Kind.REFUSED if message.refused else Kind.REPLY
        data = message.data[: self._limit + 1] if kind is Kind.REFUSED else message.data
        self._append(MessageRecord(self._steps[message.step], party, kind, data))

    def end(self, result: Finish) -> None:
        """Record the sum of the session, and return when all of the session is on the disk.

        Raises:
            TranscriptError: No session has begun, the result is not one of it, or the file cannot be written.
        """
        self._append(self._sum(self._open_session(), result))
        self._sync()
        self._session = None

    def withhold(self, error: TooFewSurvivors | RemoteError) -> None:
        """Record the error with which the server has ended the session without a sum, by its class alone.

        Raises:
            TranscriptError: No session has begun, or the file cannot be written.
        """
        self._open_session()
        self._append(WithheldRecord(reason_of(error)))
        self._sync()
        self._session = None

    @contextlib.contextmanager
    def session(self, protocol: SecureSum, session: Session) -> Iterator[Callable[[Transmission], None]]:
        """Return a context for one session, which gives `message`; call `end` with the result inside it.

        If an error ends the session inside the context, and it is one of the server's, it is recorded and raised again.
        """
        self.begin(protocol, session)
        try:
            yield self.message
        except WITHHOLDING as error:
            if self._session is not None:
                self.withhold(error)
            raise

    def close(self) -> None:
        """Release the file. Closing twice is harmless."""
        with contextlib.suppress(OSError):
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _open_session(self) -> Session:
        if self._session is None:
            raise TranscriptError(f"{self.path}: expected a session that has begun, found none. Call `begin` first.")
        return self._session

    def _sum(self, session: Session, result: Finish) -> SumRecord:
        try:
            if result.total.shape != (session.length,):
                raise ValueError(f"a sum of shape {result.total.shape}")
            return SumRecord(
                packing.pack(result.total, session.modulus),
                joined(result.contributors),
                opened_bytes(result, len(session.attached)),
            )
        except (ValueError, OverflowError) as error:
            raise TranscriptError(
                f"{self.path}: expected a sum of {session.length} coordinates below the session's modulus, and ids of "
                f"its contributors, found another: {error}"
            ) from None

    def _append(self, record: Record) -> None:
        """Write a record to its end, unless somebody else has written to the file."""
        if self._file.closed:
            raise TranscriptError(f"{self.path}: expected an open transcript, found it closed. Open it again.")
        try:
            frame, digest = framed(self.head, encode(record))
            if os.fstat(self._file.fileno()).st_size != self._size:
                raise TranscriptError(
                    f"{self.path}: expected to be the only writer, found that the file has changed. Record into "
                    "another file."
                )
            self._file.write(frame)
            self._file.flush()
            self.head, self._size = digest, self._size + len(frame)
        except OSError as error:
            self.close()
            raise _unusable(self.path, error) from None
        except BaseException:
            self.close()
            raise

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self.close()
            raise _unusable(self.path, error) from None


_BINARY: Final = getattr(os, "O_BINARY", 0)  # Windows changes line ends in files without it.


def _unusable(path: Path, error: OSError) -> TranscriptError:
    return TranscriptError(f"{path}: cannot be written: {error.strerror}. Choose another file, or free the disk.")
