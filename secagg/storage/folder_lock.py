"""One process at a time in a folder: a lock on a file of its own, which ends with the process that holds it.

The lock is SQLite's exclusive one, which is the operating system's on Linux, macOS and Windows alike, and the same that
ledgers and stores hold.  Nothing is left locked by a process that was killed.
"""

import contextlib
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

from secagg.errors import CheckpointError


class FolderLock:
    """The exclusive use of a folder, for as long as a `with` block lasts; the same object may enter again inside it.

    The file stays behind, empty: removing it could remove it from under another process's lock. Nothing else may open
    it in a process that holds the lock: with POSIX locks, closing any file object of it would drop the lock.

    Args:
        folder: Made, with its parents, where there is none.
        holder: What holds the lock, such as "run"; the lock's file is named after it.

    Raises:
        CheckpointError: On entering: another holder is using the folder, or its lock is not a file of ours.
        OSError: On entering: the folder cannot be made.
    """

    def __init__(self, folder: Path, holder: str) -> None:
        self._folder = folder
        self._holder = holder
        self._held: sqlite3.Connection | None = None
        self._depth = 0

    def __enter__(self) -> Self:
        if self._held is None:
            self._held = self._locked()
        self._depth += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._depth -= 1
        if not self._depth and self._held is not None:
            held, self._held = self._held, None
            held.close()

    def _locked(self) -> sqlite3.Connection:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._holder}.lock"
        # Only an empty file of our own is opened: SQLite would follow a link, and act on what a database asks for.
        if path.is_symlink() or (path.exists() and (not path.is_file() or path.stat().st_size)):
            raise CheckpointError(
                f"{path}: expected the empty lock file of a {self._holder}, found something else. Name another folder."
            )
        with contextlib.ExitStack() as undone:
            try:
                # The path is absolute, so that a change of the current folder does not matter.
                uri = f"{path.absolute().as_uri()}?mode=rwc"
                held = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
                undone.callback(held.close)
                held.execute("PRAGMA journal_mode = MEMORY")  # No journal beside an empty file.
                held.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise CheckpointError(
                        f"{self._folder}: expected a folder that nobody uses, found another {self._holder} in it. "
                        "Wait for its end, or name another folder."
                    ) from None
                raise CheckpointError(
                    f"{path}: expected a file that can be locked, found: {error}. Name another folder."
                ) from None
            undone.pop_all()
        return held
