"""The self-test's verdicts on planted bugs."""

from secagg.audit.planted.base import Planted
from secagg.audit.self_test import Catch, Row, as_text, row
from secagg.audit.suite import ATTACKS, PLANTED
from tests.support.audit_checks import Crashing, Exact, Given, Inapt, Statistical, found

BUG = Planted(number=1, bug="one and one are three", claim="C-01", caught_by="invariant.given", subject=Given)
BAD, GOOD = Exact(rejected=True), Exact(rejected=False)
OTHER = Statistical(1e-9, 1e-9)


def test_bug_is_caught_by_the_check_that_is_meant_for_it_alone() -> None:
    assert row(BUG, found(BAD)).catch is Catch.CAUGHT
    assert row(BUG, found(BAD, Crashing())).catch is Catch.CAUGHT
    assert row(BUG, found(GOOD, Statistical(1e-9, 1e-9))).catch is Catch.CAUGHT_BY_OTHERS
    assert row(BUG, found(GOOD)).catch is Catch.NOT_CAUGHT
    assert row(BUG, found(Inapt())).catch is Catch.ERRORED, "the check meant for it did not run at all"
    crashed = Planted(number=1, bug="", claim="C-01", caught_by="attack.crashing", subject=Given)
    assert row(crashed, found(Crashing(), BAD)).catch is Catch.ERRORED


def test_table_shows_what_is_not_caught() -> None:
    rows = (row(BUG, found(BAD, OTHER)), row(BUG, found(GOOD)))
    text = as_text(rows)
    assert "invariant.given, also view.given" in text
    assert "NOT CAUGHT" in text
    assert "1 of 2 planted bugs" in text
    assert isinstance(rows[0], Row)


def test_planted_bugs_have_numbers_claims_and_checks_that_exist() -> None:
    numbers = [planted.number for planted in PLANTED]
    assert numbers == sorted(numbers)
    assert len({(planted.number, planted.bug) for planted in PLANTED}) == len(PLANTED)
    assert set(numbers) >= set(range(1, 61))
    ids = {attack.id: attack for attack in ATTACKS}
    assert len(ids) == len(ATTACKS)
    for planted in PLANTED:
        assert planted.claim in ids[planted.caught_by].tests, planted.number
