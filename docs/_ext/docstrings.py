"""Docstrings as reStructuredText.

The docstrings of this project are plain text: names stand between single backticks, lists begin with a dash, and
letters such as `*` or `|` mean themselves.
"""

import re
from typing import Final

_SPECIAL: Final = re.compile(r"(?<!\\)([*|]|(?<=\w)_(?!\w))")
_STRONG: Final = re.compile(r"\*\*[^*`\n]+\*\*")
_CODE: Final = re.compile(r"``[^`]+``|`[^`]+`")
_ITEM: Final = re.compile(r"^\s*(?:-|\d+\.) ")


def as_rest(lines: list[str]) -> list[str]:
    """Return the lines of a docstring with what reStructuredText would take for markup escaped, and lists set apart."""
    result: list[str] = []
    for line in _in_whole_code(lines):
        before = result[-1] if result else ""
        if _ITEM.match(line) and before.strip() and not _is_of_list(result, line):
            result.append("")
        result.append(_escaped(line))
    return result


def _in_whole_code(lines: list[str]) -> list[str]:
    return [line.expandtabs() for line in lines]


def _is_of_list(result: list[str], line: str) -> bool:
    """Return whether an item goes on with a list: the paragraph above it is an item, or belongs to one."""
    indent = len(line) - len(line.lstrip())
    for before in reversed(result):
        if not before.strip():
            return False
        if _ITEM.match(before) and len(before) - len(before.lstrip()) == indent:
            return True
    return False


def _escaped(line: str) -> str:
    kept = [*_CODE.finditer(line)]
    pieces, end = [], 0
    for code in kept:
        pieces.append(_escape_text(line[end : code.start()]))
        pieces.append(code.group())
        end = code.end()
    return "".join([*pieces, _escape_text(line[end:])])


def _escape_text(text: str) -> str:
    pieces, end = [], 0
    for strong in _STRONG.finditer(text):
        pieces.append(_SPECIAL.sub(r"\\\1", text[end : strong.start()]))
        pieces.append(strong.group())
        end = strong.end()
    return "".join([*pieces, _SPECIAL.sub(r"\\\1", text[end:])])
