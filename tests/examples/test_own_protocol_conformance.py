"""The conformance suite passes on the example protocol, and fails on that protocol once it is broken."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).parents[2] / "examples" / "own_protocol"

FORGETS_A_CONTRIBUTOR: Final = (
    "        self.state.total = (self.state.total + entries)",
    "        self.state.total = (self.state.total + entries * (sender != 7))",
)
ACCEPTS_ANOTHER_SESSION: Final = (
    "    def message_limit(",
    "    def digest(self, session: Session) -> bytes:\n        return bytes(32)\n\n    def message_limit(",
)
SENDS_IN_THE_CLEAR_BUT_CLAIMS_TO_PROTECT: Final = (
    "    adversaries: ClassVar[tuple[Adversary, ...]] = ()",
    "    adversaries: ClassVar[tuple[Adversary, ...]] = (Adversary.CURIOUS,)",
)


def run_suite(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the test file of a copy of the example."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, "test_tally.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(FOLDER.parents[1]), str(folder)])},
        capture_output=True,
        text=True,
        check=False,
    )


def copied(folder: Path, *, broken: tuple[str, str] = ("", "")) -> Path:
    """Copy the example, with one piece of the protocol replaced by another."""
    text, (right, wrong) = (FOLDER / "tally.py").read_text(encoding="utf-8"), broken
    assert right in text
    (folder / "tally.py").write_text(text.replace(right, wrong) if right else text, encoding="utf-8")
    (folder / "test_tally.py").write_bytes((FOLDER / "test_tally.py").read_bytes())
    return folder


def test_example_passes_the_suite(tmp_path: Path) -> None:
    done = run_suite(copied(tmp_path))
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) > 200
    assert "skipped" not in done.stdout


@pytest.mark.parametrize(
    ("broken", "caught_by"),
    [
        (FORGETS_A_CONTRIBUTOR, "test_sum_is_exact_when_nobody_drops"),
        (ACCEPTS_ANOTHER_SESSION, "test_messages_of_another_session_are_refused"),
        (SENDS_IN_THE_CLEAR_BUT_CLAIMS_TO_PROTECT, "test_servers_view_holds_no_input"),
    ],
    ids=["forgets-a-contributor", "accepts-another-session", "sends-in-the-clear"],
)
def test_suite_fails_on_a_broken_protocol(broken: tuple[str, str], caught_by: str, tmp_path: Path) -> None:
    done = run_suite(copied(tmp_path, broken=broken), "-k", caught_by)
    assert done.returncode == 1, done.stdout
    assert re.search(rf"^FAILED .*::{caught_by}\[", done.stdout, re.MULTILINE)


def test_class_without_a_usable_scenario_is_an_error_and_not_skipped(tmp_path: Path) -> None:
    (tmp_path / "test_tally.py").write_text(
        "from protocols.testing import ProtocolConformance\n\n\nclass TestNothing(ProtocolConformance):\n    pass\n",
        encoding="utf-8",
    )
    done = run_suite(tmp_path)
    assert done.returncode not in (0, 5), done.stdout
    assert "scenarios: expected at least one scenario, found none" in done.stdout


def test_missing_pytest_is_told(tmp_path: Path) -> None:
    (tmp_path / "pytest.py").write_text("raise ModuleNotFoundError('No module named pytest')\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", "import protocols.testing"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(FOLDER.parents[1])])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert 'pip install ".[testing]"' in done.stderr
