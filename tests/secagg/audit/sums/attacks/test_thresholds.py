"""No sum of too few clients, and no two sums of one session."""

from dataclasses import dataclass

import pytest

from protocols import Adversary, LightSecAgg, PaillierSum, SecAgg, SecureSum, Session
from protocols.plain import PlainSum
from protocols.secure_sum import Role
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.attacks import LowThreshold
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.thresholds import TooFew, TwoSums, too_few
from secagg.audit.sums.subject import SumSubject


@dataclass(frozen=True)
class NoQuorum(PlainSum):
    """A protocol whose server goes on with a single reply."""

    def quorum(self, session: Session, role: Role) -> int:
        del session, role
        return 1


@pytest.mark.parametrize("kind", [SecAgg, LightSecAgg, PaillierSum, PlainSum])
def test_too_few_clients_or_members_give_no_sum(kind: type[SecureSum]) -> None:
    """The server asks one party fewer than the threshold; the threshold must stop the sum."""
    found = finding(SumSubject.suggested(kind), TooFew(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.NOT_REJECTED


def test_server_that_asks_for_no_quorum_gets_no_sum_of_few() -> None:
    """The server names no quorum; clients must count the survivors themselves, and refuse."""
    subject = SumSubject.suggested(SecAgg, adversary=Adversary.MALICIOUS)
    assert finding(subject, TooFew(), level=Level.QUICK, master=b"master").verdict is Verdict.NOT_REJECTED


def test_sum_of_one_client_is_rejected() -> None:
    """The server asks for the sum of one client; a protocol that gives it is rejected."""
    found = finding(SumSubject.suggested(NoQuorum), TooFew(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED
    assert "a sum of 1 clients was released" in found.evidence


def test_too_few_are_one_fewer_than_the_threshold_of_the_role() -> None:
    """The attack asks too few parties; they must be one fewer than the threshold of their role."""
    cohort = SumSubject.suggested(PaillierSum).cohort(3, length=4)
    members = cohort.session.committee_members
    assert too_few(cohort, Role.CLIENT) == [1, 2, *members]
    assert too_few(cohort, Role.COMMITTEE) == [1, 2, 3, members[0]]


@pytest.mark.parametrize("kind", [SecAgg, PaillierSum])
def test_two_sums_of_one_session_are_not_opened(kind: type[SecureSum]) -> None:
    """The server asks two quorums for two sums of a session; thresholds above a half must stop it."""
    subject = SumSubject.suggested(kind, adversary=Adversary.MALICIOUS)
    assert finding(subject, TwoSums(), level=Level.QUICK, master=b"master").verdict is Verdict.NOT_REJECTED


def test_two_sums_with_a_threshold_of_half_of_the_clients_are_rejected() -> None:
    """The same attack on a threshold of half of the clients succeeds, and rejects it."""
    subject = SumSubject.suggested(LowThreshold, adversary=Adversary.MALICIOUS)
    found = finding(subject, TwoSums(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED
    assert "of the clients [1, 2] and [3, 4]" in found.evidence
