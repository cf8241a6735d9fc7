"""The base class of stores: a small durable table of what a party has answered, for one process at a time.

What a party must never do twice is recorded before it is done. So a store is made once, and a lost store is never
replaced silently. An older copy of a store cannot be distinguished from the latest one: keep stores out of backups.

Durability comes from SQLite's rollback journal with synchronous EXTRA, which is FULL plus a sync of the directory. An
open store holds SQLite's exclusive lock. The operating system drops that lock when the process ends.
"""

import contextlib
import os
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from dp.checks import printable
from protocols.errors import ParameterError
from secagg.errors import SecaggError

_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_CORRUPT: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH)


class StoreError(SecaggError):
    """Base class of a store's errors. A party that gets one must not answer."""


class StoreLocked(StoreError):
    """Another process or connection holds the store."""


class StoreCorrupt(StoreError):
    """The file is not a store of this kind, or it is damaged."""


class StoreUnavailable(StoreError):
    """The file cannot be read or written: it is missing, read-only, moved or closed, or the disk is full or failing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a store's table is laid out in one version of its format.

    Attributes:
        version: The version of the format, which is the user version in SQLite's header.
        schema: The SQL statement that creates the table.
        rows: The SQL statement that reads the whole table, with each row's digest last.
        digest: Returns the digest of a row's other values.
        added: The values that the next version of the format adds at the end of each row, before the digest.
    """

    version: int
    schema: str
    rows: str
    digest: Callable[..., bytes]
    added: tuple[Any, ...] = ()


