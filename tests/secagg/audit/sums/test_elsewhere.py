import pytest

from protocols import LightSecAgg
from secagg.audit.sums.elsewhere import Errand, Unreachable, hashed, hashes_elsewhere, hashes_here
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.recorded import record, tapes_of
from secagg.audit.sums.subject import SumSubject


def _errand(subject: SumSubject) -> Errand:
    cohort = subject.cohort(3, length=4)
    inputs = random_inputs(cohort, b"inputs")
    recorded = record(cohort, inputs, tapes_of(b"seed"))
    return Errand(subject=subject, clients=3, length=4, inputs=inputs, view=recorded.view, seed=b"seed", parties=(1, 3))


def test_another_process_computes_the_recorded_replies() -> None:
    errand = _errand(SumSubject.suggested(LightSecAgg))
    cohort = errand.subject.cohort(errand.clients, length=errand.length)
    expected = {
        party: [hashed(cohort, party, each.step, each.data) for each in errand.view if each.sender == party]
        for party in errand.parties
    }
    assert hashes_here(errand) == expected
    assert hashes_elsewhere(errand) == expected


def test_subject_that_cannot_be_pickled_is_unreachable() -> None:
    suggested = SumSubject.suggested(LightSecAgg)
    local = SumSubject(lambda clients: LightSecAgg.suggest(clients=clients, adversarial=0.0, dropout=0.0),
                       name="local", claims=suggested.claims)  # fmt: skip
    with pytest.raises(Unreachable, match="cannot be sent to another process"):
        hashes_elsewhere(_errand(local))
