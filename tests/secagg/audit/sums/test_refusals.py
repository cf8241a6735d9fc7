import numpy as np
import pytest

from protocols import LightSecAgg, PaillierSum, SecAgg, SecureSum
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.runner import finding
from secagg.audit.seeds import Tape
from secagg.audit.sums.refusals import RefusedInputs, unacceptable
from secagg.audit.sums.subject import SumSubject


@pytest.mark.parametrize("kind", [SecAgg, LightSecAgg, PaillierSum])
def test_protocols_refuse_everything(kind: type[SecureSum]) -> None:
    found = finding(SumSubject.suggested(kind), RefusedInputs(), level=Level.QUICK, master=b"m")
    assert (found.verdict, found.trials) == (Verdict.NOT_REJECTED, 29)


def test_vectors_of_the_list_are_bad_and_their_like_is_good() -> None:
    """Entries up to the modulus less one, and whole integers, are accepted: refusals are for what the label says."""
    cohort = SumSubject.suggested(SecAgg).cohort(3, length=6)
    bad = unacceptable(cohort.session)
    assert len(bad) == 29
    last = [0] * 5 + [cohort.session.modulus - 1]
    for good in (last, np.array(last, dtype=np.int64), np.ones(6, dtype=np.uint8)):
        cohort.client(1, good, Tape(b"seed"))
