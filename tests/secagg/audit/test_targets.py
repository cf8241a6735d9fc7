"""What people name as the target of an audit."""

from pathlib import Path

import pytest

from protocols import SecAgg
from secagg.audit.adapt import subjects_of
from secagg.audit.sums.subject import SumSubject
from secagg.audit.targets import TOOLKIT, target_of
from secagg.errors import ConfigurationError
from tests.support.audit_checks import Given

MODULE = """
from protocols import SecAgg, SecAggPlus
from secagg.audit.sums.subject import SumSubject
plus = SecAggPlus
class Holder:
    kept = SecAgg()
def make(): return SecAgg()
def several(): return [SecAgg(), SecAggPlus]
def twice(): return [SecAgg(), SecAgg()]
def nothing(): return []
def number(): return 17
def leave(): raise SystemExit(1)
def lazily():
    yield SecAgg()
    raise SystemExit(0)
class Named(SumSubject):
    def __init__(self, name): self.name, self.claims = name, ()
def colour(): return Named("\\x1b[31m")
def lines(): return Named("a\\nREJECTED: b")
def nameless(): return Named(None)
def needs(argument): return argument
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "audited_module.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def test_target_without_a_name_is_the_toolkit() -> None:
    target = target_of(None)
    assert (target.kind, target.name) == ("toolkit", TOOLKIT)
    assert target.subjects


@pytest.mark.parametrize(
    ("text", "kind", "names"),
    [
        ("secagg", "protocol", ["secagg-curious", "secagg-malicious"]),
        ("plain", "protocol", ["plain"]),
        ("audited_module:make", "factory", ["secagg"]),
        ("audited_module:plus", "factory", ["secagg-plus-curious", "secagg-plus-malicious"]),
        ("audited_module:Holder.kept", "factory", ["secagg"]),
        ("audited_module:several", "factory", ["secagg", "secagg-plus-curious", "secagg-plus-malicious"]),
    ],
)
def test_target_stands_for_its_subjects(text: str, kind: str, names: list[str]) -> None:
    target = target_of(text)
    assert (target.kind, target.name) == (kind, text)
    assert [subject.name for subject in target.subjects] == names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("secag", "which is none of them"),
        ("nowhere:make", "ModuleNotFoundError"),
        ("audited_module:missing", "AttributeError"),
        ("audited_module:leave", "SystemExit"),
        ("audited_module:lazily", "SystemExit"),
        ("audited_module:colour", "printable characters"),
        ("audited_module:lines", "printable characters"),
        ("audited_module:nameless", "found 'NoneType'"),
        ("audited_module:needs", "TypeError"),
        ("audited_module:number", "found int"),
        ("audited_module:nothing", "found none"),
        ("audited_module:twice", "found two named 'secagg'"),
        ("", "which is none of them"),
    ],
)
def test_target_that_cannot_be_audited_is_refused_in_one_line(text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected) as raised:
        target_of(text)
    assert "\n" not in str(raised.value)


def test_subject_stands_for_itself() -> None:
    subject = Given()
    assert subjects_of("it", subject) == (subject,)
    (found,) = subjects_of("it", SecAgg())
    assert isinstance(found, SumSubject)
    with pytest.raises(ConfigurationError, match="expected a Subject"):
        subjects_of("it", int)
