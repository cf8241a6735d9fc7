"""One session of a transcript, replayed into a fresh server, which gets the recorded replies in the recorded order.

The servers of this package draw no randomness, so all that a fresh one does must be what was recorded, byte for byte.
"""

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np

from protocols.codec import Codec
from protocols.errors import NotSigned, RemoteError
from protocols.machine import Continue, Server
from protocols.registry import describe_error
from protocols.secure_sum import Finish
from secagg.audit.transcript.catalogue import (
    COUNTS,
    DIGEST,
    ENVELOPES,
    REPLIES,
    REQUESTS,
    RESULT,
    SIGNATURES,
    THRESHOLD,
    Notes,
)
from secagg.audit.transcript.freshness import Freshness
from secagg.transcripts.reader import RecordedEnd, RecordedMessage, RecordedSession, opened_bytes
from secagg.transcripts.records import WITHHOLDING, Kind, Reason, reason_of

_REPLAYED: Final = (ENVELOPES, COUNTS, REQUESTS, REPLIES, SIGNATURES, RESULT)
_SHOWN: Final = 5


class SessionReplay:
    """The replay of one session; a session whose digest is not the recorded one is not replayed.

    Args:
        begun: The session.
        notes: Where findings are noted.
        freshness: Takes in every accepted reply.
    """

    def __init__(self, begun: RecordedSession, *, notes: Notes, freshness: Freshness) -> None:
        self._begun, self._notes, self._freshness = begun, notes, freshness
        protocol, session = begun.protocol, begun.session
        self._steps = protocol.steps
        self._codec = Codec(
            protocol.digest(session),
            protocol.message_limit(session),
            protocol.list_limit(session),
            wire=protocol.wire,
        )
        self._server: Server | None = None
        self._number = 0
        self._requests: Mapping[int, bytes] = {}
        self._requested: set[int] = set()
        self._reason: Reason | None = None
        self._result: Finish | None = None
        freshness.begin(begun)
        if protocol.digest(session) != begun.digest:
            self._note(DIGEST, "its protocol and fields have another digest than the recorded one")
            for check in _REPLAYED:
                notes.not_tested(check, f"session {begun.number}: its fields are not those of the recorded digest")
        else:
            self._start()

    def message(self, message: RecordedMessage) -> None:
        """Replay one message."""
        if self._server is None:
            return
        if message.kind is Kind.REQUEST and (message.step == self._number + 1 or self._is_again(message)):
            self._advance()
        if message.step != self._number or not self._is_open:
            self._note(COUNTS, f"{self._what(message)}: the fresh server is not in this step")
        elif message.kind is Kind.REQUEST:
            self._request(message)
        else:
            self._reply(message)

    def end(self, end: RecordedEnd) -> None:
        """Compare the result with the recorded one."""
        if end.result is not None:
            self._check_threshold(end.result)
        if self._server is None:
            return
        if self._is_open:
            self._advance()
        if self._is_open:
            self._note(RESULT, f"it ends with a result, but the fresh server goes on to {self._step}")
        elif end.result is None:
            self._compare_reason(end.reason)
        elif self._result is None:
            self._note(RESULT, f"it ends with a sum, but the fresh server releases none ({self._reason})")
        else:
            self._compare(self._result, end.result)

    def unfinished(self) -> None:
        """Note that the session has no result."""
        for check in (RESULT, THRESHOLD):
            self._notes.not_tested(check, f"session {self._begun.number}: its recording ends before its result")

    @property
    def _is_open(self) -> bool:
        return self._result is None and self._reason is None

    @property
    def _step(self) -> str:
        return str(self._steps[self._number].name)

    def _start(self) -> None:
        try:
            server = Server(self._begun.protocol, self._begun.session)
            self._requests = server.start().requests
        except Exception as error:  # noqa: BLE001  # A server of other people's may fail in any way.
            self._note(RESULT, f"no fresh server can be made: {describe_error(error)}")
            return
        self._server = server

    def _is_again(self, message: RecordedMessage) -> bool:
        """Return whether a request begins its step once more, since everyone was asked before it."""
        repeats: bool = self._steps[message.step].repeats
        return repeats and message.step == self._number and self._requested >= self._requests.keys()

    def _request(self, message: RecordedMessage) -> None:
        self._check_envelope(message)
        if message.party not in self._requests or message.party in self._requested:
            found = "is asked twice" if message.party in self._requested else "is not asked by the fresh server"
            self._note(COUNTS, f"{self._what(message)}: this party {found}")
            return
        self._requested.add(message.party)
        if self._requests[message.party] != message.data:
            self._note(REQUESTS, f"{self._what(message)}: the fresh server's request has other bytes")

    def _reply(self, message: RecordedMessage) -> None:
        refusal = self._refusal(message)
        if message.kind is Kind.REFUSED:
            if refusal is None:
                self._note(REPLIES, f"{self._what(message)}: it was refused, but the fresh server accepts it")
            return
        self._check_envelope(message)
        if refusal is None:
            row = self._steps[message.step]
            decoded = self._codec.decode(message.step, row.reply, message.data)
            self._freshness.reply(row.name, message.party, decoded)
            return
        self._note(REPLIES, f"{self._what(message)}: it was accepted, but the fresh server refuses it")
        if isinstance(refusal, NotSigned):
            self._note(SIGNATURES, f"{self._what(message)}: it is not signed by this party")

    def _refusal(self, message: RecordedMessage) -> Exception | None:
        """Give the fresh server a reply, and return the error with which it refuses the reply; None if it accepts."""
        if self._server is None:
            return None
        try:
            self._server.receive(message.party, message.data)
        except RemoteError as error:
            return error
        except Exception as error:  # noqa: BLE001  # A server of other people's may fail in any way.
            self._note(REPLIES, f"{self._what(message)}: the fresh server fails: {describe_error(error)}")
            return error
        return None

    def _advance(self) -> None:
        """End the step at the fresh server."""
        if self._server is None or not self._is_open:
            return
        if missing := self._requests.keys() - self._requested:
            self._note(COUNTS, f"step {self._step}: no request is recorded to {_parties(missing)}")
        try:
            progress = self._server.advance()
        except WITHHOLDING as error:
            self._reason = reason_of(error)
            return
        except Exception as error:  # noqa: BLE001  # A server of other people's may fail in any way.
            self._note(RESULT, f"step {self._step}: the fresh server fails: {describe_error(error)}")
            self._server = None
            return
        if isinstance(progress, Continue):
            self._number = [row.name for row in self._steps].index(progress.step)
            self._requests, self._requested = progress.requests, set()
        else:
            self._result = progress

    def _check_envelope(self, message: RecordedMessage) -> None:
        if not self._codec.is_of(message.step, message.data):
            self._note(ENVELOPES, f"{self._what(message)}: it belongs to another session or step")

    def _check_threshold(self, result: Finish) -> None:
        session, contributors = self._begun.session, result.contributors
        if len(set(contributors)) < session.threshold:
            self._note(THRESHOLD, f"expected at least {session.threshold} contributors, found {len(set(contributors))}")
        if strangers := set(contributors) - set(session.clients):
            self._note(THRESHOLD, f"{_parties(strangers)} contributed and are not its clients")

    def _compare_reason(self, recorded: Reason | None) -> None:
        if self._result is not None:
            self._note(RESULT, f"it ends without a sum ({recorded}), but the fresh server releases one")
        elif self._reason != recorded:
            self._note(RESULT, f"it ends with {recorded}, but the fresh server ends with {self._reason}")

    def _compare(self, fresh: Finish, recorded: Finish) -> None:
        attached = len(self._begun.session.attached)
        if fresh.contributors != recorded.contributors:
            self._note(RESULT, "the fresh server names other contributors")
        if not np.array_equal(fresh.total, recorded.total):
            self._note(RESULT, "the fresh server comes to another sum")
        if opened_bytes(fresh, attached) != opened_bytes(recorded, attached):
            self._note(RESULT, "the fresh server opens other attached secrets")

    def _note(self, check: str, what: str) -> None:
        self._notes.found(check, f"session {self._begun.number}: {what}")

    def _what(self, message: RecordedMessage) -> str:
        kind = "request to" if message.kind is Kind.REQUEST else "reply of"
        return f"step {self._steps[message.step].name}, {kind} {message.party}"


def _parties(ids: Collection[int]) -> str:
    """Return the first ids in words."""
    shown = ", ".join(map(str, sorted(ids)[:_SHOWN]))
    return f"{len(ids)} parties ({shown}{', ...' if len(ids) > _SHOWN else ''})"
