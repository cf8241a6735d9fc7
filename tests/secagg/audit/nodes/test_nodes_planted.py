"""Planted bugs of nodes are rejected by the check that is meant for them; the code that they change is not."""

import pytest

from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.nodes.subject import NodeSubject
from secagg.audit.nodes.suite import ATTACKS, shipped
from secagg.audit.planted.base import Planted
from secagg.audit.planted.nodes import PLANTED
from secagg.audit.runner import finding, findings

CHECKS = {check.id: check for check in ATTACKS}


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: str(planted.number))
def test_planted_bug_is_rejected_by_its_check_alone(planted: Planted) -> None:
    found = finding(planted.subject(), CHECKS[planted.caught_by], level=Level.QUICK, master=b"planted")
    assert found.verdict is Verdict.REJECTED, found.evidence
    assert found.evidence


def test_station_and_coordinator_are_not_rejected() -> None:
    found = list(findings(shipped(), ATTACKS, level=Level.QUICK, master=b"planted"))
    assert {each.attack: each.verdict for each in found} == dict.fromkeys(CHECKS, Verdict.NOT_REJECTED)
    assert {claim for each in found for claim in each.claims} == {claim.id for claim in NodeSubject().claims}
