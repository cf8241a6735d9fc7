"""The threat model: stable ids, links that lead somewhere, and claims that point at code, tests and planted bugs."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from secagg.audit.claims import CLAIMS
from secagg.audit.suite import PLANTED

ROOT = Path(__file__).parent.parent
DENIED = ("There is no proof that it protects from a malicious server.", "it does not protect", "protect nobody")
"""Phrases of the README that say what is not protected."""
SECURITY_CLAIM = re.compile(
    r"obtains? only|cannot learn|bounds what|differentially private|exactly the noise|promise"
    r"|\b(?:hides?|protects?)\b(?! nobody| \*\*nobody| real devices)|honest-but-curious server \||also a malicious one"
)
THREAT_MODEL = ROOT / "threat_model.md"
DOCS = ROOT / "docs"
PAGES = (
    THREAT_MODEL,
    *(
        DOCS / f"{name}.md"
        for name in ("glossary", "graph", "lattice-gaussian", "oneshot", "seeds", "style", "subsampling")
    ),
    *sorted((DOCS / "decisions").glob("0*.md")),
)
GROUPS = {"PAIR", "MAL", "LSA", "COM", "DP", "NODE", "KEY", "NOT"}
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
CLAIM = re.compile(r"^#### ([A-Z]+)-(\d+): \S", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> list[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_claims_are_numbered_without_gaps() -> None:
    numbers = defaultdict(list)
    text = THREAT_MODEL.read_text(encoding="utf-8")
    for group, number in CLAIM.findall(text):
        numbers[group].append(int(number))
    assert set(numbers) == GROUPS
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())
    assert sum(map(len, numbers.values())) == len(re.findall(r"^#### ", text, re.MULTILINE))


def test_claims_that_are_mentioned_exist() -> None:
    text = THREAT_MODEL.read_text(encoding="utf-8")
    known = {f"{group}-{number}" for group, number in CLAIM.findall(text)}
    known |= set(re.findall(r"^\| (ASM-\d+) \|", text, re.MULTILINE))
    assert set(re.findall(rf"\b(?:ASM|{'|'.join(sorted(GROUPS))})-\d+\b", text)) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    assert len(anchors(page)) == len(set(anchors(page)))
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").glob("0*.md")), ids=lambda page: page.stem)
def test_decision_has_its_header(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {int(page.name[:4])}. ")
    assert re.search(r"^- \*\*Status:\*\* accepted", text, re.MULTILINE)
    assert re.search(r"^- \*\*Date:\*\* \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert sections == ["Context", "Decision", "Alternatives considered", "Consequences"]


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading of the threat model."""
    part = THREAT_MODEL.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


CLAIM_ROWS = rows("Claims and the checks that would fail")
ATTACK_ROWS = rows("Attacks")


def functions(path: str) -> set[str]:
    """Return the names of all functions and methods of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def named(cell: str) -> list[tuple[str, str]]:
    """Return the paths and names in a cell, such as `path.py:function` and `path.py::test`."""
    return [(path, name) for path, name in re.findall(r"`([\w/]+\.py)::?(\w+)`", cell)]


def test_table_of_claims_has_every_claim_of_the_audit_in_its_words() -> None:
    assert [row[0] for row in CLAIM_ROWS] == list(CLAIMS)
    for identity, text, *_ in CLAIM_ROWS:
        assert text.lower() == f"{CLAIMS[identity].text}.".lower()


@pytest.mark.parametrize("row", CLAIM_ROWS, ids=lambda row: row[0])
def test_row_of_a_claim_is_whole_and_names_what_exists(row: list[str]) -> None:
    identity, _, assumption, attacks_on_it, mechanism, test, planted = row
    assert all((assumption, attacks_on_it, mechanism, test, planted))
    for cell in (mechanism, test):
        assert named(cell), cell
        for path, name in named(cell):
            assert name in functions(path), f"{path}: {name}"
    numbers = {int(number) for number in planted.split(", ")}
    known = {each.number for each in PLANTED}
    assert numbers <= known, f"{identity}: planted bugs {sorted(numbers - known)}"
    breaking = {each.number for each in PLANTED if each.claim == identity}  # Variants of one bug share its number.
    assert numbers & breaking, f"{identity}: no planted bug that breaks this claim"


def test_every_planted_bug_is_in_the_table_of_claims() -> None:
    listed = {int(number) for row in CLAIM_ROWS for number in row[-1].split(", ")}
    assert listed == {each.number for each in PLANTED}


@pytest.mark.parametrize("row", ATTACK_ROWS, ids=lambda row: row[0][:40])
def test_row_of_an_attack_names_a_test_that_exists_or_says_that_there_is_no_defence(row: list[str]) -> None:
    attack, tags, source, defence, test = row
    assert attack
    assert source
    assert set(tags.split(", ")) <= {"S", "T", "R", "I", "D", "E", "L", "Id", "NR", "De", "DD", "U", "NC"}
    if test == "none":
        assert "NOT-" in defence or "not told" in defence
        return
    assert named(test), test
    for path, name in named(test):
        assert name in functions(path), f"{path}: {name}"


def statements(page: str) -> list[str]:
    """Return the paragraphs, the items of lists and the rows of tables of a page, without code."""
    text = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    return re.split(r"\n\s*\n|\n(?=\|)|\n(?=(?:> )?- )|\n(?=\d\. )", text)


def test_readme_makes_no_claim_of_security_without_an_id() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    for denied in DENIED:
        page = page.replace(denied, "")
    found = [each for each in statements(page) if SECURITY_CLAIM.search(each)]
    assert len(found) >= 10
    for each in found:
        if re.match(r"\| (?:who|name and class|not protected) \|", each) or each.startswith("#"):
            continue  # The heading of a table or of a section.
        ids = re.findall(r"\bC-\d\d\b", each)
        assert ids, each
        assert set(ids) <= CLAIMS.keys(), each
