"""The reports of the ledgers of tests/vectors/ledger, as recorded in tests/vectors/report: one test for each form."""

import functools
import json
import math
import re

import pytest

from dp import BudgetReport, Claim, Observer
from tests.vectors import record_reports as recorder

each_ledger = pytest.mark.parametrize("name", recorder.NAMES)
_FRACTION = re.compile(r"(?<=[ \[])-?\d+(?:\.\d+(?:e[+-]?\d+)?|e[+-]?\d+)(?=[,\n\]])")
"""A number of JSON that is no integer: a figure of an accountant is not rounded there, or a setting."""

RELATIVE_TOLERANCE = 1e-9
"""Of such a number, for other processors and versions of scipy; all else is compared byte for byte."""

report_of = functools.cache(recorder.report_of)


def split(text: str) -> tuple[str, list[float]]:
    """Take the numbers that are no integers out of a JSON text."""
    return _FRACTION.sub("NUMBER", text), [float(found) for found in _FRACTION.findall(text)]


def assert_same_json(found: str, recorded: str) -> None:
    (form, numbers), (recorded_form, recorded_numbers) = split(found), split(recorded)
    assert form == recorded_form
    for number, expected in zip(numbers, recorded_numbers, strict=True):
        assert math.isclose(number, expected, rel_tol=RELATIVE_TOLERANCE), (number, expected)


@each_ledger
def test_recorded_json_report_is_made_again(name: str) -> None:
    assert_same_json(recorder.as_json(report_of(name)), recorder.recorded(f"{name}.json"))


@each_ledger
def test_recorded_text_report_is_made_again(name: str) -> None:
    assert recorder.as_text(report_of(name)) == recorder.recorded(f"{name}.txt")


@functools.cache
def page_of(name: str) -> recorder.RecordedPage:
    return recorder.as_page(report_of(name))


@each_ledger
def test_recorded_page_is_made_again(name: str) -> None:
    """But for its drawings."""
    assert page_of(name).html == recorder.recorded(f"{name}.html")


@each_ledger
def test_recorded_drawings_of_a_page_are_made_again(name: str) -> None:
    expected = json.loads(recorder.recorded(recorder.DRAWINGS))
    if expected["matplotlib"] != recorder.MATPLOTLIB:
        pytest.skip(f"the drawings were recorded with matplotlib's {expected['matplotlib']}")
    assert recorder.digests(page_of(name).drawings) == expected[name]


def test_comparison_of_json_notices_a_digit_and_a_name() -> None:
    text = recorder.recorded("mixed.json")
    assert_same_json(text, text)
    for old, new in (('"releases": 3605', '"releases": 3604'), ('"order"', '"orders"'), ("1.5605323", "1.5605324")):
        assert old in text
        with pytest.raises(AssertionError):
            assert_same_json(text.replace(old, new, 1), text)


def test_recorded_reports_are_of_what_they_say() -> None:
    mixed, thinner, examples = (report_of(name) for name in ("mixed", "thinner", "examples"))
    assert isinstance(mixed, BudgetReport)
    assert mixed.uncommitted == (6,)
    assert len(mixed.mechanisms) == 6
    assert len(thinner.failed) == 1
    assert examples.spent.pld_epsilon is not None
    counted = {name: report_of(name) for name in ("cohorts", "drawn", "local", "readers")}
    assert {name: each.spent.claim for name, each in counted.items()} == {
        "cohorts": Claim.BUDGET,
        "drawn": Claim.SPENT,
        "local": Claim.SPENT,
        "readers": Claim.BUDGET,
    }
    for name, each in counted.items():
        enforced, other = each.statements
        assert (enforced.observer is Observer.READERS) == (name in ("drawn", "readers"))
        assert {enforced.observer, other.observer} == set(Observer)
