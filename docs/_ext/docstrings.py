"""Docstrings as reStructuredText.

The docstrings of this project are plain text: names stand between single backticks, lists begin with a dash, and
letters such as `*` or `|` mean themselves.
"""

import re
from typing import Final

_SPECIAL: Final = re.compile(r"(?<!\\)([*|]|(?<=\w)_(?!\w))")
_KEPT: Final = re.compile(r"``[^`]+``|`[^`]+`|\*\*[^*`]+\*\*")
_ITEM: Final = re.compile(r"^\s*(?:-|\d+\.) ")


def as_rest(lines: list[str]) -> list[str]:
    """Return the lines of a docstring with what reStructuredText would take for markup escaped, and lists set apart."""
    result: list[str] = []
    for line in lines:
        if line.strip() and result and result[-1].strip() and _starts_or_ends_list(result, line):
            result.append("")
        result.append(_escaped(line))
    return result


def _starts_or_ends_list(result: list[str], line: str) -> bool:
    """Return whether a line is the first item of a list, or the first line after one."""
    above = next((before for before in reversed(result) if not before.strip() or _ITEM.match(before)), "")
    if _ITEM.match(line):
        return not above.strip() or _indent(above) != _indent(line)
    return bool(above.strip()) and _indent(line) <= _indent(above)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _escaped(line: str) -> str:
    """Return a line with special letters escaped outside of code and of strong text."""
    pieces, end = [], 0
    for kept in _KEPT.finditer(line):
        pieces += [_SPECIAL.sub(r"\\\1", line[end : kept.start()]), kept.group()]
        end = kept.end()
    return "".join([*pieces, _SPECIAL.sub(r"\\\1", line[end:])])
