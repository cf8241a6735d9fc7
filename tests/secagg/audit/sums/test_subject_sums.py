import pickle

import pytest

from protocols import Adversary, LightSecAgg, OneShot, PaillierSum, PlainSum, SecAgg, SecAggPlus, SecureSum, SeedSum
from protocols.errors import ParameterError
from secagg.audit.sums.subject import SumSubject

MALICIOUS = Adversary.MALICIOUS


def _claims(subject: SumSubject) -> set[str]:
    return {claim.id for claim in subject.claims}


@pytest.mark.parametrize(
    ("protocol", "identified"),
    [
        (SecAgg(), False),
        (SecAgg(adversary=MALICIOUS), True),
        (PaillierSum(), False),
        (OneShot(adversary=MALICIOUS), True),
        (LightSecAgg(privacy=1, responders=2), False),
        (SeedSum(adversary=Adversary.CURIOUS), False),
        (SeedSum(adversary=MALICIOUS), True),
        (PlainSum(), False),
    ],
    ids=str,
)
def test_object_has_a_roster_if_it_protects_from_a_malicious_server(protocol: SecureSum, identified: bool) -> None:
    subject = SumSubject.of(protocol)
    assert (subject.identified, "C-05" in _claims(subject)) == (identified, identified)
    session = subject.cohort(4, length=2).session
    assert (session.roster is not None) is identified
    assert session.threshold == (3 if identified and isinstance(protocol, SecAgg) else 2)


@pytest.mark.parametrize(
    ("kind", "usual", "tolerant"), [(SecAgg, 3, 3), (LightSecAgg, 5, 3), (PaillierSum, 5, 3), (SecAggPlus, 5, 3)]
)
def test_cohort_tolerates_the_dropouts_asked_for(kind: type[SecureSum], usual: int, tolerant: int) -> None:
    subject = SumSubject.suggested(kind)
    assert subject.cohort(5, length=2).session.threshold == usual
    assert subject.cohort(5, length=2, dropout=0.4).session.threshold == tolerant
    with pytest.raises(ParameterError):
        subject.cohort(5, length=2, dropout=0.9)


def test_one_protocol_has_the_lowest_threshold_for_any_dropout() -> None:
    subject = SumSubject.of(SecAggPlus(neighbours=2, share_threshold=2))
    assert subject.cohort(5, length=2, dropout=0.9).session.threshold == 2
    with pytest.raises(ParameterError, match="neighbours"):
        SumSubject.of(SecAggPlus(neighbours=6, share_threshold=2)).cohort(5, length=2)


@pytest.mark.parametrize("subject", [SumSubject.suggested(PaillierSum), SumSubject.of(SecAgg())], ids=lambda s: s.name)
def test_pickled_subject_makes_the_same_sessions(subject: SumSubject) -> None:
    again = pickle.loads(pickle.dumps(subject))
    assert (again.name, again.claims) == (subject.name, subject.claims)
    assert again.cohort(3, length=2).session == subject.cohort(3, length=2).session
