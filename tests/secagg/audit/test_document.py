"""The JSON of an audit, and its schema."""

import importlib.resources
import json
import math

import msgspec
import pytest

from secagg.audit.attack import Result
from secagg.audit.document import AuditDocument, as_json, finding_as_json, schema
from tests.support.audit_checks import Crashing, Exact, Given, Inapt, Statistical, audited


def test_shipped_schema_is_that_of_the_types() -> None:
    shipped = importlib.resources.files("secagg.audit").joinpath("schemas", "audit-1.json").read_text(encoding="utf-8")
    assert shipped == schema(), "python -m secagg.audit.document > secagg/audit/schemas/audit-1.json"


def test_document_says_what_was_tested_and_what_was_not() -> None:
    audit = audited(Exact(rejected=True), Statistical(1e-5, 0.4), Inapt(), Crashing(), limits=("A limit.",))
    text = as_json(audit)
    assert msgspec.json.decode(text, type=AuditDocument, strict=True).verdict == "rejected"
    found = json.loads(text)
    assert found["schema"] == "secagg-audit/1"
    assert [each["verdict"] for each in found["findings"]] == ["rejected", "not rejected", "not applicable", "errored"]
    assert len(found["findings"][1]["attempts"]) == 2
    assert found["claims"][0] == {
        "id": "C-01",
        "text": "a released sum is exactly the sum of its contributors' vectors modulo the modulus",
        "subjects": ["given"],
        "parameters": {"given": {"bits": 24}},
        "verdict": "rejected",
    }
    assert found["not_tested"][-1] == {"subject": "", "attack": "protocol", "why": "A limit."}
    assert (found["exit"], found["started"]) == (3, "2001-09-09T01:46:40+00:00")
    assert "secret" not in text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_numbers_are_finite_or_null(value: float | None) -> None:
    class Odd(Exact):
        def run(self, *_: object) -> Result:
            return Result(statistic="odd", value=value)

    audit = audited(Odd(rejected=False), subjects=[Given()])
    assert json.loads(as_json(audit))["findings"][0]["value"] is None
    assert json.loads(finding_as_json(audit.findings[0]))["value"] is None
