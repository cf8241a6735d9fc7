"""A ledger used by several processes, by ones that are killed, and on a disk that is full."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from dp.errors import LedgerLocked, LedgerUnavailable
from dp.ledger.ledger import Ledger
from tests.support.ledgers import EVENT, create

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[3]


def test_second_writer_is_refused_at_once(path: Path) -> None:
    with create(path) as ledger:
        with pytest.raises(LedgerLocked, match="only user"):
            Ledger.open(path)
        code = "import sys, dp\ntry: dp.Ledger.open(sys.argv[1])\nexcept dp.LedgerLocked: print('locked')"
        other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, cwd=REPOSITORY)
        assert other.stdout == "locked\n"
        ledger.reserve(EVENT, "the first writer goes on")
    with Ledger.open(path) as ledger:
        assert len(ledger.entries()) == 1


def test_readers_share_and_do_not_write(path: Path) -> None:
    create(path).close()
    with Ledger.open_to_read(path) as one, Ledger.open_to_read(path) as other:
        assert one.head == other.head
        with pytest.raises(LedgerUnavailable, match="opened for reading"):
            one.reserve(EVENT, "x")


# 1,000 kills: `python -m tests.support.ledger_kills 1000 FOLDER`.
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children of its own")
def test_killed_users_never_undercount(memory: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.ledger_kills", "100", memory / "killed"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert run.returncode == 0, run.stderr
    *struck, result = run.stdout.splitlines()
    assert "100 kills" in result
    assert any(line.endswith("after a record that was told of") for line in struck)


HALF_WRITTEN = textwrap.dedent("""
    import os, signal, sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")  # pages reach the file before the commit
    connection.execute("BEGIN EXCLUSIVE")
    for number in range(1000, 1200):
        connection.execute("INSERT INTO records VALUES (?, ?, ?)", (number, bytes(4096), bytes(32)))
    os.kill(os.getpid(), signal.SIGKILL)
""")


def open_to_read_through_a_link(path: Path) -> Ledger:
    link = path.parent / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to(path)
    return Ledger.open_to_read(link)


@pytest.mark.skipif(os.name != "posix", reason="kills a process by a signal")
@pytest.mark.parametrize("opening", [Ledger.open, Ledger.open_to_read, open_to_read_through_a_link])
def test_writer_killed_within_a_record_is_rolled_back(opening: Callable[[Path], Ledger], path: Path) -> None:
    with create(path) as ledger:
        ledger.reserve(EVENT, "whole")
    subprocess.run([sys.executable, "-c", HALF_WRITTEN, path], check=False)
    assert path.with_name(path.name + "-journal").stat().st_size > 0
    with opening(path) as ledger:
        assert [entry.reservation.label for entry in ledger.entries()] == ["whole"]


FILLING = textwrap.dedent("""
    import resource, signal, sys, os
    from dp import Ledger, LedgerUnavailable, GaussianEvent
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    event = GaussianEvent(noise_multiplier=1e4)
    with Ledger.open(sys.argv[1]) as ledger:
        limit = os.path.getsize(sys.argv[1]) + 20_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            while True:
                print(ledger.reserve(event, "x" * 200), flush=True)
        except LedgerUnavailable as error:
            print("refused:", "Release nothing" in str(error))
        try:
            ledger.reserve(event, "y")
        except LedgerUnavailable as error:
            print("closed:", "closed" in str(error))
""")


@pytest.mark.skipif(os.name != "posix", reason="limits a file's size by setrlimit")
def test_failing_disk_ends_in_a_refusal(path: Path) -> None:
    create(path).close()
    run = subprocess.run([sys.executable, "-c", FILLING, path], capture_output=True, text=True, cwd=REPOSITORY)
    *numbers, refusal, closed = run.stdout.splitlines()
    assert (refusal, closed) == ("refused: True", "closed: True"), run.stderr
    with Ledger.open(path) as ledger:
        assert len(ledger.entries()) >= int(numbers[-1]) == len(numbers) > 5
        assert ledger.reserve(EVENT, "after") == len(ledger.entries())
