"""Planted bugs are rejected by the attack that is meant for them; the protocols that they change are not."""

import pytest

from protocols import Adversary, PaillierSum, SecAgg
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.attacks import PLANTED
from secagg.audit.planted.base import Planted
from secagg.audit.runner import finding
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view_suite import ATTACKS

CHECKS = {check.id: check for check in ATTACKS}
CORRECT = {
    "secagg-curious": SumSubject.suggested(SecAgg),
    "secagg-malicious": SumSubject.suggested(SecAgg, adversary=Adversary.MALICIOUS),
    "paillier-curious": SumSubject.suggested(PaillierSum),
}

each_planted = pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: str(planted.number))


@each_planted
def test_planted_bug_is_rejected_by_the_attack_meant_for_it(planted: Planted) -> None:
    """The attack meets a protocol with a planted bug; it must reject it, and say by what evidence."""
    found = finding(planted.subject(), CHECKS[planted.caught_by], level=Level.QUICK, master=b"planted")
    assert found.verdict is Verdict.REJECTED
    assert found.evidence


@each_planted
def test_protocol_without_the_bug_is_not_rejected(planted: Planted) -> None:
    """The attack meets the protocol without the planted bug; its checks must stop the attack."""
    correct = CORRECT[planted.subject().name]
    found = finding(correct, CHECKS[planted.caught_by], level=Level.QUICK, master=b"planted")
    assert found.verdict is Verdict.NOT_REJECTED


def test_numbers_are_unique() -> None:
    """Findings name planted bugs by number, so no two bugs of the attacks may have the same one."""
    assert len({planted.number for planted in PLANTED}) == len(PLANTED)
