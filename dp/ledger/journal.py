"""A ledger's rollback journal, checked before SQLite acts on it.

SQLite obeys the journal that it finds beside a file: it sets the file's size, writes pages back and deletes the
journal. If the journal names a super-journal, SQLite also deletes the file of that name, whatever file it is. The
adversary is anyone who made the files, for example a ledger that was sent for verification. After these checks, the
adversary can still do what anyone who can write the ledger can do: change its content. The chain and a kept `head` show
that.

Source: sqlite.org/fileformat2.html, section 3, and the comments above readJournalHdr, readSuperJournal and
writeSuperJournal in SQLite's pager.c.
"""

import contextlib
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dp.errors import LedgerCorrupt
from dp.ledger.log import RESTORE

MAGIC: Final = bytes.fromhex("d9d505f920a163d7")
FOREIGN_SUFFIXES: Final = ("-wal", "-shm")

# SQLite makes a write-ahead log for a file whose versions for writing and reading say so.
_FILE_MAGIC: Final = b"SQLite format 3\0"
_MODES: Final = slice(18, 20)
_ROLLBACK: Final = b"\1\1"

# Magic, number of records, nonce, pages before the transaction, sector size, page size.
_HEADER: Final = struct.Struct(">8sIIIII")
# A journal holds a page at most once, and at most with a header of its own. A kept journal is from an earlier
# transaction.
_MAXIMUM_RATIO: Final = 4
_MAXIMUM_BEYOND_BYTES: Final = 1 << 20


def journal_of(file: Path) -> Path:
    """Return the path of a ledger's journal, which is beside the file itself and not beside a link to it."""
    return file.with_name(f"{file.name}-journal")


def check_journal(file: Path, *, writable: bool) -> None:
    """Refuse files beside a ledger that no ledger's writer puts there, before SQLite opens any of them.

    Args:
        file: The ledger, its links resolved. This process must not have it open, because closing it drops its locks.
        writable: Whether the ledger is about to be opened for writing, so that its journal will be written.

    Raises:
        LedgerCorrupt: There is a write-ahead log, or SQLite would make one. Or there is a journal that names a
            super-journal, is not a file of its own, is too large for this ledger, or would enlarge the ledger.
        OSError: A file cannot be read.
    """
    for suffix in FOREIGN_SUFFIXES:
        if os.path.lexists(beside := file.with_name(f"{file.name}{suffix}")):
            raise LedgerCorrupt(f"{beside}: expected no write-ahead log beside a ledger, found one. Move it away.")
    with file.open("rb") as content:
        start = content.read(_MODES.stop)
    if start.startswith(_FILE_MAGIC) and start[_MODES] != _ROLLBACK:
        raise LedgerCorrupt(
            f"{file}: expected a file with a rollback journal, found one with another kind of log. {RESTORE}"
        )
    with _opened(journal_of(file)) as descriptor:
        if descriptor is not None:
            _check(journal_of(file), descriptor, ledger_bytes=file.stat().st_size, writable=writable)


def read_journal(file: Path) -> bytes | None:
    """Check a ledger's journal as `check_journal` does, and return its content, or None if there is no journal.

    Args:
        file: The ledger, its links resolved. This process must not have it open.

    Raises:
        LedgerCorrupt: As for `check_journal`.
        OSError: A file cannot be read.
    """
    check_journal(file, writable=False)
    with _opened(journal_of(file)) as descriptor:
        if descriptor is None:
            return None
        most_bytes = _check(journal_of(file), descriptor, ledger_bytes=file.stat().st_size, writable=False)
        with open(descriptor, "rb", closefd=False) as content:
            content.seek(0)
            return content.read(most_bytes)


@contextlib.contextmanager
def _opened(journal: Path) -> Iterator[int | None]:
    """Open a journal for reading, without following a link or waiting for a pipe; yield None if there is none."""
    try:
        descriptor = os.open(journal, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        yield None
        return
    except OSError:
        if journal.is_symlink():
            raise _refused(journal, "a file of its own", "a link") from None
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check(journal: Path, descriptor: int, *, ledger_bytes: int, writable: bool) -> int:
    """Refuse a journal that no ledger's writer leaves; return the most bytes that this ledger's journal can have."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or (writable and found.st_nlink > 1):
        raise _refused(journal, "a file of its own", "another file")
    most_bytes = _MAXIMUM_RATIO * ledger_bytes + _MAXIMUM_BEYOND_BYTES
    if found.st_size > most_bytes:
        raise _refused(journal, f"at most {most_bytes} bytes", str(found.st_size))
    with open(descriptor, "rb", closefd=False) as content:
        start = content.read(_HEADER.size)
        content.seek(max(0, found.st_size - len(MAGIC)))
        end = content.read(len(MAGIC))
    # This is refused even if SQLite would not roll it back now: a shorter journal written over it keeps its end.
    if end == MAGIC:
        raise _refused(journal, "the journal of one ledger", "one that names a super-journal")
    if len(start) == _HEADER.size:
        magic, _, _, pages, _, page_bytes = _HEADER.unpack(start)
        if magic == MAGIC and pages * page_bytes > ledger_bytes:
            raise _refused(journal, f"a ledger of at most {ledger_bytes} bytes before", str(pages * page_bytes))
    return most_bytes


def _refused(journal: Path, expected: str, found: str) -> LedgerCorrupt:
    return LedgerCorrupt(
        f"{journal}: expected {expected}, found {found}. No ledger's writer leaves such a journal. {RESTORE}"
    )
