"""One user of a home at a time: a lock between processes and threads, which ends with the process that holds it.

The lock is SQLite's exclusive one on an empty file. On Linux and macOS this is a `fcntl` lock, and on Windows the
system's own. Nothing is left locked by a process that was killed, and a forked child does not hold it.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from secagg.errors import SecaggError

LOCK_NAME: Final = "lock"
WAIT_S: Final = 5.0

_LOOK_AGAIN_S: Final = 0.01


class HomeBusy(SecaggError):
    """Another process or thread is using the home. Nothing was changed; try again later."""


class HomeLock:
    """The lock of one home.

    Args:
        path: The lock file. It is empty, and only this class opens it: with POSIX locks, closing any file object of it
            would drop the lock of this process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._turn = threading.Lock()

    @contextlib.contextmanager
    def held(self, *, timeout_s: float, clock: Callable[[], float]) -> Iterator[None]:
        """Hold the lock for the length of the `with` block. It cannot be entered again inside it.

        Args:
            timeout_s: How long to wait for others.
            clock: Returns the time in seconds; it never goes back.

        Raises:
            HomeBusy: Others still held the lock at the end of that time.
            OSError: The lock file is missing, is not one, or cannot be locked.
        """
        until = clock() + timeout_s
        while not self._turn.acquire(timeout=_LOOK_AGAIN_S):
            self._check(until, clock)
        try:
            while (connection := self._taken()) is None:
                self._check(until, clock)
                time.sleep(_LOOK_AGAIN_S)
            try:
                yield
            finally:
                connection.close()
        finally:
            self._turn.release()

    def _check(self, until: float, clock: Callable[[], float]) -> None:
        if clock() >= until:
            raise HomeBusy(f"{self._path.parent.parent}: expected a free home, found it in use. Try again later.")

    def _taken(self) -> sqlite3.Connection | None:
        """Return the open connection that holds the lock; None if others hold it."""
        # Only an empty file of our own is opened: SQLite would follow a link, and act on what a database asks for.
        if self._path.is_symlink() or not self._path.is_file() or self._path.stat().st_size:
            raise OSError(f"{self._path}: expected the empty lock file of a home, found something else.")
        with contextlib.ExitStack() as undone:
            try:
                uri = f"{self._path.as_uri()}?mode=rw"
                held = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
                undone.callback(held.close)
                held.execute("PRAGMA journal_mode = MEMORY")  # No journal beside an empty file.
                held.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    return None
                raise OSError(f"{self._path}: expected a file that can be locked, found: {error}") from None
            undone.pop_all()
        return held
