"""Planted bugs of cohorts are rejected by the checks that are meant for them."""

import pytest

from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.base import Planted
from secagg.audit.planted.cohorts import PLANTED
from secagg.audit.runner import finding
from secagg.audit.suite import ATTACKS
from tests.support.audit_checks import MASTER


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: str(planted.number))
def test_planted_bug_is_rejected(planted: Planted) -> None:
    (attack,) = (each for each in ATTACKS if each.id == planted.caught_by)
    found = finding(planted.subject(), attack, level=Level.QUICK, master=MASTER)
    assert found.verdict is Verdict.REJECTED, found
    assert found.evidence
