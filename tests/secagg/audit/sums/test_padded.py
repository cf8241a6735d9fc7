"""Vectors under lattice masks are uniform, unless the mask's key is zero."""

import pytest

from protocols import Adversary, OneShot, PaillierSum, SecAgg, Secret, SecureSum
from protocols.crypto.lattice.ring import DEGREE
from protocols.encrypted import oneshot
from secagg.audit.attack import Level, Plan
from secagg.audit.finding import Verdict
from secagg.audit.planted.patch import replaced
from secagg.audit.runner import finding
from secagg.audit.sums.padded import PaddedWords
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [(OneShot, Verdict.NOT_REJECTED), (PaillierSum, Verdict.NOT_APPLICABLE), (SecAgg, Verdict.NOT_APPLICABLE)],
)
def test_lattice_masks_are_not_rejected(kind: type[SecureSum], verdict: Verdict) -> None:
    found = finding(SumSubject.suggested(kind), PaddedWords(), level=Level.QUICK, master=b"master")
    assert found.verdict is verdict


def test_sample_is_large_enough_for_tests_of_bytes() -> None:
    plan = PaddedWords().plan(SumSubject.suggested(OneShot), Level.QUICK)
    assert isinstance(plan, Plan)
    assert plan.trials >= 2 * 4_096


def test_masks_under_a_key_of_zeros_are_rejected() -> None:
    subject = SumSubject.suggested(OneShot, adversary=Adversary.MALICIOUS)
    with replaced(oneshot, "draw_key", lambda entropy: Secret(bytes(DEGREE))):
        found = finding(subject, PaddedWords(), level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED
