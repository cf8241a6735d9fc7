"""Lines on standard error, and whether a terminal can show bars. Every command imports this, so it imports no other."""

import contextlib
import sys

from rich.console import Console


def shows_bars(console: Console) -> bool:
    """Return whether bars would be seen to move: not in a file, a pipe or a terminal that cannot move its cursor."""
    return console.file.isatty() and console.is_terminal and not console.is_dumb_terminal


def write_line(line: str) -> None:
    """Write a line to standard error at once; a log that nobody takes, or whose disk is full, ends nothing."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
