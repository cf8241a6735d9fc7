"""The attack on clients with records of openings: it fails, and would succeed without the records."""

import pytest

from protocols import Adversary, LightSecAgg, PaillierSum, PlainSum, SecAgg, SecAggPlus, SecureSum
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.attacks import WrongContributors
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.second_attempt import SecondAttempt
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize(
    ("kind", "adversary"),
    [
        (SecAgg, Adversary.CURIOUS),
        (SecAgg, Adversary.MALICIOUS),
        (SecAggPlus, Adversary.CURIOUS),
        (SecAggPlus, Adversary.MALICIOUS),
        (LightSecAgg, Adversary.CURIOUS),
    ],
)
def test_clients_with_records_open_no_second_sum(kind: type[SecureSum], adversary: Adversary) -> None:
    """The server attempts the same work again with one client fewer; records of openings must stop it."""
    subject = SumSubject.suggested(kind, adversary=adversary)
    found = finding(subject, SecondAttempt(), level=Level.QUICK, master=b"second")
    assert found.verdict is Verdict.NOT_REJECTED


@pytest.mark.parametrize("adversary", [Adversary.CURIOUS, Adversary.MALICIOUS])
def test_clients_that_record_wrong_contributors_open_it(adversary: Adversary) -> None:
    """The same attack on clients that record wrong contributors succeeds, and rejects them."""
    subject = SumSubject.suggested(WrongContributors, adversary=adversary)
    found = finding(subject, SecondAttempt(), level=Level.QUICK, master=b"second")
    assert found.verdict is Verdict.REJECTED
    assert "The difference is its vector." in found.evidence


@pytest.mark.parametrize("kind", [PlainSum, PaillierSum])
def test_protocols_whose_clients_open_nothing_are_not_tested(kind: type[SecureSum]) -> None:
    """The attack meets clients that open nothing; it must say that it does not apply."""
    found = finding(SumSubject.suggested(kind), SecondAttempt(), level=Level.QUICK, master=b"second")
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "No step of the protocol asks clients" in found.evidence
