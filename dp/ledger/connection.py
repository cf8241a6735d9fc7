"""A connection to SQLite that belongs to one process and to the file that had its name when it was opened.

The operating system's locks are a process's and no fork's, but SQLite in a fork believes that it holds what its parent
holds. So a fork is refused, and leaves SQLite alone; and so is a process whose file was moved away, since it holds
nothing under that name any more (sqlite.org/howtocorrupt.html, on forks and on files that are moved while in use).
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

_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_CORRUPT: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH)


class Connection:
    """A connection that threads may share, one at a time, and forks may not.

    Args:
        path: the file, as errors call it.
        file: what to open, an absolute path.
        named: the name that the file must keep meanwhile.

    Raises:
        LedgerUnavailable: it cannot be opened.
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
        """Refuse a file that this process has open: merely opening and closing it once more would drop its locks.

        Raises:
            LedgerLocked: it has.
        """
        if any(one.is_open_on(file) for one in list(_CONNECTIONS)):
            raise _locked(path)

    def is_open_on(self, file: Path) -> bool:
        """Return whether this is a connection to that file, by whatever name, and not closed."""
        return self._sqlite is not None and self._identity == _identity(file)

    def rows(self, statement: str, *parameters: object) -> Iterator[tuple[object, ...]]:
        """Run a statement and return its rows as they are read."""
        if self._sqlite is None:
            raise LedgerUnavailable(f"{self.path}: expected an open ledger, found it closed; open it again")
        return self._sqlite.execute(statement, parameters)

    def run(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run a statement to its end and return its rows."""
        return list(self.rows(statement, *parameters))

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keep other threads out meanwhile.

        Raises:
            LedgerUnavailable: this is a fork of the process that opened the file.
        """
        if os.getpid() != self._process:
            raise LedgerUnavailable(
                f"{self.path}: expected to be used by the process that opened it, found a fork of it; nothing may be "
                "released here; fork before opening it, or start a process of its own"
            )
        with self._lock:
            yield

    def close(self) -> None:
        """Release the file; closing twice is printable, and in a fork it does not touch the file."""
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
        """Keep SQLite from ever closing the file: it would delete a journal that someone else writes."""
        connection, self._sqlite = self._sqlite, None
        if connection is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))

    def check_unmoved(self) -> None:
        """Refuse to go on with a file that no longer has its name: what is written into it would be lost."""
        if self._is_moved():
            raise LedgerUnavailable(
                f"{self.path}: expected the file that was opened, found that it was moved or replaced; nothing may be "
                "released; put the latest one in its place and start again"
            )

    def _is_moved(self) -> bool:
        try:
            return _identity(self._named) != self._identity
        except OSError:
            return True


OPENING: Final = threading.RLock()
"""Held while a ledger is opened or read: meanwhile no other thread takes locks that closing a file would drop."""
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
    return LedgerLocked(f"{path}: expected to be its only user, found it in use; close the other one")


def sync_names(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    if os.name != "posix":  # Elsewhere a folder cannot be opened, and its names are the file system's own care.
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
        # SQLite's own message about a damaged schema may quote what is no Unicode.
        unknown = sqlite3.SQLITE_CORRUPT if isinstance(error, UnicodeDecodeError) else sqlite3.SQLITE_ERROR
        code = getattr(error, "sqlite_errorcode", unknown) & 0xFF
        reason = printable(str(error))
        if code in _LOCKED:
            raise _locked(path) from None
        if code in _CORRUPT:
            raise LedgerCorrupt(
                f"{path}: expected a budget ledger, found a damaged or foreign file ({reason})"
            ) from None
        raise LedgerUnavailable(f"{path}: cannot be read or written ({reason}); nothing may be released") from None
    except OSError as error:
        raise LedgerUnavailable(
            f"{path}: cannot be read or written ({error.strerror}); nothing may be released"
        ) from None
