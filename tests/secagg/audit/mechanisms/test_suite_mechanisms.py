import pytest

from secagg.audit.attack import Level
from secagg.audit.claims import CLAIMS
from secagg.audit.finding import Verdict
from secagg.audit.mechanisms.moments import RoundedVariance
from secagg.audit.mechanisms.step import StepSubject
from secagg.audit.mechanisms.suite import ATTACKS, shipped
from secagg.audit.runner import findings
from secagg.audit.subject import Subject

NUMPY_ONLY = [subject for subject in shipped() if not isinstance(subject, StepSubject)]
QUICK = [attack for attack in ATTACKS if not isinstance(attack, RoundedVariance)]


def test_names_and_ids_are_unique_and_claims_exist() -> None:
    assert len({attack.id for attack in ATTACKS}) == len(ATTACKS)
    assert len({subject.name for subject in shipped()}) == len(shipped())
    assert {claim for attack in ATTACKS for claim in attack.tests} <= set(CLAIMS)


@pytest.mark.parametrize("subject", NUMPY_ONLY, ids=lambda subject: subject.name)
def test_mechanisms_of_the_toolkit_are_not_rejected(subject: Subject) -> None:
    for found in findings([subject], QUICK, level=Level.QUICK, master=b"one seed"):
        assert found.verdict in (Verdict.NOT_REJECTED, Verdict.NOT_APPLICABLE), found


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_mechanisms_of_the_toolkit_are_not_rejected_with_other_seeds(seed: int) -> None:
    for found in findings(shipped(), QUICK, level=Level.QUICK, master=b"seed %d" % seed):
        assert found.verdict in (Verdict.NOT_REJECTED, Verdict.NOT_APPLICABLE), found


@pytest.mark.long
def test_every_mechanism_is_tested_at_the_full_level() -> None:
    for found in findings(shipped(), ATTACKS, level=Level.FULL, master=b"one seed"):
        assert found.verdict in (Verdict.NOT_REJECTED, Verdict.NOT_APPLICABLE), found
