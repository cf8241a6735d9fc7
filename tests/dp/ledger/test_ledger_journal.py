"""Journals beside a ledger: those that killed writers leave are rolled back, in a copy to read; forged ones refused."""

import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dp.errors import LedgerCorrupt, LedgerUnavailable
from dp.ledger.ledger import Ledger
from tests.dp.ledger.test_ledger_processes import HALF_WRITTEN
from tests.support.ledgers import EVENT, create

MAGIC = bytes.fromhex("d9d505f920a163d7")
both_openings = pytest.mark.parametrize("opening", [Ledger.open, Ledger.open_to_read])


def journal_of(path: Path) -> Path:
    return path.with_name(path.name + "-journal")


def header(ledger: Path, *, pages: int | None = None) -> bytes:
    page_bytes = struct.unpack(">H", ledger.read_bytes()[16:18])[0]
    before = ledger.stat().st_size // page_bytes if pages is None else pages
    return (MAGIC + struct.pack(">IIIII", 0, 7, before, 512, page_bytes)).ljust(512, b"\0")


def naming(victim: Path) -> bytes:
    name = os.fsencode(victim)
    return struct.pack(">I", 1) + name + struct.pack(">II", len(name), sum(name)) + MAGIC


def linked(ledger: Path, victim: Path) -> None:
    journal_of(ledger).symlink_to(victim)


def piped(ledger: Path, victim: Path) -> None:
    os.mkfifo(journal_of(ledger))


def super_journal(ledger: Path, victim: Path) -> None:
    journal_of(ledger).write_bytes(header(ledger) + naming(victim))


def dormant_super_journal(ledger: Path, victim: Path) -> None:
    journal_of(ledger).write_bytes(bytes(512) + naming(victim))


def enlarging(ledger: Path, victim: Path) -> None:
    journal_of(ledger).write_bytes(header(ledger, pages=2**30))


def huge(ledger: Path, victim: Path) -> None:
    with journal_of(ledger).open("wb") as journal:
        journal.write(header(ledger))
        journal.truncate(1 << 40)


def write_ahead(ledger: Path, victim: Path) -> None:
    ledger.with_name(ledger.name + "-wal").symlink_to(victim)


def in_write_ahead_mode(ledger: Path, victim: Path) -> None:
    connection = sqlite3.connect(ledger)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


FORGED: list[Callable[[Path, Path], None]] = [
    linked,
    piped,
    super_journal,
    dormant_super_journal,
    enlarging,
    huge,
    write_ahead,
    in_write_ahead_mode,
]


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
@both_openings
@pytest.mark.parametrize("through_a_link", [False, True])
@pytest.mark.parametrize("forge", FORGED)
def test_forged_journal_is_refused_untouched(
    path: Path,
    tmp_path: Path,
    forge: Callable[[Path, Path], None],
    opening: Callable[[Path], Ledger],
    through_a_link: bool,
) -> None:
    """Somebody who wants another file deleted or overwritten puts a forged journal, link, pipe or log beside a ledger.

    Opening must refuse it (LedgerCorrupt) before SQLite acts on it; no file changes.
    """
    create(path).close()
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    forge(path, victim)
    content, names = path.read_bytes(), sorted(path.parent.iterdir())
    opened = path
    if through_a_link:
        opened = tmp_path / "elsewhere" / "link"
        opened.parent.mkdir()
        opened.symlink_to(path)
        names = sorted(path.parent.iterdir())
    with pytest.raises(LedgerCorrupt, match="expected"):
        opening(opened)
    assert (path.read_bytes(), victim.read_bytes()) == (content, b"precious")
    assert sorted(path.parent.iterdir()) == names


@pytest.mark.skipif(os.name != "posix", reason="hard links")
def test_journal_under_two_names_is_read_and_not_written(path: Path, tmp_path: Path) -> None:
    """Somebody makes the journal a hard link to another file, which a writer would overwrite.

    Opening for writing must refuse it (LedgerCorrupt).
    """
    create(path).close()
    victim = tmp_path / "victim"
    victim.write_bytes(bytes(512))
    os.link(victim, journal_of(path))
    Ledger.open_to_read(path).close()
    with pytest.raises(LedgerCorrupt, match="a file of its own"):
        Ledger.open(path)
    assert victim.read_bytes() == bytes(512)


@pytest.mark.skipif(os.name != "posix", reason="kills a process by a signal")
def test_reading_leaves_the_evidence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with create(path) as ledger:
        ledger.reserve(EVENT, "whole")
        head = ledger.head
    subprocess.run([sys.executable, "-c", HALF_WRITTEN, path], check=False)
    content, journal = path.read_bytes(), journal_of(path).read_bytes()
    assert journal.startswith(MAGIC)
    copies = path.with_name("copies")
    copies.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(copies))
    for _ in range(2):
        with Ledger.open_to_read(path, head=head) as ledger:
            assert [entry.reservation.label for entry in ledger.entries()] == ["whole"]
            with pytest.raises(LedgerUnavailable, match="opened for reading"):
                ledger.reserve(EVENT, "x")
    assert (path.read_bytes(), journal_of(path).read_bytes()) == (content, journal)
    assert list(copies.iterdir()) == []
    with Ledger.open(path, head=head) as ledger:
        assert ledger.reserve(EVENT, "goes on") == 2
    assert not journal_of(path).exists()


# A journal that outlived its ledger would be rolled back into the new one.
def test_journal_of_an_earlier_ledger_is_not_taken_over(path: Path) -> None:
    create(path).close()
    shutil.copy(path, journal_of(path))
    path.unlink()
    with pytest.raises(LedgerUnavailable, match="found the journal of an earlier one"):
        create(path)
    assert not path.exists()
    journal_of(path).unlink()
    create(path).close()
