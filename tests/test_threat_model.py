"""The claims of the threat model have stable ids, and the links of the reference texts lead somewhere."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
THREAT_MODEL = ROOT / "threat_model.md"
DOCS = ROOT / "docs"
PAGES = (
    THREAT_MODEL,
    *(DOCS / f"{name}.md" for name in ("glossary", "graph", "oneshot", "style", "subsampling")),
    *sorted((DOCS / "decisions").glob("0*.md")),
)
GROUPS = {"PAIR", "MAL", "LSA", "COM", "DP", "KEY", "NOT"}
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
