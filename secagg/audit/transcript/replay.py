"""The replay of a whole transcript: every session into a fresh server, and the checks that need no second run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from protocols.errors import ParameterError
from protocols.identity import Roster
from protocols.session import Session
from secagg.audit.transcript.catalogue import HEAD, RECORDS, ROSTER, SIGNATURES, STATEMENTS, CheckResult, Notes
from secagg.audit.transcript.freshness import Freshness
from secagg.audit.transcript.session import SessionReplay
from secagg.errors import TranscriptAltered, TranscriptTruncated
from secagg.transcripts.chain import kept_head
from secagg.transcripts.reader import Recorded, RecordedEnd, RecordedMessage, RecordedSession, TranscriptReader


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptReplay:
    """What the replay of a transcript has found.

    Attributes:
        software: The software that began the file.
        sessions: The number of sessions that were read.
        messages: The number of messages that were read.
        head: The digest of the last record that was read, in hexadecimal.
        checks: The result of every check, in the order of `catalogue.STATEMENTS`.
    """

    software: str
    sessions: int
    messages: int
    head: str
    checks: tuple[CheckResult, ...]

    @property
    def rejected(self) -> bool:
        """Whether any check has found something that contradicts its statement."""
        return any(check.rejected for check in self.checks)


def replay(path: Path, *, head: str | None = None, roster: Roster | None = None) -> TranscriptReplay:
    """Replay every session of a transcript into a fresh server, and check all that needs no second run.

    Memory grows by some hundred bytes for each public key and each masked vector in the file; apart from that, one
    message and the state of one server are in memory.

    Args:
        path: The transcript.
        head: The digest of a record that was kept elsewhere, 64 hexadecimal digits.
        roster: The identities of the clients, from a source other than the server. It may have more clients.

    Raises:
        ConfigurationError: The head is not 64 hexadecimal digits.
        TranscriptError: There is no such file, or it is not a transcript.
        UnknownProtocol: A protocol in it is not registered.
        BrokenProtocol: A registered protocol cannot be used.
    """
    kept = None if head is None else kept_head(head)
    with TranscriptReader(path, kept=kept) as reader:
        replaying = _Replaying(roster)
        for each in replaying.whole(reader):
            replaying.take(each)
        replaying.finish()
        if kept is None:
            replaying.notes.not_tested(HEAD, "no head was given")
        elif not reader.has_kept:
            replaying.notes.found(HEAD, "no record that was read has the digest that was kept")
        return TranscriptReplay(
            software=reader.software,
            sessions=replaying.sessions,
            messages=replaying.messages,
            head=reader.head.hex(),
            checks=replaying.notes.results(),
        )


class _Replaying:
    """A replay under way."""

    def __init__(self, roster: Roster | None) -> None:
        self.notes = Notes()
        self.sessions = self.messages = 0
        self._roster = roster
        self._freshness = Freshness(self.notes)
        self._open: SessionReplay | None = None
        self._is_signed = False

    def whole(self, reader: TranscriptReader) -> Iterator[Recorded]:
        """Yield all that can be read, and note what cannot."""
        try:
            yield from reader
        except (TranscriptAltered, TranscriptTruncated) as error:
            self.notes.found(RECORDS, str(error))
            for check in STATEMENTS:
                self.notes.not_tested(check, f"nothing after the first {reader.count} records was tested")

    def take(self, each: Recorded) -> None:
        """Take in what the next record holds."""
        match each:
            case RecordedSession():
                self._begin(each)
            case RecordedMessage():
                self.messages += 1
                if self._open is not None:
                    self._open.message(each)
            case RecordedEnd():
                if self._open is not None:
                    self._open.end(each)
                self._open = None

    def finish(self) -> None:
        """Note what holds of the file as a whole."""
        if self._open is not None:
            self._open.unfinished()
        if not self._is_signed:
            self.notes.not_tested(SIGNATURES, "no session has a roster")
        if self._roster is None:
            self.notes.not_tested(ROSTER, "no roster was given")
        if not self.sessions:
            for check in STATEMENTS:
                if check not in (RECORDS, HEAD):
                    self.notes.not_tested(check, "the transcript has no session")

    def _begin(self, begun: RecordedSession) -> None:
        if self._open is not None:
            self._open.unfinished()
        self.sessions += 1
        self._is_signed = self._is_signed or begun.session.roster is not None
        self._check_roster(begun.number, begun.session)
        self._open = SessionReplay(begun, notes=self.notes, freshness=self._freshness)

    def _check_roster(self, number: int, session: Session) -> None:
        if self._roster is None:
            return
        if session.roster is None:
            self.notes.found(ROSTER, f"session {number}: it has no roster")
            return
        try:
            expected = self._roster.of(session.clients)
        except ParameterError as error:
            self.notes.found(ROSTER, f"session {number}: {error}")
            return
        if expected != session.roster:
            self.notes.found(ROSTER, f"session {number}: its roster has other keys")
