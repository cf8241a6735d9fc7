"""The reader of a transcript: its sessions, messages and results in order, one record in memory at a time.

Nothing in the file is trusted. A length is bounded by the session and by what is left of the file. Nothing is executed
or unpickled. A protocol that is named in the file is loaded only if it is registered.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from protocols import packing
from protocols.crypto.secret import Secret
from protocols.secure_sum import Finish, SecureSum
from protocols.session import ATTACHED_BYTES, Session
from secagg.errors import TranscriptError
from secagg.transcripts.chain import FrameReader
from secagg.transcripts.description import rebuild
from secagg.transcripts.records import (
    FileHeader,
    Kind,
    MessageRecord,
    Reason,
    Record,
    SessionHeader,
    SumRecord,
    WithheldRecord,
    decode,
    separated,
)

MAX_HEADER_BYTES: Final = 2**26
"""The largest number of bytes of a session's header. One with a million clients and a roster has 36 MB."""

_MESSAGE_OVERHEAD: Final = 64  # Tag, step, party, kind, and the header of the bytes.
_LARGEST_UNSENT_BYTES: Final = 2**30  # The largest packed vector of a session of which no vector need be in the file.


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSession:
    """The beginning of a session.

    Attributes:
        number: The number of the session in the file, from 1.
        protocol: The protocol, made again.
        session: The session, made again.
        digest: The digest that was recorded.
    """

    number: int
    protocol: SecureSum
    session: Session
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedMessage:
    """One message.

    Attributes:
        step: The number of its step.
        party: The party that receives a request or sends a reply.
        kind: What it is.
        data: Its bytes.
    """

    step: int
    party: int
    kind: Kind
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEnd:
    """The end of a session.

    Attributes:
        result: The sum; None if the server released none.
        reason: Why the server released no sum; None if there is one.
    """

    result: Finish | None = field(default=None, repr=False)
    reason: Reason | None = None


Recorded = RecordedSession | RecordedMessage | RecordedEnd


