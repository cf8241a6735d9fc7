"""Each planted bug of the account is rejected by the check that is meant for it."""

import pytest

from secagg.audit.account.suite import ATTACKS, shipped
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.account import PLANTED
from secagg.audit.planted.base import Planted
from secagg.audit.runner import finding, findings
from tests.support.audit_checks import MASTER


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: str(planted.number))
def test_planted_bug_is_rejected(planted: Planted) -> None:
    (attack,) = (each for each in ATTACKS if each.id == planted.caught_by)
    found = finding(planted.subject(), attack, level=Level.QUICK, master=MASTER)
    assert found.verdict is Verdict.REJECTED, found
    assert found.evidence


def test_what_is_shipped_is_not_rejected() -> None:
    found = list(findings(shipped(), ATTACKS, level=Level.QUICK, master=MASTER))
    assert {each.attack for each in found} >= {planted.caught_by for planted in PLANTED}
    assert {each.verdict for each in found} == {Verdict.NOT_REJECTED}
