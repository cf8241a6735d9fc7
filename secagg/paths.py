"""Paths as people write them in settings and options."""

from pathlib import Path
from typing import Final

from secagg.errors import ConfigurationError

ARCHIVE: Final = ".npz"


def expanded(path: str | Path) -> Path:
    """Return a path with the home folder in place of a leading `~`: in a file, no shell expands it.

    Raises:
        ConfigurationError: There is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigurationError(
            f"{path}: expected a home folder for its ~, found none. Write the path in full."
        ) from None


def whole(path: str | Path) -> str:
    """Return the absolute path, which means the same from every folder.

    Raises:
        ConfigurationError: There is no home folder for its `~`.
    """
    return str(expanded(path).absolute())


def escaped(text: object) -> str:
    """Return the text of a path or an error, with an escape for every character that could control a terminal."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(text))


def is_archive(name: str | Path) -> bool:
    """Return whether a path has the suffix of a `.npz` archive, in upper or lower case."""
    return Path(name).suffix.lower() == ARCHIVE
