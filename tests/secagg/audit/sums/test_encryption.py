import pytest

from protocols import Adversary, OneShot, PaillierSum, SecAgg, SecureSum
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.encryption import FixedExponent, LooseStatement, TrustingVerifier
from secagg.audit.runner import finding
from secagg.audit.sums.encryption import BoundProofs, FreshCiphertexts
from secagg.audit.sums.subject import SumSubject

MALICIOUS = Adversary.MALICIOUS


@pytest.mark.parametrize(
    ("protocol", "forgeries"),
    [(PaillierSum(adversary=MALICIOUS), 3), (OneShot(), 4)],
    ids=str,
)
def test_correct_protocols_are_not_rejected(protocol: SecureSum, forgeries: int) -> None:
    fresh, bound = (
        finding(SumSubject.of(protocol), attack, level=Level.QUICK, master=b"m")
        for attack in (FreshCiphertexts(), BoundProofs())
    )
    assert (fresh.verdict, bound.verdict) == (Verdict.NOT_REJECTED, Verdict.NOT_REJECTED)
    assert bound.statistic == f"accepted proofs among {forgeries} forgeries"


def test_signatures_do_not_hide_that_proofs_are_not_bound() -> None:
    """Each forgery is signed by its sender, so the server's check of signatures does not stop it."""
    loose = SumSubject.suggested(LooseStatement, adversary=MALICIOUS)
    trusting = SumSubject.suggested(TrustingVerifier, adversary=MALICIOUS)
    for subject, evidence in ((loose, "made for another session"), (trusting, "a modulus of the prover's own")):
        found = finding(subject, BoundProofs(), level=Level.QUICK, master=b"m")
        assert found.verdict is Verdict.REJECTED
        assert evidence in found.evidence


def test_fixed_exponent_shows_in_the_same_client_too() -> None:
    found = finding(SumSubject.suggested(FixedExponent), FreshCiphertexts(), level=Level.QUICK, master=b"m")
    assert "occurred before" in found.evidence


def test_other_protocols_are_not_tested() -> None:
    found = finding(SumSubject.suggested(SecAgg), BoundProofs(), level=Level.QUICK, master=b"m")
    assert found.verdict is Verdict.NOT_APPLICABLE
