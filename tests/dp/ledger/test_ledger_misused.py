"""A ledger that is forked, moved away, shared by threads or sought where nothing can be."""

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from dp.accounting.guarantee import guarantee, is_within
from dp.errors import BudgetExceeded, DpError, InvalidParameter, LedgerLocked, LedgerUnavailable
from dp.events import GaussianEvent
from dp.ledger.ledger import Ledger
from tests.support.ledgers import EVENT, create

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[3]

# The child ends as programs do, with everything collected; the parent's journal and lock must outlive it.
FORKING = textwrap.dedent("""
    import os, sys
    from dp import Ledger, LedgerError, LedgerLocked, LedgerUnavailable
    from tests.support.ledgers import EVENT, create
    ledger = create(sys.argv[1])
    fits = ledger.remaining(EVENT)
    ledger.reserve(EVENT, "parent")
    child = os.fork()
    if child == 0:
        for step in (lambda: ledger.reserve(EVENT, "child"), lambda: ledger.commit(1, contributors=100)):
            try:
                step()
                sys.exit(3)
            except LedgerUnavailable as error:
                if "found a fork of it" not in str(error):
                    raise
        ledger.close() if sys.argv[2] == "closes" else None
        try:
            Ledger.open(sys.argv[1])
            sys.exit(4)
        except LedgerLocked:
            sys.exit(0)
    status = os.waitpid(child, 0)[1]
    made = 1
    while ledger.remaining(EVENT):
        ledger.reserve(EVENT, "parent again")
        made += 1
    print(status, made == fits, os.path.exists(sys.argv[1] + "-journal"), flush=True)
    sys.stdin.readline()
    ledger.close()
""")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("child", ["closes", "leaves"])
def test_fork_neither_spends_nor_disturbs(path: Path, child: str) -> None:
    """A process forks with an open ledger, so that two could spend one budget.

    The child must be refused (LedgerUnavailable), and the parent's lock and journal must stay.
    """
    with subprocess.Popen(
        [sys.executable, "-c", FORKING, path, child],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "0 True True\n"
        with pytest.raises(LedgerLocked):
            Ledger.open(path)
        run.communicate("\n")
    with Ledger.open(path) as ledger:
        assert {entry.reservation.label for entry in ledger.entries()} == {"parent", "parent again"}
        assert ledger.remaining(EVENT) == 0


def replaced(path: Path) -> None:
    shutil.copy(path, path.with_name("restored"))
    path.with_name("restored").replace(path)


def renamed(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


@pytest.mark.parametrize("move", [replaced, renamed, Path.unlink])
def test_moved_file_refuses_every_release(path: Path, move: Any) -> None:
    """The file is moved, replaced or deleted while it is open, so records would be lost.

    Every step must refuse (LedgerUnavailable).
    """
    with create(path) as ledger:
        number = ledger.reserve(EVENT, "one")
        move(path)
        with pytest.raises(LedgerUnavailable, match=r"moved or replaced\. Release nothing"):
            ledger.commit(number, contributors=100)
        with pytest.raises(LedgerUnavailable, match="moved or replaced"):
            ledger.reserve(EVENT, "two")
        assert len(ledger.entries()) == 1


class FileReplacingTracer:
    """A trace function that replaces the file after the last look at it, before the record is written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, frame: Any, event: str, argument: object) -> Any:
        if frame.f_code.co_name == "_insert" and event == "call":
            replaced(self.path)
        return self


def test_file_moved_within_a_record_refuses_the_release(path: Path) -> None:
    """The file is replaced after the last look at it, before the record is written.

    The step must still refuse (LedgerUnavailable).
    """
    with create(path) as ledger:
        ledger.reserve(EVENT, "one")
        before = sys.gettrace()
        sys.settrace(FileReplacingTracer(path))
        try:
            with pytest.raises(LedgerUnavailable, match="moved or replaced"):
                ledger.reserve(EVENT, "two")
        finally:
            sys.settrace(before)
        assert len(ledger.entries()) == 1


OPENED_ANEW = textwrap.dedent("""
    import sys
    from dp import Ledger
    from tests.support.ledgers import EVENT
    with Ledger.open(sys.argv[1]) as ledger:
        ledger.reserve(EVENT, "anew")
        print(flush=True)
        sys.stdin.readline()
""")


def test_closing_a_moved_file_leaves_the_journal_of_the_next_writer(path: Path) -> None:
    ledger = create(path)
    ledger.reserve(EVENT, "one")
    replaced(path)
    with subprocess.Popen(
        [sys.executable, "-c", OPENED_ANEW, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"\n"
        ledger.close()
        assert path.with_name(path.name + "-journal").exists()
        run.communicate(b"\n")


# Looking at the file from the process that holds it must not drop its lock, which others would then get.
def test_refused_opening_and_reading_leave_the_lock(path: Path) -> None:
    with create(path) as ledger:
        with pytest.raises(LedgerLocked):
            Ledger.open(path)
        with Ledger.open_to_read(path) as read:
            assert read.head == ledger.head
        code = "import sys, dp\ntry: dp.Ledger.open(sys.argv[1])\nexcept dp.LedgerLocked: print('locked')"
        other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, cwd=REPOSITORY)
        assert other.stdout == "locked\n"
        ledger.reserve(EVENT, "goes on")


def test_threads_share_a_ledger(path: Path) -> None:
    with create(path, epsilon=2.0) as ledger:
        fits = ledger.remaining(EVENT)
        numbers: list[int] = []
        refusals: list[str] = []

        def spend() -> None:
            try:
                while True:
                    numbers.append(ledger.reserve(EVENT, "x"))
            except DpError as error:
                refusals.append(type(error).__name__)

        threads = [threading.Thread(target=spend) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(numbers) == list(range(1, fits + 1))
        assert refusals == [BudgetExceeded.__name__] * 4
    with Ledger.open(path) as ledger:
        assert len(ledger.entries()) == fits


@pytest.mark.parametrize("unusable", ["a\0b", "a\ud800b", None, 7])
def test_path_that_is_none_is_refused(tmp_path: Path, unusable: Any) -> None:
    path: Any = str(tmp_path / unusable) if isinstance(unusable, str) else unusable
    for opening in (create, Ledger.open, Ledger.open_to_read):
        with pytest.raises(InvalidParameter, match="path: expected a path"):
            opening(path)


def test_path_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / ("a" * 300), tmp_path / "loop", tmp_path / "none" / "ledger"):
        for opening in (create, Ledger.open, Ledger.open_to_read):
            with pytest.raises(LedgerUnavailable):
                opening(path)


def test_events_that_are_no_mapping_are_refused() -> None:
    for events in (None, [GaussianEvent(noise_multiplier=1.0)], 7):
        with pytest.raises(InvalidParameter, match="expected a mapping from events"):
            guarantee(events, delta=1e-3)  # type: ignore[arg-type]
        with pytest.raises(InvalidParameter, match="expected a mapping from events"):
            is_within(events, epsilon=1.0, delta=1e-3)  # type: ignore[arg-type]
