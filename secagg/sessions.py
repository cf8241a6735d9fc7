"""Which rounds of which sessions a client has answered, on the disk, so that it answers none of them twice.

A client that was restarted, or restored from an old snapshot, must not answer a round again, and must not use a
session id again: two answers to one round may together unmask its vector.  So each is recorded before it is answered.
The store is made once, together with the identity; one that is lost is never replaced in silence, and an older copy
cannot be told from the latest: keep it out of backups.

Durability is SQLite's rollback journal with synchronous EXTRA, which is FULL plus a sync of the directory.  An open
store holds SQLite's exclusive lock, which the operating system drops when the process ends.
"""

import contextlib
import hashlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from dp.checks import harmless
from protocols.errors import ParameterError, SessionReused
from secagg.errors import SecaggError

APPLICATION_ID: Final = 0x5EC5E5
FORMAT_VERSION: Final = 1
SCHEMA: Final = (
    "CREATE TABLE sessions (identity BLOB NOT NULL, session_id BLOB NOT NULL, round INTEGER NOT NULL, "
    "digest BLOB NOT NULL, PRIMARY KEY (identity, session_id)) STRICT, WITHOUT ROWID"
)
_FIRST: Final = "INSERT INTO sessions VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING"
_LATER: Final = "UPDATE sessions SET round = ?3, digest = ?4 WHERE identity = ?1 AND session_id = ?2 AND round < ?3"
_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_CORRUPT: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH)


class SessionStoreError(SecaggError):
    """Base of the store's errors: whoever gets one must not answer."""


class SessionStoreLocked(SessionStoreError):
    """Another process or connection holds the store."""


class SessionStoreCorrupt(SessionStoreError):
    """The file is no session store, or is damaged."""


class SessionStoreUnavailable(SessionStoreError):
    """The file cannot be read or written: missing, read-only, moved, closed, the disk full or failing."""


class SessionStore:
    """The rounds that were answered, by identity and session; a context manager.

    It is a `protocols.identity.SessionRecord`, for one process and any of its threads, and closes on the first failure.

    Args:
        path: Of a store that `create` has made.

    Raises:
        SessionStoreError: It is in use, damaged or missing, or is no session store.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._connection: sqlite3.Connection | None = None
        self._turn = threading.Lock()
        with self._typed():
            # Mode rw, not rwc, which would make a new file in place of a lost one.
            uri = f"{self._path.absolute().as_uri()}?mode=rw"
            self._connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)
            self._holder = self._current()
            for setting in ("locking_mode = EXCLUSIVE", "journal_mode = DELETE", "synchronous = EXTRA"):
                self._run(f"PRAGMA {setting}")
            self._run("BEGIN EXCLUSIVE")
            self._run("COMMIT")
            self._verify()

    @classmethod
    def create(cls, path: str | Path) -> Self:
        """Make an empty store, for its owner alone to read, and open it.

        Raises:
            SessionStoreError: There is such a file already, or it cannot be written.
        """
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
                identity = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION}"
                connection.executescript(f"PRAGMA synchronous = EXTRA; BEGIN; {identity}; {SCHEMA}; COMMIT")
        except (OSError, ValueError, sqlite3.Error) as error:
            raise SessionStoreUnavailable(f"{path}: a new store cannot be made there: {error}") from None
        return cls(path)

    def record(self, identity: bytes, session_id: bytes, number: int) -> None:
        """Record that a round is about to be answered; it is on the disk when this returns.

        Args:
            identity: The client's Ed25519 public key, 32 bytes.
            session_id: 16 to 64 bytes.
            number: The round, from 0.

        Raises:
            SessionReused: The round is neither 0 of a session never seen, nor above all those recorded of a session.
            SessionStoreError: It was not recorded for certain; the store is closed.
            ParameterError: An argument is none of these.
        """
        for name, value, least, most in (("identity", identity, 32, 32), ("session_id", session_id, 16, 64)):
            if type(value) is not bytes or not least <= len(value) <= most:
                raise ParameterError(f"{name} must be bytes, {least} to {most} of them")
        if type(number) is not int or not 0 <= number < 2**31:
            raise ParameterError("a round's number must be an int in [0, 2^31)")
        with self._turn, self._typed():
            # One statement is one transaction.
            row = (identity, session_id, number, _digest(identity, session_id, number))
            changed = self._run(_LATER if number else _FIRST, *row).rowcount
        if changed != 1:
            raise SessionReused(
                f"session {session_id.hex()}: expected round 0 of a new session, or a round after all those answered, "
                f"found round {number} again or out of order; a new session would do"
            )

    def close(self) -> None:
        """Release the file; closing twice is harmless."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _verify(self) -> None:
        found = (*self._run("PRAGMA application_id").fetchone(), *self._run("PRAGMA user_version").fetchone())
        # A view in a foreign file could run forever; nothing is read before it is known to be the table.
        schema = self._run("SELECT type, name, sql = ? FROM sqlite_schema LIMIT 2", SCHEMA).fetchall()
        if (*found, *schema) != (APPLICATION_ID, FORMAT_VERSION, ("table", "sessions", 1)):
            raise SessionStoreCorrupt(
                f"{self._path}: expected a session store of format {FORMAT_VERSION}, found another file, or one whose "
                "making was interrupted before anything could be recorded in it"
            )
        whole = self._run("PRAGMA integrity_check(1)").fetchone() == ("ok",)
        rows = self._run("SELECT identity, session_id, round, digest FROM sessions")
        if not whole or any(digest != _digest(*row) for *row, digest in rows):
            raise SessionStoreCorrupt(f"{self._path}: the store is damaged; a new identity with a new store would do")

    def _current(self) -> tuple[int, int, int]:
        """This process, and the file at the path."""
        status = os.stat(self._path)
        return os.getpid(), status.st_dev, status.st_ino

    def _run(self, statement: str, *parameters: object) -> sqlite3.Cursor:
        if self._connection is None:
            raise SessionStoreUnavailable(f"{self._path}: expected an open store, found it closed; open it again")
        # Neither a fork nor another file at the path is seen by the lock.
        if self._current() != self._holder:
            raise SessionStoreUnavailable(f"{self._path}: the file was moved or replaced, or this process was forked")
        return self._connection.execute(statement, parameters)

    @contextlib.contextmanager
    def _typed(self) -> Iterator[None]:
        """Turn failures into the store's own errors, and close it: what is on the disk is not certain any more."""
        try:
            yield
        except (OSError, UnicodeDecodeError, sqlite3.Error) as error:
            self.close()
            # SQLite's own message about a damaged schema may quote what is no Unicode.
            unknown = sqlite3.SQLITE_CORRUPT if isinstance(error, UnicodeDecodeError) else sqlite3.SQLITE_IOERR
            code = getattr(error, "sqlite_errorcode", unknown) & 0xFF
            if code in _LOCKED:
                raise SessionStoreLocked(f"{self._path}: expected to be its only user, found it in use") from None
            kind = SessionStoreCorrupt if code in _CORRUPT else SessionStoreUnavailable
            reason = harmless(str(error))
            raise kind(f"{self._path}: cannot be read or written ({reason}); nothing may be answered") from None
        except BaseException:
            self.close()
            raise


def _digest(identity: bytes, session_id: bytes, number: int) -> bytes:
    """What finds damage within a row."""
    return hashlib.sha256(identity + number.to_bytes(8, "big", signed=True) + session_id).digest()
