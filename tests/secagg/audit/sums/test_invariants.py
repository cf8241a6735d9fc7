import pytest

from protocols import LightSecAgg, PaillierSum, PlainSum, SecAgg, SecAggPlus, SecureSum
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.planted.sums import SpareResponders
from secagg.audit.runner import finding
from secagg.audit.sums.invariants import ExactSum, TooManyDropouts
from secagg.audit.sums.subject import SumSubject

SUBJECTS = [
    SumSubject.suggested(SecAgg),
    SumSubject.suggested(LightSecAgg),
    SumSubject.suggested(SpareResponders),
    SumSubject.suggested(PlainSum),
    SumSubject.of(SecAggPlus(neighbours=2, share_threshold=2)),
    SumSubject.of(PaillierSum(headroom=True)),
]


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
@pytest.mark.parametrize("attack", [ExactSum(), TooManyDropouts()], ids=lambda attack: attack.id)
def test_correct_protocols_are_not_rejected(subject: SumSubject, attack: ExactSum | TooManyDropouts) -> None:
    found = finding(subject, attack, level=Level.QUICK, master=b"m")
    assert (found.verdict, found.evidence) == (Verdict.NOT_REJECTED, "")


@pytest.mark.parametrize(("kind", "dropped"), [(SecAgg, 5), (LightSecAgg, 5)])
def test_sums_with_dropouts_are_compared(kind: type[SecureSum], dropped: int) -> None:
    found = finding(SumSubject.suggested(kind), ExactSum(), level=Level.QUICK, master=b"m")
    assert found.statistic == f"wrong sums among {found.trials} sessions, {dropped} of them with dropouts"


def test_protocol_that_has_no_such_cohort_is_not_tested() -> None:
    subject = SumSubject.of(SecAggPlus(neighbours=6, share_threshold=4))
    found = finding(subject, ExactSum(), level=Level.QUICK, master=b"m")
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "neighbours" in found.evidence
