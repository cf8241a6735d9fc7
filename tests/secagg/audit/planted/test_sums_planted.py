"""Every planted bug of sums is rejected by the check that is meant for it; the correct protocols are not."""

import pytest

from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.base import Planted
from secagg.audit.planted.sums import PLANTED
from secagg.audit.runner import finding, findings
from secagg.audit.sums.suite import ATTACKS, shipped

CHECKS = {attack.id: attack for attack in ATTACKS}


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.number} {planted.bug}")
def test_planted_bug_is_rejected_by_the_check_meant_for_it(planted: Planted) -> None:
    check = CHECKS[planted.caught_by]
    assert planted.claim in check.tests
    found = finding(planted.subject(), check, level=Level.QUICK, master=b"planted")
    assert found.verdict is Verdict.REJECTED
    assert planted.claim in found.claims
    assert found.evidence


def test_all_bugs_of_the_layers_are_planted() -> None:
    numbers = {planted.number for planted in PLANTED}
    assert numbers == {10, 11, 12, 36, 37, 38, 40, 42, 43, 44, 50, 51, 54, 55, 56, 57, 59}


@pytest.mark.parametrize("name", ["secagg-plus-malicious", "lightsecagg-curious"])
def test_correct_protocol_is_not_rejected(name: str) -> None:
    """`make audit-seeds` has all protocols and twenty master seeds."""
    (subject,) = (each for each in shipped() if each.name == name)
    found = list(findings([subject], ATTACKS, level=Level.QUICK, master=b"correct"))
    assert [each for each in found if each.verdict not in (Verdict.NOT_REJECTED, Verdict.NOT_APPLICABLE)] == []
