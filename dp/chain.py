"""An append-only file of records, chained by SHA-256 and durable record by record, in SQLite.

Each record's digest covers its bytes and the digest before it, so altering a record or taking one out of the middle
breaks every digest after it. The chain has no key: whoever can write the file can also rebuild it whole, cut its end
or put an older copy in its place, which only a `head` that was kept elsewhere shows.

Durability is SQLite's rollback journal with synchronous EXTRA, which is FULL plus a sync of the directory: `append`
returns when the record is on the disk. The writer holds SQLite's exclusive lock from opening to closing; the operating
system drops it when the process ends, however it ends. A new file is made under another name and gets its own when
its first record is on the disk, so that a process which is killed leaves a whole file or none.
"""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from dp.checks import harmless
from dp.errors import LedgerCorrupt, LedgerLocked, LedgerStale, LedgerUnavailable

APPLICATION_ID: Final = 0x5EC466
FORMAT_VERSION: Final = 1
SCHEMA: Final = "CREATE TABLE records (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL, digest BLOB NOT NULL) STRICT"
GENESIS: Final = hashlib.sha256(b"secagg budget ledger, format 1").digest()

_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_CORRUPT: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH)


def chained_digest(previous: bytes, body: bytes) -> bytes:
    """Return the digest of a record: SHA-256 over the 32-byte digest before it and its bytes."""
    return hashlib.sha256(previous + body).digest()


