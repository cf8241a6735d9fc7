"""One user of a home at a time, in threads and processes."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from secagg.engines.home_lock import HomeBusy, HomeLock
from tests.secagg.test_portability import WITHOUT_POSIX, run

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "record").mkdir()
    (tmp_path / "record" / "lock").touch()
    return tmp_path / "record" / "lock"


def ticking(*, step_s: float = 1.0) -> Callable[[], float]:
    """Return a clock that goes on by a step at each look."""
    times: Iterator[float] = iter(step_s * tick for tick in range(10**6))
    return lambda: next(times)


def hold(lock: HomeLock, seconds: float = 5.0) -> None:
    with lock.held(timeout_s=seconds, clock=ticking()):
        pass


def test_lock_is_held_by_one_thread_at_a_time(path: Path) -> None:
    lock, inside, most = HomeLock(path), [0], [0]

    def use() -> None:
        for _ in range(20):
            with lock.held(timeout_s=1e9, clock=ticking()):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert path.read_bytes() == b""
    assert [each.name for each in path.parent.iterdir()] == ["lock"]


def test_held_lock_is_busy_for_the_same_object_and_for_another_until_it_is_free(path: Path) -> None:
    lock = HomeLock(path)
    with lock.held(timeout_s=0, clock=ticking()):
        for other in (lock, HomeLock(path)):
            with pytest.raises(HomeBusy, match="expected a free home, found it in use"):
                hold(other)
    hold(lock)
    with pytest.raises(ZeroDivisionError), lock.held(timeout_s=0, clock=ticking()):
        raise ZeroDivisionError
    hold(HomeLock(path))


@pytest.mark.parametrize(("step_s", "looks"), [(1.0, 6), (2.5, 3), (100.0, 2)])
def test_waiting_ends_by_the_given_clock(step_s: float, looks: int, path: Path) -> None:
    seen = []
    clock = ticking(step_s=step_s)

    def counted() -> float:
        seen.append(clock())
        return seen[-1]

    waiting = HomeLock(path).held(timeout_s=5.0, clock=counted)
    with HomeLock(path).held(timeout_s=0, clock=ticking()), pytest.raises(HomeBusy), waiting:
        pass
    assert len(seen) == looks


@pytest.mark.parametrize("program", ["", WITHOUT_POSIX], ids=["as it is", "without POSIX"])
def test_lock_keeps_other_processes_out_until_its_holder_is_killed(program: str, path: Path) -> None:
    holding = f"{program}import time; from pathlib import Path; from secagg.engines.home_lock import HomeLock\n"
    holding += (
        "with HomeLock(Path('record/lock')).held(timeout_s=0, clock=time.monotonic): print('held', flush=True), input()"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", holding],
        cwd=path.parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(HomeBusy):
            hold(HomeLock(path))
        holder.kill()
        holder.wait()
        hold(HomeLock(path))


def test_lock_outlives_the_fork_of_its_holder(path: Path) -> None:
    other = (
        "import time; from pathlib import Path; from secagg.engines.home_lock import HomeLock\n"
        "with HomeLock(Path('record/lock')).held(timeout_s=0, clock=time.monotonic): pass"
    )
    with HomeLock(path).held(timeout_s=0, clock=ticking()):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
        assert "found it in use" in run(other, cwd=path.parents[1]).stderr
    assert run(other, cwd=path.parents[1]).returncode == 0


def test_file_that_is_not_a_lock_is_left_as_it_is(path: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"three years")
    path.unlink()
    for make in (lambda: None, lambda: path.symlink_to(mine), lambda: path.write_bytes(b"x"), path.mkdir):
        make()
        with pytest.raises(OSError, match="expected the empty lock file of a home"):
            hold(HomeLock(path))
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
    assert mine.read_bytes() == b"three years"
