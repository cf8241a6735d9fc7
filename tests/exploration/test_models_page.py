"""docs/models.md has a row for each check and for each model, with the numbers that the searches have to find."""

import pytest

from tests.exploration.cases import LONG_MODELS, LONG_OPENINGS, SPARE, WHOLE_MODELS, WHOLE_OPENINGS
from tests.exploration.checks import Check
from tests.exploration.opening import OpeningCheck
from tests.exploration.page import PAGE, numbers, row


@pytest.mark.parametrize("check", [*Check, *OpeningCheck], ids=str)
def test_page_has_one_row_for_each_check(check: Check | OpeningCheck) -> None:
    assert row(check)


@pytest.mark.parametrize("check", SPARE, ids=str)
def test_page_says_how_many_states_there_are_without_a_spare_check(check: Check) -> None:
    assert numbers(row(check)[0]) == [SPARE[check]]


def test_page_says_how_many_states_each_model_has() -> None:
    pairwise, opening = PAGE.read_text(encoding="utf-8").split("## The committee's opening")
    large = [states for _, states in (WHOLE_MODELS | LONG_MODELS).values() if states > 1]
    assert len(large) == 6
    assert all(f"{states:,}" in pairwise for states in large)
    assert all(f"| {states:,} |" in opening for _, states in (WHOLE_OPENINGS | LONG_OPENINGS).values())
