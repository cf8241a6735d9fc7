"""Two safe primes for a committee's key, searched for on all cores, with an account of how far the search is."""

import contextlib
import importlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Final

from protocols.crypto.paillier.safe_primes import safe_prime

_MOST_THREADS: Final = 4
_GLANCE_S: Final = 0.1


class _Over(Exception):
    """Ends a search that is no longer needed."""


def two_safe_primes(bits: int, observe: Callable[[int, int], None]) -> tuple[int, int]:
    """Return two random safe primes.

    Every thread goes on until two are found, so that a fast one does not wait for another. An interrupt ends all.

    Args:
        bits: Size of each; see `protocols.crypto.paillier.safe_primes.safe_prime`.
        observe: Called some ten times a second with the number of candidates tested, and of primes found.

    Raises:
        ParameterError: `bits` is out of range.
    """
    threads = min(os.cpu_count() or 1, _MOST_THREADS)
    tested, found, over = [0] * threads, list[int](), threading.Event()

    def search(thread: int) -> None:
        def count(candidates: int) -> None:
            tested[thread] += candidates
            if over.is_set():
                raise _Over

        with contextlib.suppress(_Over):
            try:
                while len(found) < 2:
                    found.append(safe_prime(bits, tried=count))
            finally:
                over.set()

    # Nothing may wait for the threads before they are told to end, wherever an interrupt arrives.
    pool = ThreadPoolExecutor(threads, initializer=_release_gil)
    try:
        searches = [pool.submit(search, thread) for thread in range(threads)]
        while wait(searches, timeout=_GLANCE_S).not_done:
            observe(sum(tested), min(len(found), 2))
    except RuntimeError as error:
        # An interrupt that arrives while `threading.Condition` takes its lock again leaves it as this error.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise
    finally:
        over.set()
        pool.shutdown()
    for each in searches:
        each.result()
    observe(sum(tested), 2)
    return found[0], found[1]


def _release_gil() -> None:
    """Let gmpy2, if it is installed, release the global interpreter lock while it computes."""
    with contextlib.suppress(ImportError):
        importlib.import_module("gmpy2").get_context().allow_release_gil = True
