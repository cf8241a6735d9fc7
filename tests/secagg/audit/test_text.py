"""What the terminal and the page say."""

import re

import pytest

from secagg.audit.audit import Audit
from secagg.audit.page import as_html
from secagg.audit.text import as_text
from secagg.audit.words import counted, error_rate, headline, meaning
from tests.support.audit_checks import Crashing, Exact, Given, Inapt, Statistical, audited

GOOD, BAD = Exact(rejected=False), Exact(rejected=True)
AUDITS = {
    "rejected": audited(BAD, Statistical(0.5), Inapt(), limits=("A folder shows no costs.",)),
    "kept": audited(GOOD, Statistical(0.5)),
    "incomplete": audited(GOOD, Crashing()),
    "nothing": audited(Inapt()),
}


@pytest.mark.parametrize(
    ("audit", "expected"),
    [
        (AUDITS["rejected"], "1 of 2 checks rejects a claim"),
        (AUDITS["kept"], "Not rejected by 2 checks"),
        (AUDITS["incomplete"], "Incomplete: 1 check without a result; 1 ended without a rejection"),
        (AUDITS["nothing"], "No claim was tested"),
    ],
)
def test_headline_is_one_line(audit: Audit, expected: str) -> None:
    assert headline(audit) == expected
    assert expected in " ".join(as_text(audit).split())


@pytest.mark.parametrize("name", AUDITS)
def test_words_of_an_audit_claim_no_more_than_it_found(name: str) -> None:
    for text in (as_text(AUDITS[name]), as_html(AUDITS[name])):
        assert not re.search(
            r"\b(passed|proved|proven|secure|safe)\b", re.sub("<style>.*?</style>", "", text, flags=re.S)
        )
        assert "the secret key" not in text


def test_rejection_is_told_with_its_evidence_and_what_was_not_tested_beside_it() -> None:
    for text in (as_text(AUDITS["rejected"]), as_html(AUDITS["rejected"])):
        assert all(part in text for part in ("1 + 1 = 3", "invariant.given", "The subject takes no entropy.", "C-01"))
        assert "A folder shows no costs." in text
        assert AUDITS["rejected"].master_seed.hex() in text.replace("\n  ", "")


def test_text_fits_a_narrow_terminal_except_for_the_seed() -> None:
    lines = as_text(AUDITS["rejected"], width=60).splitlines()
    assert [line for line in lines if len(line) > 60] == [f"  {AUDITS['rejected'].master_seed.hex()}."]


def test_same_reason_for_several_subjects_is_told_once() -> None:
    audit = audited(GOOD, Inapt(), subjects=[Given("one"), Given("two")])
    assert as_text(audit).count("The subject takes no entropy.") == 1
    assert "replay.inapt (one, two)" in as_text(audit)


def test_error_rate_is_that_of_the_statistical_checks() -> None:
    assert (
        error_rate(audited(GOOD))
        == "1 check is exact, and none is statistical. An exact check does not reject by chance."
    )
    assert "at most 1e-06" in error_rate(AUDITS["kept"])
    assert counted(1, "check") == "1 check"


def test_rejection_by_an_exact_check_leaves_no_doubt() -> None:
    assert meaning(audited(BAD)).startswith("At least one claim is false: an exact check")
    assert "1 in a million" in meaning(audited(Statistical(1e-9, 1e-9)))


def test_page_has_no_address_outside_itself() -> None:
    page = as_html(AUDITS["rejected"])
    assert page.startswith("<!DOCTYPE html>")
    assert not re.search(r"(?:src|href)\s*=\s*\"?(?:https?:)?//", page)
