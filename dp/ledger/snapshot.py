"""A ledger as it was at one instant, copied without a lock while somebody may be writing it.

A reader that takes SQLite's lock is refused while a writer holds the file, and a writer that begins meanwhile is
refused because of the reader. So the bytes are copied instead: the file, then its journal, then the file is compared
with the copy. If both are equal, the copy and the journal are of one instant:

    No byte of the file goes back to an earlier value while it is read, since records are only added. So bytes that are
    equal before and after the journal was read had these values while it was read. At that instant the file is as the
    last transaction left it, or SQLite is within one. It writes the original of every page to the journal, and counts
    these in the journal's header, before it changes the first of them, and it clears the header after the last change
    is on the disk (sqlite.org/atomiccommit.html, sections 3 and 6). So the journal undoes what the copy has of it.

Whoever opens the copy lets SQLite undo it there. The file and its journal are never written, nor their folder.
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dp.errors import LedgerLocked, LedgerUnavailable
from dp.ledger.journal import journal_of, read_journal

MAXIMUM_COPIED_BYTES: Final = 1 << 30
ATTEMPTS: Final = 1000
PAUSE_S: Final = 0.002
_CHUNK_BYTES: Final = 1 << 20


@contextlib.contextmanager
def snapshot(path: Path, file: Path) -> Iterator[Path]:
    """Copy a ledger into a temporary folder, which only this user can read and which is removed at the end.

    Args:
        path: the file, as errors call it.
        file: what to copy, its links resolved; this process must not have it open, since closing it drops its locks.

    Yields:
        The copy, with its journal beside it where there is one.

    Raises:
        LedgerCorrupt: beside the file lies what no ledger's writer has put there.
        LedgerLocked: it changed during every attempt.
        LedgerUnavailable: it is too large, or there is no folder for temporary files.
        OSError: a file cannot be read.
    """
    with _temporary_folder(path) as folder:
        copy = folder / "ledger"
        for _ in range(ATTEMPTS):
            if file.stat().st_size > MAXIMUM_COPIED_BYTES:
                raise LedgerUnavailable(
                    f"{path}: expected at most {MAXIMUM_COPIED_BYTES} bytes to read, found more; open it for writing"
                )
            shutil.copyfile(file, copy)
            journal = read_journal(file)
            if _equal(file, copy):
                if journal is not None:
                    journal_of(copy).write_bytes(journal)
                yield copy
                return
            time.sleep(PAUSE_S)
        raise LedgerLocked(
            f"{path}: expected a moment without a change in {ATTEMPTS} attempts to read it, found none; try again"
        )


@contextlib.contextmanager
def _temporary_folder(path: Path) -> Iterator[Path]:
    try:
        opened = tempfile.TemporaryDirectory()
    except OSError as error:
        raise LedgerUnavailable(
            f"{path}: expected a folder for temporary files, to copy it to, found none ({error.strerror}); set TMPDIR "
            "to one"
        ) from None
    with opened as folder:
        yield Path(folder).resolve()


def _equal(one: Path, other: Path) -> bool:
    with one.open("rb") as left, other.open("rb") as right:
        while True:
            chunk = left.read(_CHUNK_BYTES)
            if chunk != right.read(_CHUNK_BYTES):
                return False
            if not chunk:
                return True
