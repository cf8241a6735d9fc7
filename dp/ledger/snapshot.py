"""A ledger as it was at one instant, copied without a lock while another process may be writing it.

A reader that takes SQLite's lock is refused while a writer holds the file. A writer that begins while a reader holds
the lock is refused as well. So the bytes are copied instead: first the file, then its journal; then the file is
compared with the copy. If both are equal, the copy and the journal belong to one instant:

    No byte of the file returns to an earlier value while it is read, because records are only added. So bytes that are
    equal before and after the journal was read had these values while it was read. At that instant, either the file is
    as the last transaction left it, or SQLite is within a transaction. SQLite writes the original of every page to the
    journal, and counts these pages in the journal's header, before it changes the first of them. It clears the header
    after the last change is on the disk (sqlite.org/atomiccommit.html, sections 3 and 6). So the journal undoes what
    the copy contains of that transaction.

When the copy is opened, SQLite undoes the transaction there. The file, its journal and their folder are never written.
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
        path: The file, as it is named in errors.
        file: The file to copy, its links resolved. This process must not have it open, because closing it drops its
            locks.

    Yields:
        The copy, with its journal beside it if there is one.

    Raises:
        LedgerCorrupt: Beside the file is something that no ledger's writer puts there.
        LedgerLocked: It changed during every attempt.
        LedgerUnavailable: It is too large, or there is no folder for temporary files.
        OSError: A file cannot be read.
    """
    with _temporary_folder(path) as folder:
        copy = folder / "ledger"
        for _ in range(ATTEMPTS):
            if file.stat().st_size > MAXIMUM_COPIED_BYTES:
                raise LedgerUnavailable(
                    f"{path}: expected at most {MAXIMUM_COPIED_BYTES} bytes to read, found more. Open it for writing."
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
            f"{path}: expected a moment without a change in {ATTEMPTS} attempts to read it, found none. Try again."
        )


@contextlib.contextmanager
def _temporary_folder(path: Path) -> Iterator[Path]:
    try:
        opened = tempfile.TemporaryDirectory()
    except OSError as error:
        raise LedgerUnavailable(
            f"{path}: expected a folder for temporary files, to copy it to, found none ({error.strerror}). Set TMPDIR "
            "to a folder that can be written."
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
