"""A ledger can be read while others have it open and in a read-only folder, and no reader hinders its writer."""

import os
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path

import pytest

from dp.errors import LedgerStale, LedgerUnavailable
from dp.ledger.ledger import Ledger
from dp.reporting.collect import budget_report
from tests.support.ledgers import EVENT, create

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[3]


def labels(path: Path, head: str | None = None) -> list[str]:
    with Ledger.open_to_read(path, head=head) as ledger:
        return [entry.reservation.label for entry in ledger.entries()]


def test_process_reads_the_ledger_that_it_writes(path: Path) -> None:
    with create(path) as ledger:
        first = ledger.head
        number = ledger.reserve(EVENT, "one")
        with Ledger.open_to_read(path, head=first) as read:
            ledger.commit(number, contributors=100)
            assert [entry.commitment for entry in read.entries()] == [None]
            assert read.records_after(first) == 1
            with pytest.raises(LedgerUnavailable, match="opened for reading"):
                read.reserve(EVENT, "by a reader")
        with pytest.raises(LedgerStale, match="kept head"):
            Ledger.open_to_read(path, head="0" * 64)
        link = path.with_name("link")
        link.symlink_to(path)
        with Ledger.open_to_read(link, head=ledger.head) as read:
            assert budget_report(read) == budget_report(ledger)
        assert ledger.reserve(EVENT, "two") == 2
    assert labels(path) == ["one", "two"]


WRITING = textwrap.dedent("""
    import sys
    from dp.ledger.ledger import Ledger
    from tests.support.ledgers import EVENT
    with Ledger.open(sys.argv[1]) as ledger:
        print(ledger.head, flush=True)
        for _ in sys.stdin:
            ledger.reserve(EVENT, "another")
            print(ledger.head, flush=True)
""")


def test_ledger_that_another_process_writes_is_read(path: Path) -> None:
    create(path).close()
    with subprocess.Popen(
        [sys.executable, "-c", WRITING, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        for records in range(3):
            head = run.stdout.readline().strip()
            assert labels(path, head) == ["another"] * records
            run.stdin.write("\n")
            run.stdin.flush()
        assert run.stdout.readline()
        run.communicate("")
    assert run.returncode == 0


WITHIN = textwrap.dedent("""
    import sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA cache_size = 1")  # pages reach the file before the commit
    connection.execute("BEGIN EXCLUSIVE")
    for number in range(1000, 1200):
        connection.execute("INSERT INTO records VALUES (?, ?, ?)", (number, bytes(4096), bytes(32)))
    print(flush=True)
    sys.stdin.readline()
    connection.execute("ROLLBACK")
""")


def test_ledger_is_read_within_a_record(path: Path) -> None:
    with create(path) as ledger:
        ledger.reserve(EVENT, "whole")
        head = ledger.head
    whole = path.stat().st_size
    with subprocess.Popen(
        [sys.executable, "-c", WITHIN, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"\n"
        assert path.stat().st_size > whole
        assert labels(path, head) == ["whole"]
        run.communicate(b"\n")
    assert run.returncode == 0
    with Ledger.open(path, head=head) as ledger:
        assert ledger.reserve(EVENT, "goes on") == 2


# Every reading holds all records that were told of before it began; no writer is refused because of a reader.
def test_readers_and_writers_do_not_hinder_each_other(memory: Path) -> None:
    path = memory / "read while written"
    create(path, epsilon=1e3).close()
    writing = textwrap.dedent("""
        import sys
        from dp.ledger.ledger import Ledger
        from tests.support.ledgers import EVENT
        for _ in range(8):
            with Ledger.open(sys.argv[1]) as ledger:
                for _ in range(6):
                    ledger.reserve(EVENT, "x" * 200)
                    print(ledger.head, flush=True)
    """)
    heads: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", writing, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as run:
        assert run.stdout is not None
        told = threading.Thread(target=lambda: heads.extend(line.strip() for line in run.stdout or ()))
        told.start()
        readings = 0
        while run.poll() is None:
            head = heads[-1] if heads else None
            with Ledger.open_to_read(path, head=head) as ledger:
                assert len(ledger.entries()) <= 48
            readings += 1
        told.join()
        assert (run.returncode, run.stderr.read() if run.stderr else "") == (0, "")
    assert readings > 5
    assert len(labels(path, heads[-1])) == len(heads) == 48


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_ledger_in_a_folder_that_is_read_only_is_read_and_left_alone() -> None:
    from tests.dp.ledger.test_ledger_processes import HALF_WRITTEN

    with tempfile.TemporaryDirectory() as name:
        folder, copies = Path(name) / "folder", Path(name) / "copies"
        folder.mkdir()
        copies.mkdir()
        path = folder / "ledger.sqlite"
        with create(path) as ledger:
            ledger.reserve(EVENT, "whole")
        subprocess.run([sys.executable, "-c", HALF_WRITTEN, path], check=False)
        for each, mode in ((Path(name), 0o755), (copies, 0o777), *((file, 0o444) for file in folder.iterdir())):
            each.chmod(mode)
        folder.chmod(0o555)
        before = {file.name: file.read_bytes() for file in folder.iterdir()}
        code = (
            "import os, sys, dp; os.getuid() or os.setuid(65534)\n"  # root may write everywhere
            "print(len(dp.Ledger.open_to_read(sys.argv[1]).entries()))"
        )
        run = subprocess.run(
            [sys.executable, "-c", code, path],
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            env=os.environ | {"TMPDIR": str(copies)},
        )
        assert (run.stdout, run.stderr) == ("1\n", "")
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
        assert list(copies.iterdir()) == []
        folder.chmod(0o755)


def test_reading_without_a_folder_for_copies_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(path).close()
    monkeypatch.setattr("tempfile.tempdir", str(path.with_name("missing")))
    with pytest.raises(LedgerUnavailable, match="expected a folder for temporary files"):
        Ledger.open_to_read(path)
