"""What stands around the code agrees with it: make's targets, lock files, the citation, the public workflow."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGETS = re.findall(r"^([a-z][a-z0-9.-]*%?):(?!=)", MAKEFILE, re.MULTILINE)
INTERNAL = {"test-later"}
"""Targets that other targets call."""
LONG = {"kills", "engine-kills", "faults", "engines", "rounding", "explore", "fuzz"}
LONG |= {"audit", "audit-self-test", "audit-long", "audit-seeds", "test-long"}
"""Targets that check what `make test` has no time for."""
MOST_LINES = 400
BANNED = (
    "whoever",
    "likewise",
    "none but",
    "as many as needed",
    "exactly where",
    "takes it that",
    "stands against",
    "vanish",
)
"""Phrases of the style guide's table that are wrong in every sense. Others there are wrong in one sense only."""
MODULES = [path for package in ("dp", "protocols", "secagg") for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("target", [target for target in TARGETS if target not in INTERNAL])
def test_every_target_is_in_the_help(target: str) -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^{re.escape(target.replace('%', 'N'))} +[A-Z].+\.?$", told, re.MULTILINE)


@pytest.mark.parametrize("lock", sorted(ROOT.glob("requirements*.lock")), ids=lambda path: path.name)
def test_locks_have_hashes_and_name_no_place(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert not re.search(r"://|--index|--find-links|(?<!hash=sha256:)(?:^|\s)/", text)
    requirements = [entry for entry in re.split(r"\n(?=[a-z])", text.strip()) if not entry.startswith("#")]
    assert requirements
    assert all("==" in entry and "--hash=sha256:" in entry for entry in requirements)


def test_lock_of_the_documentation_has_what_it_asks_for() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements-docs.lock").read_text("utf-8"), re.MULTILINE))
    asked = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["docs"]]
    assert {re.split(r"[<>=!~\[; ]", each)[0] for each in asked} <= locked
    assert not locked & {"tensorflow", "keras"}


def test_citation_names_the_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^version: {re.escape(PROJECT['version'])}$", citation, re.MULTILINE)
    assert re.search(rf"^license: {re.escape(PROJECT['license'])}$", citation, re.MULTILINE)


def test_workflow_has_least_permissions_pinned_actions_and_targets_of_ours() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert re.findall(r"permissions:\n((?:  .+\n)+)", workflow) == ["  contents: read\n"]
    assert "secrets." not in workflow
    used = re.findall(r"uses: (\S+)", workflow)
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+\.\d+\.\d+", action) for action in used)
    called = set(re.findall(r"run: make ([a-z-]+)$", workflow, re.MULTILINE))
    called |= set(re.findall(r"target: \[(.+)\]", workflow)[0].split(", "))
    assert {"lint", "test", "docs"} < called <= set(TARGETS)


def test_workflow_runs_every_long_target_each_night() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert "schedule:\n    - cron:" in workflow
    assert set(re.findall(r"target: \[(.+)\]", workflow)[0].split(", ")) == LONG


def test_every_path_with_an_owner_exists() -> None:
    owned = re.findall(r"^/(\S+) @", (ROOT / ".github" / "CODEOWNERS").read_text(encoding="utf-8"), re.MULTILINE)
    assert owned
    assert all((ROOT / path).exists() for path in owned)


def test_no_module_is_longer_than_the_style_guide_allows() -> None:
    lines = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in MODULES}
    assert len(lines) > MOST_LINES  # It has found the packages.
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}


@pytest.mark.parametrize("phrase", BANNED)
def test_no_text_holds_a_phrase_that_the_style_guide_bans(phrase: str) -> None:
    guide = ROOT / "docs" / "style.md"
    pages = [path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")] if path != guide]
    texts = {path: path.read_text(encoding="utf-8") for path in [*MODULES, *pages] if "_build" not in path.parts}
    found = re.compile(r"\b" + r"\s+".join(phrase.split()) + r"(es|ed)?\b", re.IGNORECASE)
    assert found.search(guide.read_text(encoding="utf-8"))
    assert [str(path.relative_to(ROOT)) for path, text in texts.items() if found.search(text)] == []


def test_every_test_of_an_attack_says_what_the_attacker_does() -> None:
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if "attack" in f"{path.parent.name}/{path.name}"]
    assert len(files) > 20
    tests = [
        (path.name, node)
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert [f"{name}::{node.name}" for name, node in tests if not ast.get_docstring(node)] == []
