"""Targets of budget ledgers: records with their chain rebuilt, files, journals, and reports of altered ledgers."""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from dp.errors import DpError, LedgerCorrupt, LedgerError
from dp.ledger.journal import read_journal
from dp.ledger.ledger import Ledger
from dp.ledger.log import GENESIS, chained_digest
from dp.ledger.sqlite_log import APPLICATION_ID, FORMAT_VERSION, SCHEMA, SqliteLog
from dp.reporting.collect import budget_report
from dp.reporting.document import as_json
from dp.reporting.text import as_text
from secagg.errors import SecaggError
from secagg.privacy.several_ledgers import together
from secagg.runs.kept_ledgers import EarlierLedgers, kept_ledgers, settle
from tests.fuzz.mutate import Mutator, mutate_lines
from tests.fuzz.mutate_files import mutate_folder, mutate_sqlite, pack_folder, unpack_folder
from tests.fuzz.mutate_tree import mutate_msgpack
from tests.fuzz.target import Entry, Target
from tests.support.memory_log import MemoryLog, StoredRecords
from tests.vectors.recorded import VECTORS

_RECORDED: Final = tuple(sorted((VECTORS / "ledger").glob("*.sqlite")))


def entries() -> list[Entry]:
    """Return the targets."""
    return [
        Entry("ledger/records", 200, _records),
        Entry("ledger/report", 0.2, _report),
        Entry("ledger/rows", 8, _rows),
        Entry("ledger/file", 8, _file),
        Entry("ledger/journal", 6, _journal),
        Entry("ledger/kept", 1, _kept),
    ]


def _bodies() -> tuple[bytes, ...]:
    """Return the records of each recorded ledger, a line each, and short ledgers made from their beginnings."""
    found = []
    for path in (*_RECORDED, VECTORS / "checkpoint" / "run" / "ledger.sqlite"):
        with Ledger.open_to_read(path), SqliteLog.open(path, writable=False) as log:
            found += [b"\n".join(log.bodies[:12]), b"\n".join(log.bodies[:3])]
    return tuple(dict.fromkeys(found))


def _over(data: bytes) -> Ledger:
    first, *later = data.split(b"\n")
    stored = StoredRecords(first)
    stored.bodies = (first, *later)
    return Ledger.over(MemoryLog(stored, writable=False))


def _records(folder: Path) -> Target:
    def read(data: bytes) -> None:
        _over(data).entries()

    return Target(
        seeds=_bodies(),
        run=read,
        mutate=mutate_lines,
        refusals=(LedgerCorrupt,),
        covers=(
            "dp.ledger.ledger:Ledger.over",
            "dp.ledger.account:Account.__init__",
            "dp.ledger.participants:decode_clients",
        ),
        memory_base=2**28,  # A few numbers for each client of a population of up to 2**22.
    )


def _report(folder: Path) -> Target:
    def report(data: bytes) -> None:
        ledger = _over(data)
        found = budget_report(ledger)
        as_text(found)
        as_json(found)
        ledger.unsupported_realised()

    return Target(
        seeds=_bodies(),
        run=report,
        mutate=mutate_lines,
        refusals=(DpError,),
        covers=("dp.reporting.collect:budget_report", "dp.reporting.document:as_json"),
        memory_base=2**28,
    )


def _rows(folder: Path) -> Target:
    """Rows of the table as they are in the file; a digest of None is computed, so that the chain is right."""
    path = folder / "rows.sqlite"

    def read(data: bytes) -> None:
        _write_rows(path, data)
        with Ledger.open_to_read(path) as ledger:
            ledger.entries()

    rows = [
        msgspec.msgpack.encode([[at, body, None] for at, body in enumerate(bodies.split(b"\n"))])
        for bodies in _bodies()
    ]
    return Target(
        seeds=tuple(rows),
        run=read,
        mutate=mutate_msgpack,
        refusals=(LedgerError, _NotRows),
        covers=("dp.ledger.ledger:Ledger.open_to_read", "dp.ledger.sqlite_log:SqliteLog.open"),
        memory_base=2**28,
    )


