"""A log of records in a file: append-only, chained (`dp.ledger.log`) and durable record by record, in SQLite.

Durability comes from SQLite's rollback journal with synchronous EXTRA, which is FULL plus a sync of the directory:
`append` returns when the record is on the disk. The writer holds SQLite's exclusive lock from opening to closing. The
operating system drops the lock when the process ends, however it ends. A new file is made under another name and gets
its final name when its first record is on the disk. So a process that is killed leaves a complete file or none.

Reading changes nothing, takes no lock and waits for no writer. It reads a copy (`dp.ledger.snapshot`), in which a
record that is being written, or that a killed writer left unfinished, is rolled back. The process that writes a file
has its records in memory and reads those.
"""

import contextlib
import errno
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from dp.errors import InvalidParameter, LedgerCorrupt, LedgerUnavailable
from dp.ledger.connection import OPENING, Connection, sync_names, translate_errors
from dp.ledger.journal import check_journal, journal_of
from dp.ledger.log import GENESIS, RESTORE, chained_digest, head_after
from dp.ledger.snapshot import snapshot

APPLICATION_ID: Final = 0x5EC466
FORMAT_VERSION: Final = 1
SCHEMA: Final = "CREATE TABLE records (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL, digest BLOB NOT NULL) STRICT"
_NO_LINKS: Final = frozenset((errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL))
"""The errors of a file system without hard links, if a link is made in a folder in which a file was just made."""


