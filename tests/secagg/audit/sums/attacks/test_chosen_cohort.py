"""A client that has pinned a large roster joins no session of clients that may all be corrupt."""

import pytest

from protocols import Adversary, OneShot, PaillierSum, SecAgg, SecAggPlus, SecureSum
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.attacks import LowThreshold
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.chosen_cohort import ChosenCohort
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize("kind", [SecAgg, SecAggPlus, PaillierSum, OneShot])
def test_client_takes_no_part(kind: type[SecureSum]) -> None:
    """The server chooses a cohort that may be corrupt as a whole; the client must not take part."""
    subject = SumSubject.suggested(kind, adversary=Adversary.MALICIOUS)
    assert finding(subject, ChosenCohort(), level=Level.QUICK, master=b"master").verdict is Verdict.NOT_REJECTED


def test_client_that_counts_no_corrupt_ones_is_rejected() -> None:
    """The same attack on a client that counts nobody as corrupt succeeds, and rejects it."""
    subject = SumSubject.suggested(LowThreshold, adversary=Adversary.MALICIOUS)
    found = finding(subject, ChosenCohort(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED
    assert "The sum less their vectors is its vector" in found.evidence
