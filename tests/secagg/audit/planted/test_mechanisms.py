import pytest

from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.mechanisms.suite import ATTACKS
from secagg.audit.planted.base import Planted
from secagg.audit.planted.mechanisms import PLANTED
from secagg.audit.runner import finding, findings

CHECKS = {attack.id: attack for attack in ATTACKS}
SLOW = 15  # It draws 200 million values.
WITH_TENSORFLOW = 20


def parameter(planted: Planted) -> object:
    marks = [pytest.mark.long] if planted.number == SLOW else []
    marks += [pytest.mark.tensorflow] if planted.number == WITH_TENSORFLOW else []
    return pytest.param(planted, marks=marks, id=f"{planted.number} {planted.bug}")


def test_all_numbers_are_planted() -> None:
    assert sorted({planted.number for planted in PLANTED}) == [1, 2, 4, 14, 15, 16, 20, 27, 28, 29]


@pytest.mark.parametrize("planted", [parameter(planted) for planted in PLANTED])
def test_planted_bug_is_rejected_by_its_check(planted: Planted) -> None:
    found = finding(planted.subject(), CHECKS[planted.caught_by], level=Level.QUICK, master=b"planted")
    assert found.verdict is Verdict.REJECTED, found
    assert planted.claim in found.claims
    assert found.evidence


@pytest.mark.parametrize("planted", [each for each in PLANTED if each.number == 16], ids=lambda each: each.bug)
def test_rounded_normals_that_no_statistics_can_tell_are_not_rejected_by_any(planted: Planted) -> None:
    statistical = [attack for attack in ATTACKS if attack.statistical]
    verdicts = {
        found.verdict for found in findings([planted.subject()], statistical, level=Level.QUICK, master=b"planted")
    }
    assert verdicts <= {Verdict.NOT_REJECTED, Verdict.NOT_APPLICABLE}
