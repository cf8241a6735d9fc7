"""The tables of docs/models.md, for tests that compare them with what the searches find."""

import re
from functools import cache
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "models.md"


@cache
def _rows() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def row(name: str) -> list[str]:
    """Return the other cells of the one row that begins with a name.

    Raises:
        LookupError: There is no such row, or more than one.
    """
    found = [cells for first, *cells in _rows() if first == name]
    if len(found) != 1:
        raise LookupError(f"docs/models.md: expected one row {name!r}, found {len(found)}")
    return found[0]


def numbers(cell: str) -> list[int]:
    """Return the whole numbers of a cell."""
    return [int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*", cell)]
