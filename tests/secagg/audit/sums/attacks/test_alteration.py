"""An altered message is refused, or harmless, or ends the session."""

import pytest

from examples import audit_toy
from examples.audit_toy import ToySum
from protocols import LightSecAgg, PaillierSum, SecAgg, SecureSum
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.patch import replaced
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.alteration import Alteration
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize("kind", [SecAgg, LightSecAgg, PaillierSum])
def test_alterations_lead_to_no_wrong_sum(kind: type[SecureSum]) -> None:
    """The server alters messages on their way; checks must refuse them, or the sum must be right."""
    found = finding(SumSubject.suggested(kind), Alteration(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.NOT_REJECTED


def test_seeds_that_nobody_compares_are_rejected() -> None:
    """Without the hashes, an altered key gives two clients different seeds, and their masks do not cancel."""
    subject = SumSubject.of(ToySum())
    assert finding(subject, Alteration(), level=Level.QUICK, master=b"master").verdict is Verdict.NOT_REJECTED
    with replaced(audit_toy, "hash_of", lambda seed: bytes(32)):
        found = finding(subject, Alteration(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED
    assert "the released sum is wrong" in found.evidence