class TranscriptReader:
    """An iterator over what a transcript holds, each record checked against the chain; a context manager.

    Args:
        path: The file.
        kept: The digest of a record that somebody has kept, to find that record.

    Attributes:
        software: The software that began the file; empty before it is known.
        has_kept: Whether the record of the kept digest was read.
        head: The digest of the last record that was read, 32 bytes.
        count: The number of records that were read.
        position: The number of bytes of these records.

    Raises:
        TranscriptError: There is no such file, or it is not a transcript.
        TranscriptAltered: While it is read: a record is not as a recorder writes it.
        TranscriptTruncated: While it is read: the last record is not whole.
        UnknownProtocol: While it is read: a protocol is not registered.
        BrokenProtocol: While it is read: a registered protocol cannot be used.
    """

    def __init__(self, path: Path, *, kept: bytes | None = None) -> None:
        try:
            self._file = path.open("rb")
            size = self._file.seek(0, 2)
            self._file.seek(0)
        except OSError as error:
            raise TranscriptError(f"{path}: cannot be read: {error.strerror}. Check the path.") from None
        self.software = ""
        self.has_kept = False
        self._kept = kept
        self._frames = FrameReader(self._file, size, name=str(path))
        self._size = size
        self._sessions = 0
        self._open: RecordedSession | None = None
        self._longest = 0  # Of the open session's messages, in bytes.
        self._limit = MAX_HEADER_BYTES

    @property
    def head(self) -> bytes:
        """The digest of the last record that was read, 32 bytes."""
        return self._frames.head

    @property
    def count(self) -> int:
        """The number of records that were read."""
        return self._frames.count

    @property
    def position(self) -> int:
        """The number of bytes of the records that were read."""
        return self._frames.position

    def close(self) -> None:
        """Release the file. Closing twice is harmless."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Iterator[Recorded]:
        """Yield every session, message and end that is left in the file."""
        while (body := self._next()) is not None:
            try:
                record = decode(body)
            except ValueError:
                raise self._frames.altered("a record of this format, found other bytes") from None
            del body
            found = self._recorded(record)
            if found is not None:
                yield found

    def _next(self) -> bytes | None:
        try:
            body = self._frames.next(self._limit)
        except OSError as error:
            raise TranscriptError(f"transcript: cannot be read: {error.strerror}. Copy it to another disk.") from None
        self.has_kept = self.has_kept or self.head == self._kept
        return body

    def _recorded(self, record: Record) -> Recorded | None:
        if isinstance(record, FileHeader) != (self.count == 1):
            raise self._frames.altered("the file's header first and nowhere else, found another order")
        match record:
            case FileHeader():
                self.software = record.software
                return None
            case SessionHeader():
                self._open = self._begun(record)
                return self._open
            case MessageRecord():
                return self._message(self._within(), record)
            case SumRecord():
                return self._ended(self._within(), record)
            case WithheldRecord():
                self._within()
                self._open = None
                return RecordedEnd(reason=record.reason)

    def _within(self) -> RecordedSession:
        if self._open is None:
            raise self._frames.altered("the header of a session, found a message or a result without one")
        return self._open

    def _begun(self, header: SessionHeader) -> RecordedSession:
        largest = max(self._size, _LARGEST_UNSENT_BYTES)
        if header.length * header.highest.bit_length() > 8 * largest:
            raise self._frames.altered(f"vectors of at most {largest} bytes, found a session of longer ones")
        try:
            protocol, session = rebuild(header)
        except TranscriptError as error:
            raise self._frames.altered(f"a session that can be made again, found another: {error}") from None
        self._sessions += 1
        self._longest = protocol.message_limit(session)
        self._limit = max(MAX_HEADER_BYTES, _session_limit(protocol, session))
        return RecordedSession(number=self._sessions, protocol=protocol, session=session, digest=header.digest)

    def _message(self, within: RecordedSession, record: MessageRecord) -> RecordedMessage:
        limit = self._longest + (record.kind is Kind.REFUSED)
        if len(record.data) > limit:
            raise self._frames.altered(f"a message of at most {limit} bytes, found {len(record.data)}")
        if record.step >= len(within.protocol.steps):
            raise self._frames.altered(f"a step of {within.protocol.name}, found number {record.step}")
        return RecordedMessage(step=record.step, party=record.party, kind=record.kind, data=record.data)

    def _ended(self, within: RecordedSession, record: SumRecord) -> RecordedEnd:
        session = within.session
        try:
            contributors = separated(record.contributors)
            total = packing.unpack(record.total, session.length, session.modulus)
            attached = _opened(record.opened, contributors, len(session.attached))
        except ValueError as error:
            raise self._frames.altered(f"a sum of the session, found another: {error}") from None
        self._open = None
        return RecordedEnd(result=Finish(total.astype(np.uint64, copy=False), contributors, attached))


def _session_limit(protocol: SecureSum, session: Session) -> int:
    """Return the largest number of bytes of a record of a message or of a sum of a session."""
    message = protocol.message_limit(session) + 1
    opened = (4 + (1 + ATTACHED_BYTES) * len(session.attached)) * len(session.clients)
    return max(message, packing.packed_bytes(session.length, session.modulus) + opened) + _MESSAGE_OVERHEAD


def opened_bytes(result: Finish, attached: int) -> bytes:
    """Return which of its attached secrets each contributor has opened, and these secrets: see `SumRecord`."""
    none: tuple[Secret | None, ...] = (None,) * attached
    found = [each for client in result.contributors for each in result.attached.get(client, none)]
    return b"".join(bytes(1 + ATTACHED_BYTES) if each is None else b"\1" + each.reveal() for each in found)


def _opened(data: bytes, contributors: tuple[int, ...], attached: int) -> dict[int, tuple[Secret | None, ...]]:
    size = 1 + ATTACHED_BYTES
    if len(data) != size * attached * len(contributors):
        raise ValueError(f"expected {size * attached * len(contributors)} bytes of attached secrets, found {len(data)}")
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    if any(part[0] > 1 or (not part[0] and any(part)) for part in parts):
        raise ValueError("expected attached secrets that were opened or not, found another value")
    each = [Secret(part[1:]) if part[0] else None for part in parts]
    return {client: tuple(each[i * attached : (i + 1) * attached]) for i, client in enumerate(contributors) if attached}