class _NotRows(Exception):
    """An input that SQLite itself would not store."""


def _write_rows(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    head = GENESIS
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION}; {SCHEMA}"
        )
        try:
            for sequence, body, digest in msgspec.msgpack.decode(data):
                if isinstance(body, bytes):
                    head = chained_digest(head, body)
                connection.execute(
                    "INSERT INTO records VALUES (?, ?, ?)", (sequence, body, head if digest is None else digest)
                )
        except (sqlite3.Error, msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
            raise _NotRows from None


def _file(folder: Path) -> Target:
    path = folder / "file.sqlite"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with Ledger.open_to_read(path) as ledger:
            ledger.entries()
        with Ledger.open(path) as ledger:
            ledger.entries()

    return Target(
        seeds=tuple(found.read_bytes() for found in _RECORDED),
        run=read,
        mutate=mutate_sqlite,
        refusals=(LedgerError,),
        covers=("dp.ledger.ledger:Ledger.open_to_read", "dp.ledger.ledger:Ledger.open"),
        memory_base=2**22,
    )


_PARTS: Final[dict[str, Mutator]] = {"journal.sqlite": mutate_sqlite, "journal.sqlite-journal": mutate_sqlite}


def _journal(folder: Path) -> Target:
    """A ledger with the journal of a writer that was killed."""
    path = folder / "journal.sqlite"

    def read(data: bytes) -> None:
        with _placed(folder, data):
            read_journal(path)
            with Ledger.open_to_read(path) as ledger:
                ledger.entries()
            with Ledger.open(path) as ledger:
                ledger.entries()

    return Target(
        seeds=tuple(_interrupted(folder, found.read_bytes()) for found in _RECORDED),
        run=read,
        mutate=mutate_folder(_PARTS),
        refusals=(LedgerError, FileNotFoundError),
        covers=("dp.ledger.journal:read_journal",),
        memory_base=2**22,
    )


def _interrupted(folder: Path, content: bytes) -> bytes:
    """Return a ledger and its journal as they are in the middle of a transaction."""
    path = folder / "journal.sqlite"
    path.write_bytes(content)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN EXCLUSIVE")
        for number in range(60):
            connection.execute("INSERT INTO records VALUES (?, ?, ?)", (1000 + number, bytes(400), bytes(32)))
        found = {name: (folder / name).read_bytes() for name in _PARTS if (folder / name).exists()}
        connection.execute("ROLLBACK")
    return pack_folder(found)


@contextlib.contextmanager
def _placed(folder: Path, data: bytes) -> Iterator[None]:
    """Write the files of a packed folder, and remove all files afterwards."""
    for name, content in unpack_folder(data).items():
        (folder / name).write_bytes(content)
    try:
        yield
    finally:
        for left in folder.iterdir():
            left.unlink()


_LEDGERS: Final[dict[str, Mutator]] = {"ledger.sqlite": mutate_sqlite, "ledger-1.sqlite": mutate_sqlite}


def _kept(folder: Path) -> Target:
    """The ledger of a run, and that of a run which it has replaced, read together."""

    def read(data: bytes) -> None:
        with _placed(folder, data):
            EarlierLedgers.of(folder, planned=Counter()).in_words(private=True)
            files = [path for path in (folder / "ledger.sqlite", *kept_ledgers(folder)) if path.exists()]
            if len(files) > 1:
                together(files).as_json()
            settle(folder / "ledger.sqlite")

    own = (VECTORS / "checkpoint" / "run" / "ledger.sqlite").read_bytes()
    return Target(
        seeds=tuple(pack_folder({"ledger.sqlite": own, "ledger-1.sqlite": path.read_bytes()}) for path in _RECORDED),
        run=read,
        mutate=mutate_folder(_LEDGERS),
        refusals=(DpError, SecaggError),
        covers=(
            "secagg.runs.kept_ledgers:EarlierLedgers.of",
            "secagg.privacy.several_ledgers:together",
            "secagg.runs.kept_ledgers:settle",
        ),
        memory_base=2**28,
    )
