"""The parts of the documentation site that are made from the code: figures, API pages, and links to files."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs._ext import docstrings, flow, public_names, repository, steps, turns
from docs._ext.drawing import Drawing, wrapped
from protocols import Adversary, available, load

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "concepts" / "protocols.md").read_text(encoding="utf-8")


def variants() -> Iterator[tuple[str, Adversary]]:
    for name in available():
        for adversary in load(name).adversaries or (Adversary.CURIOUS,):
            yield name, adversary


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize(("name", "adversary"), variants())
def test_figure_of_a_protocol_names_every_row_of_its_table(name: str, adversary: Adversary) -> None:
    protocol = steps.protocol_for_figure(name, adversary)
    written = texts(steps.draw_steps(protocol))
    for number, row in enumerate(protocol.steps, 1):
        assert f"Step {number}: {row.name}" in written
        assert steps.words(row.request.__name__) in written
        assert steps.words(row.reply.__name__) in written
    assert "(step" not in " ".join(written)  # The figure numbers the steps from 1, the code from 0.


@pytest.mark.parametrize("name", [name for name in available() if load(name).__module__.startswith("protocols.")])
def test_page_on_protocols_shows_every_protocol_of_ours(name: str) -> None:
    assert re.search(rf"^## `{name}`", PAGE, re.MULTILINE)
    assert re.search(rf"^```{{protocol-steps}} {name}$", PAGE, re.MULTILINE)


def test_figure_lies_within_its_width() -> None:
    for name, adversary in variants():
        for node in ElementTree.fromstring(steps.draw_steps(steps.protocol_for_figure(name, adversary))).iter():
            if node.tag.endswith("rect"):
                left, width = float(node.attrib["x"]), float(node.attrib["width"])
                assert 0 <= left <= left + width <= 760


def test_figure_of_a_round_names_every_stage_and_what_does_it_is_there() -> None:
    written = texts(flow.draw_round())
    for stage in flow.STAGES:
        assert stage.name in written
        package, *path = stage.by.split(".")
        found = importlib.import_module(package)
        for part in path:
            found = getattr(found, part)
        assert callable(found)


def test_figure_of_cohorts_counts_whom_it_asks() -> None:
    written = texts(turns.draw_turns())
    asked = [client for number in range(turns.ROUNDS) for client in turns.asked_in(number)]
    assert sum(text in ("asked", "no answer") for text in written) == len(asked) == turns.ROUNDS * turns.COHORT
    assert written.count("no answer") == 1
    assert turns.DROPPED[1] in turns.asked_in(turns.DROPPED[0])
    counts = [f"pays for {asked.count(client)}" for client in range(turns.CLIENTS)]
    assert [text for text in written if text.startswith("pays for")] == counts
    assert max(map(asked.count, asked)) == -(-len(asked) // turns.CLIENTS)  # the least cap


def test_text_is_wrapped_at_words_and_escaped() -> None:
    assert wrapped("one two three", 60, size=14) == ["one two", "three"]
    drawing = Drawing(title="a < b", width=100)
    drawing.text(0, 10, ["a & b"])
    assert texts(drawing.svg()) == ["a & b"]


def test_every_public_name_has_a_page() -> None:
    pages = public_names.pages()
    assert {"protocols", "dp", "secagg"} <= set(public_names.public_packages())
    for package in public_names.public_packages():
        for name in public_names.public_names(package):
            directive = rf"\.\. currentmodule:: {package}\n\n\.\. auto(class|exception|function|data):: {name}\n"
            assert [path for path, text in pages.items() if re.search(directive, text)], (package, name)


def test_names_of_pages_differ_in_more_than_case() -> None:
    paths = [path.lower() for path in public_names.pages()]
    assert len(paths) == len(set(paths))


def test_docstring_becomes_rest() -> None:
    assert docstrings.as_rest(["Take `*args` and *more*:", "- **one** | two", "- three"]) == [
        r"Take `*args` and \*more\*:",
        "",
        r"- **one** \| two",
        "- three",
    ]
    assert docstrings.as_rest(["- one", "  more", "After."]) == ["- one", "  more", "", "After."]


def test_links_to_files_become_links_of_the_site() -> None:
    page = ROOT / "docs" / "how-to" / "committee.md"
    told = repository.with_included_text(
        page,
        "[a](../transport.md) [b](../../examples/own_transport.py) [c](../../threat_model.md) "
        "[d](../../pyproject.toml) [e](#here) [f](../decisions)",
    )
    assert told == (
        "[a](../transport.md) [b](../examples/own_transport.md) [c](../threat-model.md) "
        "d (`pyproject.toml`) [e](#here) [f](../decisions/index.md)"
    )


def test_included_text_has_links_from_where_it_is_shown() -> None:
    page = ROOT / "docs" / "security.md"
    told = repository.with_included_text(page, page.read_text(encoding="utf-8"))
    assert "](threat-model.md)" in told
    assert "```{include}" not in told


def test_every_text_at_the_root_is_on_the_site() -> None:
    shown = {path for page in (ROOT / "docs").glob("*.md") for path in repository.included_files(page)}
    assert set(ROOT.glob("*.md")) <= shown
