"""Figures of a plan in words and in five characters."""

from typing import Final

_TIMES: Final = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"))
_SIZES: Final = ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def seconds_in_words(seconds: float) -> str:
    """Return a time with its unit, in two or three digits."""
    for unit, name in _TIMES:
        if seconds >= 2 * unit:
            return f"{short(seconds / unit)} {name}"
    return f"{short(seconds)} s"


def bytes_in_words(size: float) -> str:
    """Return a size with its unit, in two or three digits."""
    for unit, name in _SIZES:
        if size >= unit:
            return f"{short(size / unit)} {name}"
    return f"{short(size)} bytes"


def short(number: float) -> str:
    """Return a number of at least 0, below 1e100, in at most five characters: 0.012, 0.12, 1.2, 123, 1.2e5, 1e11."""
    if number == 0:
        return "0"
    if number >= 9999.5:
        digits = 1 if number < 9.95e9 else 0
        return f"{number:.{digits}e}".replace("e+0", "e").replace("e+", "e")
    if number >= 99.5:
        return f"{number:.0f}"
    return f"{number:.{2 if number < 1 else 1}f}" if number >= 0.095 else f"{number:.3f}"


def count(number: int) -> str:
    """Return a count below 1e100 in at most five characters; in full if it has at most five digits."""
    return f"{number}" if number < 100_000 else short(number)
