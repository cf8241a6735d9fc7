"""The list of checks of views and attacks."""

import pytest

from secagg.audit.attack import Attack, Layer
from secagg.audit.claims import CLAIMS
from secagg.audit.planted import attacks, views
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view_suite import ATTACKS

each_check = pytest.mark.parametrize("check", ATTACKS, ids=lambda check: check.id)


def test_ids_are_unique() -> None:
    assert len({check.id for check in ATTACKS}) == len(ATTACKS)


@each_check
def test_check_names_claims_that_exist_and_its_layer(check: Attack[SumSubject]) -> None:
    assert set(check.tests) <= CLAIMS.keys()
    assert check.tests
    assert check.subjects is SumSubject
    assert check.layer in (Layer.VIEW, Layer.ATTACK)
    assert check.id.startswith(f"{check.layer}.")
    assert not check.title.endswith(".")


def test_planted_bugs_are_meant_for_these_checks_by_a_claim_that_each_tests() -> None:
    by_id = {check.id: check for check in ATTACKS}
    for planted in (*views.PLANTED, *attacks.PLANTED):
        assert planted.claim in by_id[planted.caught_by].tests
