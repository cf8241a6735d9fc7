"""The command `secagg audit`, as a process of its own."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from secagg.audit.document import AuditDocument
from tests.support.commands import secagg

PLANTED = """
from secagg.audit.planted.account import PLANTED
def bug(): return PLANTED[1].subject()
"""
SEED = "0123456789abcdef" * 4


def test_audit_that_rejects_nothing_ends_with_0_and_writes_what_was_asked_for(tmp_path: Path) -> None:
    options = ("--only", "account.ledger", "--html", "page.html", "--json", "audit.json", "--seed", SEED)
    found = secagg("audit", *options, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "Not rejected by 3 checks" in found.stdout
    assert SEED in found.stdout
    assert "NOT TESTED" in found.stdout
    assert "3 of 3 checks" in found.stderr
    document = msgspec.json.decode((tmp_path / "audit.json").read_bytes(), type=AuditDocument, strict=True)
    assert (document.verdict, document.exit, document.master_seed) == ("not rejected", 0, SEED)
    assert SEED in (tmp_path / "page.html").read_text()


def test_audit_that_rejects_ends_with_3(tmp_path: Path) -> None:
    (tmp_path / "planted_bug.py").write_text(PLANTED)
    found = secagg("audit", "planted_bug:bug", "--json", "audit.json", cwd=tmp_path)
    assert found.returncode == 3
    assert "REJECTED: planted-32" in found.stdout
    assert "rejected: planted-32: account.composition.below" in found.stderr
    assert json.loads((tmp_path / "audit.json").read_text())["exit"] == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("secag",), "which is none of them"),
        (("--only", "acount"), "did you mean account"),
        (("--seed", "12"), "--seed: expected 64 hexadecimal digits"),
        (
            ("--html", "missing/page.html"),
            "--html: expected a file that can be written, found missing/page.html: there is no folder",
        ),
        (("--json", "."), "--json: expected a file"),
        (("secagg", "--self-test"), "--self-test: expected no target"),
        (("--self-test", "--only", "account"), "--self-test: expected no target"),
        (("--level", "long"), "Invalid value for '--level'"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_run(arguments: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    found = secagg("audit", *arguments, cwd=tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert expected in re.sub(r"\s+", " ", found.stderr)
    assert not list(tmp_path.iterdir())


LEAVING = """
from secagg.audit.planted.account import PLANTED
Kind = type(PLANTED[1].subject())
class Leaving(Kind):
    @property
    def claims(self): raise SystemExit(0)
    @claims.setter
    def claims(self, value): pass
def named():
    import secagg.audit.targets as targets
    targets._check_texts = lambda *_: None
    found = PLANTED[1].subject()
    found.__class__ = Leaving
    return found
"""


def test_subject_cannot_choose_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "leaving.py").write_text(LEAVING)
    found = secagg("audit", "leaving:named", cwd=tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert "that leave the process alone" in re.sub(r"\s+", " ", found.stderr)
