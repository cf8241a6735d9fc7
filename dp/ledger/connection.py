"""A connection to SQLite that belongs to one process and to the file that had its name when it was opened.

The operating system gives locks to a process and not to its forks, but SQLite in a fork behaves as if it held its
parent's locks. So a fork is refused and never uses SQLite. A process whose file was moved away is refused too, because
it no longer holds a lock on that name (sqlite.org/howtocorrupt.html, on forks and on files that are moved while in
use).
"""

import contextlib
import ctypes
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dp.checks import printable
from dp.errors import LedgerCorrupt, LedgerLocked, LedgerUnavailable
from dp.ledger.log import RESTORE

_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_CORRUPT: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH)


class Connection:
    """A connection that threads may share, one at a time, and forks may not.

    Args:
        path: The file, as it is named in errors.
        file: The file to open, an absolute path.
        named: The name that the file must keep while it is open.

    Raises:
        LedgerUnavailable: It cannot be opened.
    """

    def __init__(self, path: Path, file: Path, *, named: Path) -> None:
        self.path = path
        self.file = file
        self._named = named.absolute()
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._sqlite: sqlite3.Connection | None = None
        with translate_errors(path):
            self._identity = _identity(self._named)
            self._sqlite = sqlite3.connect(
                f"{file.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
            )
        _CONNECTIONS.add(self)

    @classmethod
    def check_unused(cls, path: Path, file: Path) -> None:
        """Refuse a file that this process has open: opening and closing it once more would drop its locks.

        Raises:
            LedgerLocked: This process has it open.
        """
        if any(one.is_open_on(file) for one in list(_CONNECTIONS)):
            raise _locked(path)

    def is_open_on(self, file: Path) -> bool:
        """Return whether this is an open connection to that file, under any of its names."""
        return self._sqlite is not None and self._identity == _identity(file)

    def rows(self, statement: str, *parameters: object) -> Iterator[tuple[object, ...]]:
        """Run a statement and return an iterator over its rows."""
        if self._sqlite is None:
            raise LedgerUnavailable(f"{self.path}: expected an open ledger, found it closed. Open it again.")
        return self._sqlite.execute(statement, parameters)

    def run(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run a statement to its end and return its rows."""
        return list(self.rows(statement, *parameters))

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keep other threads out.

        Raises:
            LedgerUnavailable: This is a fork of the process that opened the file.
        """
        if os.getpid() != self._process:
            raise LedgerUnavailable(
                f"{self.path}: expected to be used by the process that opened it, found a fork of it. Release nothing "
                "here. Fork before you open the ledger, or start a new process."
            )
        with self._lock:
            yield

    def close(self) -> None:
        """Release the file; closing twice is harmless, and closing in a fork does not touch the file."""
        if os.getpid() != self._process:
            self.abandon()
            return
        with self._lock:
            if self._sqlite is not None and self._is_moved():
                self.abandon()
            elif self._sqlite is not None:
                connection, self._sqlite = self._sqlite, None
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def abandon(self) -> None:
        """Prevent SQLite from ever closing the file, because it would delete a journal that another process writes."""
        connection, self._sqlite = self._sqlite, None
        if connection is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))

    def check_unmoved(self) -> None:
        """Refuse a file that no longer has its name, because records that are written to it would be lost."""
        if self._is_moved():
            raise LedgerUnavailable(
                f"{self.path}: expected the file that was opened, found that it was moved or replaced. Release "
                "nothing. Put the latest copy in its place and start again."
            )

    def _is_moved(self) -> bool:
        try:
            return _identity(self._named) != self._identity
        except OSError:
            return True


OPENING: Final = threading.RLock()
"""Held while a ledger is opened or read, so that no other thread takes locks which closing a file would drop."""
_CONNECTIONS: Final[weakref.WeakSet[Connection]] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for connection in list(_CONNECTIONS):
        connection.abandon()
    OPENING.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=OPENING.acquire, after_in_parent=OPENING.release, after_in_child=_leave_to_parent)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _locked(path: Path) -> LedgerLocked:
    return LedgerLocked(f"{path}: expected to be its only user, found it in use. Close the ledger where it is open.")


def sync_names(folder: Path) -> None:
    """Write a folder's names to the disk."""
    if os.name != "posix":  # On other systems a folder cannot be opened, and the file system itself writes its names.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and the operating system into the package's own."""
    try:
        yield
    except (UnicodeDecodeError, sqlite3.Error) as error:
        # SQLite's own message about a damaged schema may quote bytes that are not Unicode.
        unknown = sqlite3.SQLITE_CORRUPT if isinstance(error, UnicodeDecodeError) else sqlite3.SQLITE_ERROR
        code = getattr(error, "sqlite_errorcode", unknown) & 0xFF
        reason = printable(str(error))
        if code in _LOCKED:
            raise _locked(path) from None
        if code in _CORRUPT:
            raise LedgerCorrupt(
                f"{path}: expected a budget ledger, found a damaged or foreign file ({reason}). {RESTORE}"
            ) from None
        raise LedgerUnavailable(
            f"{path}: expected a file that can be read and written, found one that cannot ({reason}). Release nothing."
        ) from None
    except OSError as error:
        raise LedgerUnavailable(
            f"{path}: expected a file that can be read and written, found one that cannot ({error.strerror}). Release "
            "nothing."
        ) from None
