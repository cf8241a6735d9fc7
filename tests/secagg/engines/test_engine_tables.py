"""The tables of crashes and attacks in docs/engines: the tests that rows name exist, and no row is missing."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[3]
PAGES: Final = tuple(ROOT / "docs" / "engines" / name for name in ("crashes.md", "attacks.md"))
NAMED: Final = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")
ROWS: Final = [
    pytest.param(line, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines())
    if line.startswith("|") and ".py" in line
]


@cache
def functions(path: Path) -> frozenset[str]:
    """Return the names of the functions of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("row", ROWS)
def test_row_names_tests_that_exist(row: str) -> None:
    named = NAMED.findall(row)
    assert named
    for file, function in named:
        path = ROOT / "tests" / "secagg" / "engines" / file
        assert path.exists(), file
        assert not function or function in functions(path), f"{file}::{function}"


def test_tables_have_every_row_of_the_design() -> None:
    crashes, attacks = (page.read_text(encoding="utf-8") for page in PAGES)
    assert len(re.findall(r"^\| [^|]+ \| [^|]+ \| [^|]+ \| `", crashes, re.MULTILINE)) == 15
    assert len(re.findall(r"^\| [^|]+ \| `[^|]+ \| [^|]+ \|$", crashes, re.MULTILINE)) == 9
    assert len(re.findall(r"^\| [^|]+ \| [^|]+ \| `[^|]+ \| [^|]*\.py[^|]+ \|$", attacks, re.MULTILINE)) == 13
