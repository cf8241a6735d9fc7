"""A log of records in a file: append-only, chained (`dp.ledger.log`) and durable record by record, in SQLite.

Durability is SQLite's rollback journal with synchronous EXTRA, which is FULL plus a sync of the directory: `append`
returns when the record is on the disk. The writer holds SQLite's exclusive lock from opening to closing; the operating
system drops it when the process ends, however it ends. A new file is made under another name and gets its own when
its first record is on the disk, so that a process which is killed leaves a whole file or none.

Reading changes nothing, takes no lock and waits for no writer: it reads a copy (`dp.ledger.snapshot`), in which the
record that a writer is writing, or left unfinished when it was killed, is rolled back. The process that writes a file
has its records in memory, and reads those.
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
from dp.ledger.log import GENESIS, chained_digest, head_after, position_of
from dp.ledger.snapshot import snapshot

APPLICATION_ID: Final = 0x5EC466
FORMAT_VERSION: Final = 1
SCHEMA: Final = "CREATE TABLE records (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL, digest BLOB NOT NULL) STRICT"
_NO_LINKS: Final = frozenset((errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL))
"""What a file system without hard links answers to a link in a folder that it has just made a file in."""


class SqliteLog:
    """The `RecordLog` of an open file, or of what was read of one; a context manager.

    Threads may share it. Forks may not share one that is open for writing.

    Attributes:
        path: the file, as errors call it.
        bodies: the records, in order, verified when the file was opened.
        head: the digest of the last record, 32 bytes.
        writable: whether this is the one writer.

    Raises:
        LedgerLocked: another connection holds the file, which is to be written.
        LedgerCorrupt: it is not such a file, or a digest does not verify.
        LedgerUnavailable: it cannot be read or written.
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
        """What errors call it."""
        return str(self.path)

    @classmethod
    def create(cls, path: Path, first: bytes) -> Self:
        """Make a new file whose first record is `first`, and hold it for writing.

        Raises:
            LedgerUnavailable: the path exists already, or cannot be written, or its file system has no hard links.
        """
        if os.path.lexists(journal_of(path)) and not os.path.lexists(path):
            raise LedgerUnavailable(f"{path}: expected a new file, found the journal of an earlier one; move it away")
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
            raise LedgerUnavailable(f"{path}: expected a new file, found an existing one; open it instead") from None
        except OSError as error:
            raise LedgerUnavailable(f"{path}: cannot be created: {error.strerror}") from None
        return cls.open(path, writable=True)

    @classmethod
    def open(cls, path: Path, *, writable: bool) -> Self:
        """Open and verify an existing file, for writing (and then alone) or for reading.

        Args:
            path: the file.
            writable: whether to write.
        """
        with translate_errors(path):
            if not path.is_file():
                raise LedgerUnavailable(f"{path}: expected a ledger, found no file; create it first")
            file = path.resolve()
        with OPENING:
            return cls._held(path, file, named=path) if writable else cls._read(path, file)

    def append(self, body: bytes) -> None:
        """Add a record; it is on the disk when this returns.

        After a failure or an interruption it is unknown whether the record is there, so the file is closed; opening it
        again tells.

        Raises:
            LedgerUnavailable: the file is closed or read-only, the disk is full or failing.
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
        """Refuse a file that nothing could be added to; whether the disk has room is seen when a record is added.

        Raises:
            LedgerUnavailable: it is closed, moved, or was opened for reading.
        """
        connection = self._writing()
        with translate_errors(self.path):
            connection.run("SELECT 1")
            connection.check_unmoved()

    def _writing(self) -> Connection:
        if self._connection is None:
            raise LedgerUnavailable(f"{self.path}: expected a ledger opened for writing, found one opened for reading")
        return self._connection

    def exclusively(self) -> contextlib.AbstractContextManager[None]:
        """Keep other threads out meanwhile; raises LedgerUnavailable in a fork."""
        return contextlib.nullcontext() if self._connection is None else self._connection.exclusively()

    def position(self, digest: bytes) -> int | None:
        """Return which record has this digest, counted from 0, or None."""
        return position_of(digest, self.bodies)

    def close(self) -> None:
        """Release the file; closing twice is printable, and in a fork it does not touch the file."""
        if self._connection is not None:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @classmethod
    def _held(cls, path: Path, file: Path, *, named: Path) -> Self:
        """Open a file for writing, and alone; `named` is the name that it must keep."""
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
        """Read a file that anyone may be writing, this process too."""
        with translate_errors(path):
            # Opening and closing it once more would drop the writer's lock, if the writer is in this process.
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
        """Make an empty file one whose first record is `first`; it is on the disk when this returns."""
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
        """Bring the journal's name to the disk: SQLite does that too when it makes one, but goes on where it fails."""
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
            f"{path}: expected a file system with hard links, by which a new ledger never takes the place of another, "
            "found none. Put the ledger on another one."
        ) from None


def _hold(connection: Connection) -> None:
    connection.run("PRAGMA locking_mode = EXCLUSIVE")
    connection.run("PRAGMA journal_mode = DELETE")
    connection.run("PRAGMA synchronous = EXTRA")


def _records(connection: Connection) -> list[bytes]:
    """Return the records of a file in order, having verified its chain."""
    path = connection.path
    identity = (connection.run("PRAGMA application_id")[0][0], connection.run("PRAGMA user_version")[0][0])
    if identity != (APPLICATION_ID, FORMAT_VERSION):
        raise LedgerCorrupt(
            f"{path}: expected a budget ledger of format {FORMAT_VERSION}, found another file, or one whose "
            "creation was interrupted before anything could be reserved in it"
        )
    # A view or a trigger in a foreign file could run forever; nothing is read before it is known to be the table.
    schema = connection.run("SELECT type, name, sql = ? FROM sqlite_schema LIMIT 2", SCHEMA)
    if schema != [("table", "records", 1)]:
        raise LedgerCorrupt(f"{path}: expected the table of a budget ledger and nothing else, found another")
    bodies: list[bytes] = []
    head = GENESIS
    rows = connection.rows("SELECT sequence, body, digest FROM records ORDER BY sequence")
    for expected, (sequence, body, digest) in enumerate(rows):
        if sequence != expected or not isinstance(body, bytes):
            raise LedgerCorrupt(f"{path}: expected record {expected}, found record {sequence}; one is missing")
        head = chained_digest(head, body)
        if digest != head:
            raise LedgerCorrupt(f"{path}: record {sequence} was altered; restore the file from a backup")
        bodies.append(body)
    return bodies


def ledger_path(path: object) -> Path:
    """Return the path of a ledger's file.

    Raises:
        InvalidParameter: It is no path.
    """
    try:
        if isinstance(path, str | Path) and b"\0" not in os.fsencode(path):
            return Path(path)
    except UnicodeEncodeError:
        pass
    raise InvalidParameter("path: expected a path, found something that no file system takes for one")
