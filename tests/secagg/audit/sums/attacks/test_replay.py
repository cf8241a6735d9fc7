"""Messages of other sessions, contexts and steps are refused, unless the digest leaves something out."""

from dataclasses import dataclass, replace

import pytest

from protocols import LightSecAgg, PaillierSum, SecAgg, SecureSum, Session
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.attacks import UnboundContext
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.replay import Replay, record
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.subject import SumSubject


@dataclass(frozen=True, kw_only=True)
class UnboundSession(SecAgg):
    """The session's id is in no message."""

    def digest(self, session: Session) -> bytes:
        return super().digest(replace(session, session_id=bytes(16)))


@pytest.mark.parametrize("kind", [SecAgg, LightSecAgg, PaillierSum])
def test_replays_are_refused(kind: type[SecureSum]) -> None:
    """The server replays messages of other sessions and steps; the digest must make parties refuse them."""
    found = finding(SumSubject.suggested(kind), Replay(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.NOT_REJECTED


@pytest.mark.parametrize(("kind", "what"), [(UnboundSession, "another session"), (UnboundContext, "another context")])
def test_message_of_elsewhere_that_is_accepted_is_rejected(kind: type[SecureSum], what: str) -> None:
    """The same attack on a digest that leaves something out succeeds, and rejects it."""
    found = finding(SumSubject.suggested(kind), Replay(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED
    assert what in found.evidence


def test_record_holds_all_messages_but_most_of_the_last_replies() -> None:
    """The attack records a session to replay it; the record must hold the messages of every step."""
    cohort = SumSubject.suggested(SecAgg).cohort(3, length=4)
    recorded = record(cohort, random_inputs(cohort, b"seed"), b"seed")
    assert len(recorded.requests) == 12
    assert len(recorded.replies) == 10
