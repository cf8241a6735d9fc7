"""A ledger's rollback journal, looked at before SQLite acts on it.

SQLite obeys the journal that it finds beside a file: it sets the file's size, writes pages back, deletes the journal
and, where that names a super-journal, deletes the file of that name, whichever it is. The adversary is whoever made
the files, such as a ledger that was sent for verification. What remains possible is what anyone who can write the
ledger can do: change its content, which its chain and a kept `head` are there to show.

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

MAGIC: Final = bytes.fromhex("d9d505f920a163d7")
FOREIGN_SUFFIXES: Final = ("-wal", "-shm")

# SQLite makes a write-ahead log for a file whose versions for writing and reading say so.
_FILE_MAGIC: Final = b"SQLite format 3\0"
_MODES: Final = slice(18, 20)
_ROLLBACK: Final = b"\1\1"

# Magic, number of records, nonce, pages before the transaction, sector size, page size.
_HEADER: Final = struct.Struct(">8sIIIII")
# A page is in a journal once at most, with its own header at most; a journal that is kept was another transaction's.
_MAXIMUM_RATIO: Final = 4
_MAXIMUM_BEYOND_BYTES: Final = 1 << 20


def journal_of(file: Path) -> Path:
    """Return the path of a ledger's journal, which lies beside the file itself, not beside a link to it."""
    return file.with_name(f"{file.name}-journal")


def check_journal(file: Path, *, writable: bool) -> None:
    """Refuse what lies beside a ledger and no ledger's writer has put there, before SQLite opens either.

    Args:
        file: the ledger, its links resolved; this process must not have it open, since closing it drops its locks.
        writable: whether it is about to be opened for writing, and so its journal to be written.

    Raises:
        LedgerCorrupt: there is or would be a write-ahead log, or there is a journal that names a super-journal, is not
            a file of its own, is too large for this ledger, or would make it larger than it is.
        OSError: a file cannot be read.
    """
    for suffix in FOREIGN_SUFFIXES:
        if os.path.lexists(beside := file.with_name(f"{file.name}{suffix}")):
            raise LedgerCorrupt(f"{beside}: expected no write-ahead log beside a ledger, found one; move it away")
    with file.open("rb") as content:
        start = content.read(_MODES.stop)
    if start.startswith(_FILE_MAGIC) and start[_MODES] != _ROLLBACK:
        raise LedgerCorrupt(f"{file}: expected a file with a rollback journal, found one with another kind of log")
    with _opened(journal_of(file)) as descriptor:
        if descriptor is not None:
            _check(journal_of(file), descriptor, ledger_bytes=file.stat().st_size, writable=writable)


def read_journal(file: Path) -> bytes | None:
    """Return the content of a ledger's journal, None where there is none, having refused what `check_journal` refuses.

    Args:
        file: the ledger, its links resolved; this process must not have it open.

    Raises:
        LedgerCorrupt: as for `check_journal`.
        OSError: a file cannot be read.
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
    """Open a journal to read: neither is a link followed nor a pipe waited for; None where there is none."""
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
    """Refuse a journal that no ledger's writer leaves; return the most bytes that one of this ledger has."""
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
    # Also where SQLite would not roll it back now: it keeps the end when it writes a shorter one over it.
    if end == MAGIC:
        raise _refused(journal, "the journal of one ledger", "one that names a super-journal")
    if len(start) == _HEADER.size:
        magic, _, _, pages, _, page_bytes = _HEADER.unpack(start)
        if magic == MAGIC and pages * page_bytes > ledger_bytes:
            raise _refused(journal, f"a ledger of at most {ledger_bytes} bytes before", str(pages * page_bytes))
    return most_bytes


def _refused(journal: Path, expected: str, found: str) -> LedgerCorrupt:
    return LedgerCorrupt(
        f"{journal}: expected {expected}, found {found}; no ledger's writer leaves that; restore both from a backup"
    )