class Store(ABC):
    """One table in a file of its own.

    A store is a context manager. Any thread of one process may use it. It closes on the first failure.

    Attributes:
        kind: The name of such a store in errors.
        remedy: What the owner of a damaged store can do, as an imperative for errors.
        application_id: The application id in SQLite's header.
        format_version: The version of the format, which is the user version in SQLite's header.
        table: The table's name.
        schema: The SQL statement that creates the table.
        rows: The SQL statement that reads the whole table, with each row's digest last.
        insert: The SQL statement that writes a row.
        earlier: The earlier formats, the oldest first. A store in one of them gets the format of now when it is opened.

    Args:
        path: The path of a store that `create` has made.

    Raises:
        StoreError: The store is in use, damaged or missing, or the file is not a store of this kind.
    """

    kind: ClassVar[str]
    remedy: ClassVar[str]
    application_id: ClassVar[int]
    format_version: ClassVar[int]
    table: ClassVar[str]
    schema: ClassVar[str]
    rows: ClassVar[str]
    insert: ClassVar[str]
    earlier: ClassVar[tuple[Layout, ...]] = ()

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
            self._migrate()
            self._verify(self._layout())

    @classmethod
    def create(cls, path: str | Path) -> Self:
        """Make an empty store that only its owner can read, and open it.

        Raises:
            StoreError: The file exists already or cannot be written.
        """
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            try:
                cls._fill(path)
            except BaseException:
                os.unlink(path)  # This call made the file, and it never was a store.
                raise
        except (OSError, ValueError, sqlite3.Error) as error:
            raise StoreUnavailable(f"{path}: a new {cls.kind} cannot be made there: {error}") from None
        return cls(path)

    @classmethod
    def _fill(cls, path: str | Path) -> None:
        """Turn an empty file into an empty store."""
        with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            header = f"PRAGMA application_id = {cls.application_id}; PRAGMA user_version = {cls.format_version}"
            connection.executescript(f"PRAGMA synchronous = EXTRA; BEGIN; {header}; {cls.schema}; COMMIT")

    @property
    def empty(self) -> bool:
        """Whether nothing was ever recorded."""
        with self._turn, self._typed():
            return self._run(f"{self.rows} LIMIT 1").fetchone() is None

    def close(self) -> None:
        """Release the file. Closing twice is harmless."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @staticmethod
    @abstractmethod
    def _digest(*row: Any) -> bytes:
        """Return a digest of a row, by which damage within the row is found."""

    @classmethod
    def _layout(cls) -> Layout:
        return Layout(version=cls.format_version, schema=cls.schema, rows=cls.rows, digest=cls._digest)

    def _migrate(self) -> None:
        """Bring a store of an earlier format to the format of now. A killed process leaves one or the other."""
        application, version = self._header()
        formats = [layout for layout in self.earlier if layout.version >= version]
        if application != self.application_id or not formats or formats[0].version != version:
            return
        self._verify(formats[0])
        added = tuple(value for layout in formats for value in layout.added)
        kept = [(*row, *added) for *row, _ in self._run(formats[0].rows).fetchall()]
        self._run("BEGIN EXCLUSIVE")
        self._run(f"DROP TABLE {self.table}")
        self._run(self.schema)
        for row in kept:
            self._run(self.insert, *row, self._digest(*row))
        self._run(f"PRAGMA user_version = {self.format_version}")
        self._run("COMMIT")

    def _header(self) -> tuple[int, int]:
        """Return the application id and the version of the format that the file states."""
        (application,), (version,) = (
            self._run(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
        )
        return application, version

    def _verify(self, layout: Layout) -> None:
        # A view in a foreign file could run forever, so nothing is read until the schema is known to be the table's.
        schema = self._run("SELECT type, name, sql = ? FROM sqlite_schema LIMIT 2", layout.schema).fetchall()
        if (*self._header(), *schema) != (self.application_id, layout.version, ("table", self.table, 1)):
            raise StoreCorrupt(
                f"{self._path}: expected a {self.kind} of format {self.format_version}, found another file, or one "
                "whose creation was interrupted before anything could be recorded in it"
            )
        whole = self._run("PRAGMA integrity_check(1)").fetchone() == ("ok",)
        if not whole or any(digest != layout.digest(*row) for *row, digest in self._run(layout.rows)):
            raise StoreCorrupt(f"{self._path}: expected an undamaged {self.kind}, found a damaged one. {self.remedy}")

    def _current(self) -> tuple[int, int, int]:
        """Return numbers that identify this process and the file at the path."""
        status = os.stat(self._path)
        return os.getpid(), status.st_dev, status.st_ino

    def _run(self, statement: str, *parameters: object) -> sqlite3.Cursor:
        if self._connection is None:
            raise StoreUnavailable(f"{self._path}: expected an open store, found it closed. Open it again.")
        # The lock notices neither a fork nor another file at the path.
        if self._current() != self._holder:
            raise StoreUnavailable(
                f"{self._path}: expected the file and the process that opened it, found that the file was moved or "
                "replaced, or that this process was forked. Open the store again."
            )
        return self._connection.execute(statement, parameters)

    @contextlib.contextmanager
    def _typed(self) -> Iterator[None]:
        """Turn failures into the store's own errors, and close it: it is no longer certain what is on the disk."""
        try:
            yield
        except (OSError, UnicodeDecodeError, sqlite3.Error) as error:
            self.close()
            # SQLite's own message about a damaged schema may quote bytes that are not Unicode.
            unknown = sqlite3.SQLITE_CORRUPT if isinstance(error, UnicodeDecodeError) else sqlite3.SQLITE_IOERR
            code = getattr(error, "sqlite_errorcode", unknown) & 0xFF
            if code in _LOCKED:
                raise StoreLocked(
                    f"{self._path}: expected to be its only user, found it in use. Close it elsewhere."
                ) from None
            kind = StoreCorrupt if code in _CORRUPT else StoreUnavailable
            reason = printable(str(error))
            raise kind(
                f"{self._path}: cannot be read or written ({reason}), so nothing may be answered. Do not "
                "put an older copy in its place."
            ) from None
        except BaseException:
            self.close()
            raise


def check_bytes(name: str, value: object, *, least: int, most: int) -> None:
    """Raise `ParameterError` unless the value is bytes, at least `least` and at most `most` of them."""
    if type(value) is not bytes or not least <= len(value) <= most:
        found = f"{len(value)} bytes" if type(value) is bytes else type(value).__name__
        raise ParameterError(f"{name}: expected {least} to {most} bytes, found {found}")
