"""Audits as tests of other people's suites."""

import json
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from protocols import SecAgg
from secagg.audit.suite import ATTACKS
from secagg.audit.sums.subject import SumSubject

pytest_plugins = ["pytester"]

GOOD = """
from secagg.audit import SecureSumAudit
from protocols import SecAgg

class TestMine(SecureSumAudit):
    def subject(self):
        return SecAgg()
"""
GIVEN = """
from secagg.audit import testing
from tests.support.audit_checks import Crashing, Exact, Given, Inapt, Statistical

testing.ATTACKS = (Exact(rejected=True), Statistical(0.5), Inapt(), Crashing())

class TestGiven(testing.ClaimsAudit):
    def subject(self):
        return Given()
"""
WRONG = """
from secagg.audit import SecureSumAudit
from tests.support.audit_checks import Given

class TestWrong(SecureSumAudit):
    def subject(self):
        return Given()
"""
ROOT = Path(__file__).parents[3]
ARGUMENTS = ("-p", "no:cacheprovider", "-q", "-rs")
IS_INSTALLED = any(point.name == "secagg-audit" for point in entry_points(group="pytest11"))
PLUGIN = () if IS_INSTALLED else ("-p", "secagg.audit.pytest_plugin")
"""Names the plugin where an older installation of the toolkit does not register it."""


def run(pytester: pytest.Pytester, code: str, *arguments: str) -> pytest.RunResult:
    """Run the plugin in a process of its own."""
    pytester.makepyfile(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        return pytester.runpytest_subprocess(*PLUGIN, *ARGUMENTS, *arguments)


def test_five_lines_audit_a_protocol(pytester: pytest.Pytester) -> None:
    result = run(pytester, GOOD, "--collect-only")
    text = result.stdout.str()
    subject = SumSubject.of(SecAgg())
    expected = [
        attack.id for attack in ATTACKS if isinstance(subject, attack.subjects) and subject.claims_any(attack.tests)
    ]
    assert expected
    assert all(f"secagg-{attack}]" in text for attack in expected)


def test_each_check_is_a_test_and_a_rejection_is_a_failure(pytester: pytest.Pytester, tmp_path: Path) -> None:
    path = tmp_path / "findings.jsonl"
    result = run(pytester, GIVEN, f"--audit-json={path}", "--audit-seed", "ab" * 32)
    result.assert_outcomes(passed=1, failed=2, skipped=1)
    text = result.stdout.str()
    assert "rejected: given" in text
    assert "found: 1 + 1 = 3" in text
    assert "The subject takes no entropy." in text
    assert "the secret key is 17" not in text
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert [each["verdict"] for each in found] == ["rejected", "not rejected", "not applicable", "errored"]


def test_subject_of_another_kind_is_refused(pytester: pytest.Pytester) -> None:
    result = run(pytester, WRONG)
    result.assert_outcomes(errors=1)
    assert "expected a protocol" in result.stdout.str() or "audit for this kind" in result.stdout.str()


def test_seed_that_is_none_is_refused(pytester: pytest.Pytester) -> None:
    result = run(pytester, GIVEN, "--audit-seed", "xyz")
    assert "expected 64 hexadecimal digits, found 'xyz'" in result.stderr.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
