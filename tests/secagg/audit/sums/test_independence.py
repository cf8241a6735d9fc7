"""Masked vectors of clients, rounds and repeated rounds are compared in pairs."""

import pytest

from protocols import LightSecAgg, OneShot, SecAgg, SecureSum
from protocols.plain import PlainSum
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.attacks import RepeatedMasks
from secagg.audit.runner import finding
from secagg.audit.sums.independence import Correlation
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        (SecAgg, Verdict.NOT_REJECTED),
        (LightSecAgg, Verdict.NOT_REJECTED),
        (OneShot, Verdict.NOT_APPLICABLE),
        (PlainSum, Verdict.REJECTED),
        (RepeatedMasks, Verdict.REJECTED),
    ],
)
def test_masks_that_are_used_twice_are_rejected(kind: type[SecureSum], verdict: Verdict) -> None:
    found = finding(SumSubject.suggested(kind), Correlation(), level=Level.QUICK, master=b"master")
    assert found.verdict is verdict


def test_evidence_names_the_round_that_was_repeated() -> None:
    found = finding(SumSubject.suggested(RepeatedMasks), Correlation(), level=Level.QUICK, master=b"master")
    assert "client 1 in round 1 and client 1 in round 1 repeated" in found.evidence
