"""The replay of one session: refused replies, sessions that go on or end too early, and servers that fail."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from protocols import PlainSum, Session
from protocols.errors import RemoteError
from secagg.audit.transcript.catalogue import (
    COUNTS,
    DIGEST,
    REPLIES,
    RESULT,
    STATEMENTS,
    THRESHOLD,
    Notes,
)
from secagg.audit.transcript.freshness import Freshness
from secagg.audit.transcript.session import SessionReplay
from secagg.transcripts.reader import RecordedEnd, RecordedMessage, RecordedSession
from secagg.transcripts.records import Kind
from tests.support.transcripts import CASES, recording


def begun_of(name: str) -> RecordedSession:
    """Return the beginning of a case's session."""
    protocol, session = CASES[name].scenario.protocol, CASES[name].scenario.session
    return RecordedSession(number=1, protocol=protocol, session=session, digest=protocol.digest(session))


def messages_of(name: str) -> list[RecordedMessage]:
    """Return the messages of a case's session."""
    steps = [row.name for row in CASES[name].scenario.protocol.steps]
    return [
        RecordedMessage(
            step=steps.index(each.step),
            party=each.receiver if each.receiver is not None else each.sender or 0,
            kind=Kind.REQUEST if each.sender is None else Kind.REPLY,
            data=each.data,
        )
        for each in recording(name).sent
    ]


MADE, BEGUN, MESSAGES = recording("plain"), begun_of("plain"), messages_of("plain")
END = RecordedEnd(result=MADE.result)


def replayed(
    messages: Iterable[RecordedMessage], end: RecordedEnd | None = END, *, begun: RecordedSession = BEGUN
) -> dict[str, tuple[str, ...]]:
    """Replay a session, and return what the checks have found."""
    notes = Notes()
    session = SessionReplay(begun, notes=notes, freshness=Freshness(notes))
    for message in messages:
        session.message(message)
    if end is None:
        session.unfinished()
    else:
        session.end(end)
    return {check.id: check.found for check in notes.results() if check.found}


def test_honest_session_is_replayed() -> None:
    assert replayed(MESSAGES) == {}


def test_refused_reply_that_the_fresh_server_accepts_is_found() -> None:
    assert replayed([*MESSAGES[:-1], replace(MESSAGES[-1], kind=Kind.REFUSED)]).keys() == {REPLIES}


def test_refused_replies_are_refused_again() -> None:
    refused = [replace(each, kind=Kind.REFUSED) for each in MESSAGES if each.kind is Kind.REPLY]
    stranger = replace(MESSAGES[-1], party=4, kind=Kind.REFUSED)
    assert replayed([*MESSAGES, *refused, stranger]) == {}


def test_accepted_reply_of_a_stranger_is_found() -> None:
    stranger = replace(MESSAGES[-1], party=4)
    assert replayed([*MESSAGES, stranger]).keys() == {REPLIES}


def test_message_of_a_later_step_is_found() -> None:
    later = [each for each in messages_of("secagg") if each.step == 2 and each.kind is Kind.REPLY]
    assert replayed(later, None, begun=begun_of("secagg")).keys() == {COUNTS}


def test_session_that_goes_on_after_its_fresh_server_has_ended_is_found() -> None:
    unanswered = [each for each in messages_of("secagg") if each.step or each.kind is Kind.REQUEST]
    found = replayed(unanswered, RecordedEnd(result=recording("secagg").result), begun=begun_of("secagg"))
    assert found.keys() == {COUNTS, RESULT}
    assert found[RESULT] == ("session 1: it ends with a sum, but the fresh server releases none (TooFewSurvivors)",)


def test_result_before_the_last_step_is_found() -> None:
    first = [each for each in messages_of("secagg") if each.step == 0]
    found = replayed(first, RecordedEnd(result=recording("secagg").result), begun=begun_of("secagg"))
    assert found == {RESULT: ("session 1: it ends with a result, but the fresh server goes on to share_keys",)}


def test_too_few_contributors_and_strangers_among_them_are_found() -> None:
    few = RecordedEnd(result=replace(MADE.result, contributors=MADE.result.contributors[:1]))
    assert replayed(MESSAGES, few).keys() == {RESULT, THRESHOLD}
    other = RecordedEnd(result=replace(MADE.result, contributors=(4, *MADE.result.contributors)))
    assert replayed(MESSAGES, other).keys() == {RESULT, THRESHOLD}


def test_session_of_another_digest_is_not_replayed() -> None:
    notes = Notes()
    session = SessionReplay(replace(BEGUN, digest=bytes(32)), notes=notes, freshness=Freshness(notes))
    for message in MESSAGES:
        session.message(message)
    session.end(END)
    found = {check.id: check for check in notes.results()}
    assert {check for check, result in found.items() if result.found} == {DIGEST}
    replays = {check for check in STATEMENTS if check.startswith("transcript.replay.")}
    assert all(found[check].not_tested for check in replays)


class BrokenServer:
    """A server of other people that fails where it is told to."""

    def __init__(self, inner: Any, place: str) -> None:
        self._inner = inner
        self._place = place

    def __getattr__(self, name: str) -> Any:
        if name == self._place:
            raise ZeroDivisionError("of other people")
        return getattr(self._inner, name)


class Broken(PlainSum):
    """A protocol whose server fails."""

    place: ClassVar[str] = ""

    def server_party(self, session: Session) -> Any:
        return BrokenServer(super().server_party(session), self.place)


@pytest.mark.parametrize(("place", "check"), [("open", RESULT), ("state", REPLIES)])
def test_server_that_fails_is_a_finding(place: str, check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "place", place)
    found = replayed(MESSAGES, begun=replace(BEGUN, protocol=Broken()))
    assert check in found
    assert "ZeroDivisionError: of other people" in str(found[check])


def test_server_that_fails_over_a_reply_or_at_the_end_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("of other people")

    def refuse(*_: object) -> None:
        raise RemoteError("of other people")

    (row,) = PlainSum.steps
    for change, check in (({"absorb": fail}, REPLIES), ({"close": fail}, RESULT), ({"close": refuse}, RESULT)):
        monkeypatch.setattr(Broken, "steps", (replace(row, **change),))  # type: ignore[arg-type]
        assert check in replayed(MESSAGES, begun=replace(BEGUN, protocol=Broken()))