class SqliteLog:
    """The `RecordLog` of an open file, or of the records that were read from a file; a context manager.

    Threads may share it. Forks may not share one that is open for writing.

    Attributes:
        path: The file, as it is named in errors.
        bodies: The records, in order, verified when the file was opened.
        head: The digest of the last record, 32 bytes.
        writable: Whether this is the one writer.

    Raises:
        LedgerLocked: Another connection holds the file, and it was opened for writing.
        LedgerCorrupt: The file is not such a log, or a digest does not verify.
        LedgerUnavailable: The file cannot be read or written.
    """

    def __init__(self, path: Path, connection: Connection | None) -> None:
        self.path = path
        self.writable = connection is not None
        self.bodies: tuple[bytes, ...] = ()
        self.head = GENESIS
        self._connection = connection
        self._journal_is_named = False

    @property
    def name(self) -> str:
        """The name of the log in errors: the path of its file."""
        return str(self.path)

    @classmethod
    def create(cls, path: Path, first: bytes) -> Self:
        """Make a new file whose first record is `first`, and hold it for writing.

        Raises:
            LedgerUnavailable: The path already exists or cannot be written, or its file system has no hard links.
        """
        if os.path.lexists(journal_of(path)) and not os.path.lexists(path):
            raise LedgerUnavailable(f"{path}: expected a new file, found the journal of an earlier one. Move it away.")
        partial = path.parent / f".{path.stem}.{int.from_bytes(os.urandom(8))}.partial{path.suffix}"
        try:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            try:
                cls._fill(partial, first)
                # Unlike a renaming, a link never takes the place of another ledger.
                _link(partial, path)
            finally:
                partial.unlink()
            sync_names(path.parent)
        except FileExistsError:
            raise LedgerUnavailable(f"{path}: expected a new file, found an existing one. Open it instead.") from None
        except OSError as error:
            raise LedgerUnavailable(
                f"{path}: cannot be created: {error.strerror}. Choose a folder that can be written."
            ) from None
        return cls.open(path, writable=True)

    @classmethod
    def open(cls, path: Path, *, writable: bool) -> Self:
        """Open and verify an existing file, for writing as its only user, or for reading.

        Args:
            path: The file.
            writable: Whether to open it for writing.
        """
        with translate_errors(path):
            if not path.is_file():
                raise LedgerUnavailable(
                    f"{path}: expected a ledger, found no file. Check the path, or create a ledger there first."
                )
            file = path.resolve()
        with OPENING:
            return cls._held(path, file, named=path) if writable else cls._read(path, file)

    def append(self, body: bytes) -> None:
        """Add a record, and return when it is on the disk.

        After a failure or an interruption it is unknown whether the record was added, so the file is closed. Opening it
        again shows whether it was.

        Raises:
            LedgerUnavailable: The file is closed or read-only, or the disk is full or failing.
        """
        connection = self._writing()
        with self.exclusively():
            try:
                with translate_errors(self.path):
                    connection.check_unmoved()
                    connection.run("BEGIN EXCLUSIVE")
                    self._insert(connection, body)
                    connection.run("COMMIT")
                    self._name_journal(connection)
                    connection.check_unmoved()
                self._remember([body])
            except BaseException:
                self.close()
                raise

    def check_writable(self) -> None:
        """Refuse a file to which no record can be added; a full disk shows only when a record is added.

        Raises:
            LedgerUnavailable: The file is closed, was moved, or was opened for reading.
        """
        connection = self._writing()
        with translate_errors(self.path):
            connection.run("SELECT 1")
            connection.check_unmoved()

    def _writing(self) -> Connection:
        if self._connection is None:
            raise LedgerUnavailable(
                f"{self.path}: expected a ledger opened for writing, found one opened for reading. Use `Ledger.open`."
            )
        return self._connection

    def exclusively(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that keeps other threads out; in a fork, raise `LedgerUnavailable`."""
        return contextlib.nullcontext() if self._connection is None else self._connection.exclusively()

    def close(self) -> None:
        """Release the file; closing twice is harmless, and closing in a fork does not touch the file."""
        if self._connection is not None:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @classmethod
    def _held(cls, path: Path, file: Path, *, named: Path) -> Self:
        """Open a file for writing, as its only user; `named` is the name that it must keep."""
        with translate_errors(path):
            Connection.check_unused(path, file)
            check_journal(file, writable=True)
        connection = Connection(path, file, named=named)
        log = cls(path, connection)
        try:
            with translate_errors(path):
                _hold(connection)
                connection.run("BEGIN EXCLUSIVE")
                connection.run("COMMIT")
                log._remember(_records(connection))
                connection.check_unmoved()
        except BaseException:
            log.close()
            raise
        _WRITERS.add(log)
        return log

    @classmethod
    def _read(cls, path: Path, file: Path) -> Self:
        """Read a file that another process, or this one, may be writing."""
        with translate_errors(path):
            # If the writer is in this process, opening and closing the file once more would drop the writer's lock.
            writer = next((log for log in list(_WRITERS) if log._is_open_on(file)), None)
            if writer is not None:
                bodies = writer.bodies
            else:
                with snapshot(path, file) as copy, cls._held(path, copy, named=copy) as copied:
                    bodies = copied.bodies
        log = cls(path, None)
        log._remember(bodies)
        return log

    @classmethod
    def _fill(cls, path: Path, first: bytes) -> None:
        """Write the first record to an empty file, and return when it is on the disk."""
        connection = Connection(path, path.absolute(), named=path)
        with cls(path, connection) as log, translate_errors(path):
            _hold(connection)
            connection.run("BEGIN EXCLUSIVE")
            connection.run(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.run(f"PRAGMA user_version = {FORMAT_VERSION}")
            connection.run(SCHEMA)
            log._insert(connection, first)
            connection.run("COMMIT")

    def _insert(self, connection: Connection, body: bytes) -> None:
        digest = chained_digest(self.head, body)
        connection.run("INSERT INTO records VALUES (?, ?, ?)", len(self.bodies), body, digest)

    def _name_journal(self, connection: Connection) -> None:
        """Write the journal's name to the disk; SQLite does so too when it makes a journal, but ignores a failure."""
        if not self._journal_is_named:
            sync_names(connection.file.parent)
            self._journal_is_named = True

    def _remember(self, bodies: Sequence[bytes]) -> None:
        self.head = head_after(bodies, previous=self.head)
        self.bodies += tuple(bodies)

    def _is_open_on(self, file: Path) -> bool:
        return self._connection is not None and self._connection.is_open_on(file)


_WRITERS: Final[weakref.WeakSet[SqliteLog]] = weakref.WeakSet()
"""Logs that this process has open for writing."""


def _link(partial: Path, path: Path) -> None:
    try:
        if not hasattr(os, "link"):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        os.link(partial, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise LedgerUnavailable(
            f"{path}: expected a file system with hard links, so that a new ledger never replaces another one, found "
            "one without. Put the ledger on another file system."
        ) from None


def _hold(connection: Connection) -> None:
    connection.run("PRAGMA locking_mode = EXCLUSIVE")
    connection.run("PRAGMA journal_mode = DELETE")
    connection.run("PRAGMA synchronous = EXTRA")


def _records(connection: Connection) -> list[bytes]:
    """Verify the chain of a file and return its records in order."""
    path = connection.path
    identity = (connection.run("PRAGMA application_id")[0][0], connection.run("PRAGMA user_version")[0][0])
    if identity != (APPLICATION_ID, FORMAT_VERSION):
        raise LedgerCorrupt(
            f"{path}: expected a budget ledger of format {FORMAT_VERSION}, found another file, or one whose creation "
            "was interrupted before anything could be reserved in it. Check the path, or create a new ledger."
        )
    # A view or a trigger in a foreign file could run forever, so nothing is read before the table is checked.
    schema = connection.run("SELECT type, name, sql = ? FROM sqlite_schema LIMIT 2", SCHEMA)
    if schema != [("table", "records", 1)]:
        raise LedgerCorrupt(
            f"{path}: expected the table of a budget ledger and nothing else, found something else. {RESTORE}"
        )
    bodies: list[bytes] = []
    head = GENESIS
    rows = connection.rows("SELECT sequence, body, digest FROM records ORDER BY sequence")
    for expected, (sequence, body, digest) in enumerate(rows):
        if sequence != expected or not isinstance(body, bytes):
            raise LedgerCorrupt(
                f"{path}: expected record {expected}, found record {sequence}: one is missing or damaged. {RESTORE}"
            )
        head = chained_digest(head, body)
        if digest != head:
            raise LedgerCorrupt(f"{path}: record {sequence} was altered. {RESTORE}")
        bodies.append(body)
    return bodies


def ledger_path(path: object) -> Path:
    """Return the path of a ledger's file.

    Raises:
        InvalidParameter: It is not a path.
    """
    try:
        if isinstance(path, str | Path) and b"\0" not in os.fsencode(path):
            return Path(path)
    except UnicodeEncodeError:
        pass
    raise InvalidParameter(
        f"path: expected a path, found {type(path).__name__} that cannot be one. Give a str or a Path without a NUL."
    )
