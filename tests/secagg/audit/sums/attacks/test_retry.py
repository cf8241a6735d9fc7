"""Repeated rounds use other masks, and restarted clients answer nothing twice."""

from typing import Any

import pytest

from protocols import Adversary, ClientTerms, LightSecAgg, PaillierSum, SecAgg
from protocols.replay import SessionRecord
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.attacks import RepeatedMasks
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.retry import RepeatedRound, RestartedClient
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.stepwise import ForgetfulRecord
from secagg.audit.sums.subject import SumSubject


class ForgetfulCohort(Cohort):
    def terms(self, client: int, record: SessionRecord | None = None) -> ClientTerms | None:
        del record
        return super().terms(client, ForgetfulRecord())


class ForgetfulClients(SumSubject):
    """A protocol whose clients forget what they have answered."""

    def cohort(self, *arguments: Any, **named: Any) -> Cohort:
        found = super().cohort(*arguments, **named)
        return ForgetfulCohort(protocol=found.protocol, session=found.session, key_shares=found.key_shares)


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        (SecAgg, Verdict.NOT_REJECTED),
        (LightSecAgg, Verdict.NOT_REJECTED),
        (PaillierSum, Verdict.NOT_APPLICABLE),
        (RepeatedMasks, Verdict.REJECTED),
    ],
)
def test_masks_of_a_repeated_round_are_others(kind: type[SecAgg], verdict: Verdict) -> None:
    """The server repeats a round and subtracts the vectors; fresh masks must hide the difference."""
    found = finding(SumSubject.suggested(kind), RepeatedRound(), level=Level.QUICK, master=b"master")
    assert found.verdict is verdict


def test_restarted_client_answers_nothing_twice() -> None:
    """The server crashes a client and asks again; its session record must refuse a second answer."""
    subject = SumSubject.suggested(SecAgg, adversary=Adversary.MALICIOUS)
    found = finding(subject, RestartedClient(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.NOT_REJECTED


def test_client_that_forgets_is_rejected() -> None:
    """The same attack on a client without a session record succeeds, and rejects it."""
    subject = ForgetfulClients.suggested(SecAgg, adversary=Adversary.MALICIOUS)
    found = finding(subject, RestartedClient(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED
    assert "answers again" in found.evidence


def test_clients_without_identities_are_not_tested_for_restarts() -> None:
    """The attack meets clients without identities; it must say that it does not apply."""
    found = finding(SumSubject.suggested(SecAgg), RestartedClient(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.NOT_APPLICABLE
