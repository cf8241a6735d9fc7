import pytest

from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.means.suite import ATTACKS
from secagg.audit.planted.base import Planted
from secagg.audit.planted.means import PLANTED
from secagg.audit.planted.noisy_means import PLANTED_NOISE
from secagg.audit.runner import finding

CHECKS = {attack.id: attack for attack in ATTACKS}


def test_all_numbers_are_planted() -> None:
    numbers = sorted(planted.number for planted in PLANTED)
    assert numbers == [3, 5, 6, 7, 8, 9, 13, 17, 18, 19, 21, 22, 23, 24, 25, 26, 30, 39, 60]
    assert set(PLANTED_NOISE) < set(PLANTED)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.number} {planted.bug}")
def test_planted_bug_is_rejected_by_its_check(planted: Planted) -> None:
    found = finding(planted.subject(), CHECKS[planted.caught_by], level=Level.QUICK, master=b"planted")
    assert found.verdict is Verdict.REJECTED, found
    assert planted.claim in found.claims
    assert found.evidence
