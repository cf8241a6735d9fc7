"""Work in several processes. Each makes what it needs anew, so that only numbers and results are pickled."""

import multiprocessing
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final, Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)
Found = TypeVar("Found")

_MOST: Final = 8


class Job(ABC, Generic[Item, Found]):
    """What every process does. The object itself is pickled, without what `prepare` adds to it."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what `run` needs; called once in each process."""

    @abstractmethod
    def run(self, item: Item) -> Found:
        """Do one piece of the work."""

    @abstractmethod
    def lost(self, item: Item) -> Found:
        """Return what stands for a piece of work whose process has ended by itself."""


def done(job: Job[Item, Found], items: Sequence[Item]) -> Iterator[tuple[Item, Found]]:
    """Do all pieces of work, and yield each with its result as soon as it is done.

    There are as many processes as processors, at most 8. With one processor, or one piece of work, this process does
    the work itself. An interruption ends all processes at once.
    """
    count = min(_processors(), _MOST, len(items))
    if count <= 1:
        job.prepare()
        for item in items:
            yield item, job.run(item)
        return
    pool = ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin, initargs=(job,)
    )
    try:
        pending: dict[Future[Found], Item] = {pool.submit(_run, item): item for item in items}
        for future in as_completed(pending):
            yield pending[future], _result(future, job, pending[future])
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _processors() -> int:
    """Return how many processors this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _result(future: Future[Found], job: Job[Item, Found], item: Item) -> Found:
    try:
        return future.result()
    except BrokenProcessPool:
        return job.lost(item)


_JOB: list[Job[Any, Any]] = []  # Of this process: a pool hands its processes no object of their own.


def _begin(job: Job[Any, Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # An interruption ends this process at once and silently.
    job.prepare()
    _JOB.append(job)


def _run(item: Any) -> Any:
    return _JOB[0].run(item)
