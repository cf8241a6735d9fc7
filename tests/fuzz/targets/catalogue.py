"""All targets, by name."""

import contextlib
import fnmatch
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from tests.fuzz.target import Entry, Target
from tests.fuzz.targets import (
    audited,
    engine_parts,
    engines,
    files,
    homes,
    ledgers,
    messages,
    primitives,
    sealed_shares,
    seed_keys,
    storage,
)


@cache
def all_entries() -> dict[str, Entry]:
    """Return every target, not yet built, by name."""
    modules = (
        *(messages, sealed_shares, primitives, seed_keys, ledgers, storage, files, homes, audited, engines),
        engine_parts,
    )
    found = [entry for module in modules for entry in module.entries()]
    by_name = {entry.name: entry for entry in found}
    if len(by_name) != len(found):
        raise ValueError("targets: expected different names, found one twice")
    return by_name


def chosen(patterns: Sequence[str]) -> list[Entry]:
    """Return the targets whose names match one of the patterns, or all if there is no pattern.

    Raises:
        LookupError: A pattern matches no target.
    """
    entries = all_entries()
    if not patterns:
        return list(entries.values())
    for pattern in patterns:
        if not fnmatch.filter(entries, pattern):
            raise LookupError(f"target: expected one of {', '.join(entries)}, found {pattern}.")
    return [entry for name, entry in entries.items() if any(fnmatch.fnmatchcase(name, each) for each in patterns)]


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder for the files of targets, in memory if the system has a place for that; it is removed at the end.

    What the code under test writes into the folder for temporary files goes there as well.
    """
    memory = Path("/dev/shm")
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        tempfile.tempdir = folder
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before


def built(entry: Entry, folder: Path) -> Target:
    """Build a target with an empty folder of its own."""
    own = folder / entry.name.replace("/", "_")
    if own.exists():
        shutil.rmtree(own)
    own.mkdir()
    return entry.build(own)
