"""An append-only file of records, chained by SHA-256 and durable record by record, in SQLite.

Each record's digest covers its bytes and the digest before it, so altering a record or taking one out of the middle
breaks every digest after it. The chain has no key: whoever can write the file can also rebuild it whole, cut its end
or put an older copy in its place, which only a `head` that was kept elsewhere shows.

Durability is SQLite's rollback journal with synchronous EXTRA, which is FULL plus a sync of the directory: `append`
returns when the record is on the disk. The writer holds SQLite's exclusive lock from opening to closing; the operating
system drops it when the process ends, however it ends. A new file is made under another name and gets its own when
its first record is on the disk, so that a process which is killed leaves a whole file or none.

Reading changes nothing: where a killed writer left a journal, it is rolled back in a copy.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from dp.connection import OPENING, Connection, UnfinishedError, sync_names, typed
from dp.errors import LedgerCorrupt, LedgerStale, LedgerUnavailable
from dp.journal import check_journal, journal_of

APPLICATION_ID: Final = 0x5EC466
FORMAT_VERSION: Final = 1
SCHEMA: Final = "CREATE TABLE records (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL, digest BLOB NOT NULL) STRICT"
GENESIS: Final = hashlib.sha256(b"secagg budget ledger, format 1").digest()
MAXIMUM_COPIED_BYTES: Final = 1 << 30


def chained_digest(previous: bytes, body: bytes) -> bytes:
    """Return the digest of a record: SHA-256 over the 32-byte digest before it and its bytes."""
    return hashlib.sha256(previous + body).digest()


class ChainFile:
    """An open file of chained records; a context manager. Threads may share it, forks may not.

    Attributes:
        path: the file, as errors call it.
        bodies: the records, in order, verified when the file was opened.
        head: the digest of the last record, 32 bytes.
        writable: whether this is the one writer.

    Raises:
        LedgerLocked: another connection holds the file.
        LedgerCorrupt: it is not such a file, or a digest does not verify.
        LedgerUnavailable: it cannot be read or written.
    """

    def __init__(self, connection: Connection, *, writable: bool) -> None:
        self.path = connection.path
        self.writable = writable
        self.bodies: tuple[bytes, ...] = ()
        self.head = GENESIS
        self._connection = connection
        self._journal_is_named = False

    @classmethod
    def create(cls, path: Path, first: bytes) -> Self:
        """Make a new file whose first record is `first`, and hold it for writing.

        Raises:
            LedgerUnavailable: the path exists already, or cannot be written.
        """
        if os.path.lexists(journal_of(path)) and not os.path.lexists(path):
            raise LedgerUnavailable(f"{path}: expected a new file, found the journal of an earlier one; move it away")
        partial = path.parent / f".{path.stem}.{int.from_bytes(os.urandom(8))}.partial{path.suffix}"
        try:
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            try:
                cls._fill(partial, first)
                # Unlike a renaming, a link never takes the place of another ledger.
                os.link(partial, path)
            finally:
                partial.unlink()
            sync_names(path.parent)
        except FileExistsError:
            raise LedgerUnavailable(f"{path}: expected a new file, found an existing one; open it instead") from None
        except OSError as error:
            raise LedgerUnavailable(f"{path}: cannot be created: {error.strerror}") from None
        return cls.open(path, writable=True)

    @classmethod
    def open(cls, path: Path, *, writable: bool, kept: bytes | None = None) -> Self:
        """Open and verify an existing file, for writing (and then alone) or for reading.

        Args:
            path: the file.
            writable: whether to write.
            kept: the `head` that the file had at an earlier time, if the caller kept one.

        Raises:
            LedgerStale: no record has the digest `kept`.
        """
        with typed(path):
            if not path.is_file():
                raise LedgerUnavailable(f"{path}: expected a ledger, found no file; create it first")
            file = path.resolve()
        with OPENING:
            if writable:
                return cls._opened(path, file, kept, writable=True)
            with contextlib.suppress(UnfinishedError), cls._opened(path, file, kept, writable=False) as chain:
                return chain
            return cls._copied(path, file, kept)

    def append(self, body: bytes) -> None:
        """Add a record; it is on the disk when this returns.

        After a failure or an interruption it is unknown whether the record is there, so the file is closed; opening it
        again tells.

        Raises:
            LedgerUnavailable: the file is closed or read-only, the disk is full or failing.
        """
        self._check_mode()
        with self.alone():
            try:
                with typed(self.path):
                    self._connection.check_unmoved()
                    self._connection.run("BEGIN EXCLUSIVE")
                    self._insert(body)
                    self._connection.run("COMMIT")
                    self._name_journal()
                    self._connection.check_unmoved()
                self._remember(body)
            except BaseException:
                self.close()
                raise

    def check_writable(self) -> None:
        """Refuse a file that nothing could be added to; whether the disk has room is seen when a record is added.

        Raises:
            LedgerUnavailable: it is closed, moved, or was opened for reading.
        """
        self._check_mode()
        with typed(self.path):
            self._connection.run("SELECT 1")
            self._connection.check_unmoved()

    def _check_mode(self) -> None:
        if not self.writable:
            raise LedgerUnavailable(f"{self.path}: expected a ledger opened for writing, found one opened for reading")

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Keep other threads out meanwhile; raises LedgerUnavailable in a fork."""
        return self._connection.alone()

    def position(self, digest: bytes) -> int | None:
        """Return which record has this digest, counted from 0, or None."""
        head = GENESIS
        for position, body in enumerate(self.bodies):
            head = chained_digest(head, body)
            if head == digest:
                return position
        return None

    def close(self) -> None:
        """Release the file; closing twice is harmless, and in a fork it does not touch the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @classmethod
    def _opened(cls, path: Path, file: Path, kept: bytes | None, *, writable: bool) -> Self:
        with typed(path):
            Connection.check_unused(path, file)
            check_journal(file, writable=writable)
        chain = cls(Connection(path, file, writable=writable), writable=writable)
        try:
            with typed(path):
                if writable:
                    chain._hold()
                    chain._connection.run("BEGIN EXCLUSIVE")
                    chain._connection.run("COMMIT")
                chain._load(kept)
                chain._connection.check_unmoved()
        except BaseException:
            chain.close()
            raise
        return chain

    @classmethod
    def _copied(cls, path: Path, file: Path, kept: bytes | None) -> Self:
        """Read a copy, in which the record that a killed writer left unfinished is rolled back."""
        with typed(path), tempfile.TemporaryDirectory() as folder:
            if file.stat().st_size > MAXIMUM_COPIED_BYTES:
                raise LedgerUnavailable(
                    f"{path}: expected at most {MAXIMUM_COPIED_BYTES} bytes to copy, found more; a killed writer left "
                    "a record unfinished, so open it for writing first"
                )
            copy = Path(folder).resolve() / "ledger"
            shutil.copyfile(file, copy)
            shutil.copyfile(journal_of(file), journal_of(copy), follow_symlinks=False)
            with cls._opened(path, copy, kept, writable=True) as chain:
                chain.writable = False
                return chain

    @classmethod
    def _fill(cls, path: Path, first: bytes) -> None:
        """Make an empty file one whose first record is `first`; it is on the disk when this returns."""
        with cls(Connection(path, path.absolute(), writable=True), writable=True) as chain, typed(path):
            chain._hold()
            chain._connection.run("BEGIN EXCLUSIVE")
            chain._connection.run(f"PRAGMA application_id = {APPLICATION_ID}")
            chain._connection.run(f"PRAGMA user_version = {FORMAT_VERSION}")
            chain._connection.run(SCHEMA)
            chain._insert(first)
            chain._connection.run("COMMIT")

    def _hold(self) -> None:
        self._connection.run("PRAGMA locking_mode = EXCLUSIVE")
        self._connection.run("PRAGMA journal_mode = DELETE")
        self._connection.run("PRAGMA synchronous = EXTRA")

    def _insert(self, body: bytes) -> None:
        digest = chained_digest(self.head, body)
        self._connection.run("INSERT INTO records VALUES (?, ?, ?)", len(self.bodies), body, digest)

    def _name_journal(self) -> None:
        """Bring the journal's name to the disk: SQLite does that too when it makes one, but goes on where it fails."""
        if not self._journal_is_named:
            sync_names(self._connection.file.parent)
            self._journal_is_named = True

    def _remember(self, body: bytes) -> None:
        self.head = chained_digest(self.head, body)
        self.bodies += (body,)

    def _load(self, kept: bytes | None) -> None:
        identity = (
            self._connection.run("PRAGMA application_id")[0][0],
            self._connection.run("PRAGMA user_version")[0][0],
        )
        if identity != (APPLICATION_ID, FORMAT_VERSION):
            raise LedgerCorrupt(
                f"{self.path}: expected a budget ledger of format {FORMAT_VERSION}, found another file, or one whose "
                "creation was interrupted before anything could be reserved in it"
            )
        # A view or a trigger in a foreign file could run forever; nothing is read before it is known to be the table.
        schema = self._connection.run("SELECT type, name, sql = ? FROM sqlite_schema LIMIT 2", SCHEMA)
        if schema != [("table", "records", 1)]:
            raise LedgerCorrupt(f"{self.path}: expected the table of a budget ledger and nothing else, found another")
        bodies = []
        found = kept is None
        rows = self._connection.rows("SELECT sequence, body, digest FROM records ORDER BY sequence")
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
