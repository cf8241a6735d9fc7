import pytest

from secagg.audit.attack import Level
from secagg.audit.claims import CLAIMS
from secagg.audit.finding import Verdict
from secagg.audit.means.suite import ATTACKS, shapes_of, shipped
from secagg.audit.runner import findings
from secagg.audit.subject import Subject


def test_names_and_ids_are_unique_and_claims_exist() -> None:
    assert len({attack.id for attack in ATTACKS}) == len(ATTACKS)
    assert len({subject.name for subject in shipped()}) == len(shipped())
    assert {claim for attack in ATTACKS for claim in attack.tests} <= set(CLAIMS)


def test_shapes_have_the_number_of_entries() -> None:
    assert shapes_of(18) == ((4,), (4,), (4,), (6,))


@pytest.mark.parametrize("subject", shipped(), ids=lambda subject: subject.name)
def test_means_of_the_toolkit_are_not_rejected(subject: Subject) -> None:
    for found in findings([subject], ATTACKS, level=Level.QUICK, master=b"one seed"):
        assert found.verdict in (Verdict.NOT_REJECTED, Verdict.NOT_APPLICABLE), found


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_means_of_the_toolkit_are_not_rejected_with_other_seeds(seed: int) -> None:
    for found in findings(shipped(), ATTACKS, level=Level.QUICK, master=b"seed %d" % seed):
        assert found.verdict in (Verdict.NOT_REJECTED, Verdict.NOT_APPLICABLE), found


@pytest.mark.long
def test_means_of_the_toolkit_are_not_rejected_at_the_full_level() -> None:
    for found in findings(shipped(), ATTACKS, level=Level.FULL, master=b"one seed"):
        assert found.verdict in (Verdict.NOT_REJECTED, Verdict.NOT_APPLICABLE), found
