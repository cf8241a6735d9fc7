"""Suggestions of a known name for an unknown one."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question for the end of an error, `; did you mean epsilon?`, or an empty text if no name is close."""
    names = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), names, n=1)
    return f"; did you mean {names[found[0]]}?" if found else ""
