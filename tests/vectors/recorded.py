"""Where recorded files lie, and what every one of their tests needs."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dp.version import SOFTWARE, VERSION

VECTORS: Final = Path(__file__).parent
_VERSION_FIELD: Final = "SOFTWARE OF THIS REPORT"


def rewrite(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Make these the files of a folder; its README.md stays, and every other file goes."""
    for path in folder.iterdir():
        if path.name not in (*contents, "README.md"):
            path.unlink()
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def private_copy(source: Path, target: Path) -> Path:
    """Copy a file that git keeps readable for everybody, so that its owner alone may read it."""
    target.touch(mode=0o600)
    target.write_bytes(source.read_bytes())
    return target


def copied(source: Path, target: Path) -> Path:
    """Copy a folder, so that a test may write to it."""
    return Path(shutil.copytree(source, target, ignore=shutil.ignore_patterns("README.md")))


def without_version(text: str, *, before: str) -> str:
    """Replace the version of this software where it stands after `before`, which has to occur once."""
    found = f"{before}{SOFTWARE} {VERSION}"
    if text.count(found) != 1:
        raise ValueError(f"expected the version once after {before!r}, found it {text.count(found)} times")
    return text.replace(found, f"{before}{_VERSION_FIELD}")