class ChainFile:
    """An open file of chained records; a context manager.

    Attributes:
        bodies: the records, in order, verified when the file was opened.
        head: the digest of the last record, 32 bytes.
        writable: whether this is the one writer.

    Raises:
        LedgerLocked: another connection holds the file.
        LedgerCorrupt: it is not such a file, or a digest does not verify.
        LedgerUnavailable: it cannot be read or written.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self.writable = writable
        self.bodies: tuple[bytes, ...] = ()
        self.head = GENESIS
        self._journal_is_named = False
        with _typed(path):
            mode = "rw" if writable else "ro"
            self._connection: sqlite3.Connection | None = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=0, isolation_level=None
            )

    @classmethod
    def create(cls, path: Path, first: bytes) -> Self:
        """Make a new file whose first record is `first`, and hold it for writing.

        Raises:
            LedgerUnavailable: the path exists already, or cannot be written.
        """
        partial = path.parent / f".{path.stem}.{int.from_bytes(os.urandom(8))}.partial{path.suffix}"
        try:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            try:
                cls._fill(partial, first)
                # Unlike a renaming, a link never takes the place of another ledger.
                os.link(partial, path)
            finally:
                partial.unlink()
            _sync_names(path.parent)
        except FileExistsError:
            raise LedgerUnavailable(f"{path}: expected a new file, found an existing one; open it instead") from None
        except OSError as error:
            raise LedgerUnavailable(f"{path}: cannot be created: {error.strerror}") from None
        return cls.open(path, writable=True)

    @classmethod
    def open(cls, path: Path, *, writable: bool, kept: bytes | None = None) -> Self:
        """Open and verify an existing file, for writing (and then alone) or for reading.

        A writer that was killed in the middle of a record leaves a journal, which only a writer can roll back; so
        opening to read does that first.

        Args:
            path: the file.
            writable: whether to write.
            kept: the `head` that the file had at an earlier time, if the caller kept one.

        Raises:
            LedgerStale: no record has the digest `kept`.
        """
        if not path.is_file():
            raise LedgerUnavailable(f"{path}: expected a ledger, found no file; create it first")
        whole = path.resolve()
        if not writable and whole.with_name(f"{whole.name}-journal").exists():
            cls.open(path, writable=True).close()
        chain = cls(path, writable=writable)
        try:
            with _typed(path):
                if writable:
                    chain._hold()
                    chain._run("BEGIN EXCLUSIVE")
                    chain._run("COMMIT")
                chain._load(kept)
        except BaseException:
            chain.close()
            raise
        return chain

    def append(self, body: bytes) -> None:
        """Add a record; it is on the disk when this returns.

        After a failure or an interruption it is unknown whether the record is there, so the file is closed; opening it
        again tells.

        Raises:
            LedgerUnavailable: the file is closed or read-only, the disk is full or failing.
        """
        if not self.writable:
            raise LedgerUnavailable(f"{self.path}: expected a ledger opened for writing, found one opened for reading")
        try:
            with _typed(self.path):
                self._run("BEGIN EXCLUSIVE")
                self._insert(body)
                self._run("COMMIT")
                self._name_journal()
            self._remember(body)
        except BaseException:
            self.close()
            raise

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

    @classmethod
    def _fill(cls, path: Path, first: bytes) -> None:
        """Make an empty file one whose first record is `first`; it is on the disk when this returns."""
        with cls(path, writable=True) as chain, _typed(path):
            chain._hold()
            chain._run("BEGIN EXCLUSIVE")
            chain._run(f"PRAGMA application_id = {APPLICATION_ID}")
            chain._run(f"PRAGMA user_version = {FORMAT_VERSION}")
            chain._run(SCHEMA)
            chain._insert(first)
            chain._run("COMMIT")

    def _rows(self, statement: str, *parameters: object) -> Iterator[tuple[object, ...]]:
        if self._connection is None:
            raise LedgerUnavailable(f"{self.path}: expected an open ledger, found it closed; open it again")
        return self._connection.execute(statement, parameters)

    def _run(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        return list(self._rows(statement, *parameters))

    def _hold(self) -> None:
        self._run("PRAGMA locking_mode = EXCLUSIVE")
        self._run("PRAGMA journal_mode = DELETE")
        self._run("PRAGMA synchronous = EXTRA")

    def _insert(self, body: bytes) -> None:
        digest = chained_digest(self.head, body)
        self._run("INSERT INTO records VALUES (?, ?, ?)", len(self.bodies), body, digest)

    def _name_journal(self) -> None:
        """Bring the journal's name to the disk: SQLite does that too when it makes one, but goes on where it fails."""
        if not self._journal_is_named:
            _sync_names(self.path.resolve().parent)
            self._journal_is_named = True

    def _remember(self, body: bytes) -> None:
        self.head = chained_digest(self.head, body)
        self.bodies += (body,)

    def _load(self, kept: bytes | None) -> None:
        identity = (self._run("PRAGMA application_id")[0][0], self._run("PRAGMA user_version")[0][0])
        if identity != (APPLICATION_ID, FORMAT_VERSION):
            raise LedgerCorrupt(
                f"{self.path}: expected a budget ledger of format {FORMAT_VERSION}, found another file, or one whose "
                "creation was interrupted before anything could be reserved in it"
            )
        # A view or a trigger in a foreign file could run forever; nothing is read before it is known to be the table.
        schema = self._run("SELECT type, name, sql = ? FROM sqlite_schema LIMIT 2", SCHEMA)
        if schema != [("table", "records", 1)]:
            raise LedgerCorrupt(f"{self.path}: expected the table of a budget ledger and nothing else, found another")
        bodies = []
        found = kept is None
        rows = self._rows("SELECT sequence, body, digest FROM records ORDER BY sequence")
        for expected, (sequence, body, digest) in enumerate(rows):
            if sequence != expected or not isinstance(body, bytes):
                raise LedgerCorrupt(f"{self.path}: expected record {expected}, found record {sequence}; one is missing")
            self.head = chained_digest(self.head, body)
            if digest != self.head:
                raise LedgerCorrupt(f"{self.path}: record {sequence} was altered; restore the file from a backup")
            bodies.append(body)
            found = found or digest == kept
        self.bodies = tuple(bodies)
        if not found:
            raise LedgerStale(
                f"{self.path}: expected the record with the kept head, found {len(bodies)} records without it: the "
                "file was cut or rebuilt, or is an older copy or another ledger; restore the latest one"
            )


def _sync_names(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    if os.name != "posix":  # Elsewhere a folder cannot be opened, and its names are the file system's own care.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _typed(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and the operating system into the package's own."""
    try:
        yield
    except (UnicodeDecodeError, sqlite3.Error) as error:
        # SQLite's own message about a damaged schema may quote what is no Unicode.
        unknown = sqlite3.SQLITE_CORRUPT if isinstance(error, UnicodeDecodeError) else sqlite3.SQLITE_ERROR
        code = getattr(error, "sqlite_errorcode", unknown) & 0xFF
        reason = harmless(str(error))
        if code in _LOCKED:
            raise LedgerLocked(f"{path}: expected to be its only user, found it in use; close the other one") from None
        if code in _CORRUPT:
            raise LedgerCorrupt(
                f"{path}: expected a budget ledger, found a damaged or foreign file ({reason})"
            ) from None
        raise LedgerUnavailable(f"{path}: cannot be read or written ({reason}); nothing may be released") from None
    except OSError as error:
        raise LedgerUnavailable(
            f"{path}: cannot be read or written ({error.strerror}); nothing may be released"
        ) from None
