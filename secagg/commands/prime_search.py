"""Two safe primes for a committee's key, searched for on all cores, with an account of how far the search is."""

import contextlib
import importlib
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from protocols.crypto.paillier.safe_primes import safe_prime
from secagg.interruption import HeldInterrupts

_MOST_THREADS: Final = 4
_GLANCE_S: Final = 0.1


class _Over(Exception):
    """Ends a search that is no longer needed."""


def two_safe_primes(bits: int, observe: Callable[[int, int], None]) -> tuple[int, int]:
    """Return two random safe primes.

    Every thread goes on until two are found, so that a fast one does not wait for another. An interrupt ends all. It
    may arrive at any instant, and Python's conditions, events and futures do not give their locks back at some of them.
    So the main thread shares none of these with the search: it sleeps and looks.

    Args:
        bits: Size of each; see `protocols.crypto.paillier.safe_primes.safe_prime`.
        observe: Called some ten times a second with the number of candidates tested, and of primes found.

    Raises:
        ParameterError: `bits` is out of range.
    """
    count = min(os.cpu_count() or 1, _MOST_THREADS)
    tested, found, errors, over = [0] * count, list[int](), list[Exception](), False

    def search(thread: int) -> None:
        def tried(candidates: int) -> None:
            tested[thread] += candidates
            if over:
                raise _Over

        try:
            _release_gil()
            while len(found) < 2:
                found.append(safe_prime(bits, tried=tried))
        except _Over:
            pass
        except Exception as error:  # noqa: BLE001 - raised again in the main thread
            errors.append(error)

    threads = [threading.Thread(target=search, args=(thread,), daemon=True) for thread in range(count)]
    try:
        with HeldInterrupts():
            for thread in threads:
                thread.start()
        while len(found) < 2 and not errors:
            time.sleep(_GLANCE_S)
            observe(sum(tested), min(len(found), 2))
    finally:
        over = True
        with HeldInterrupts():
            for thread in threads:
                if thread.ident is not None:  # It has been started.
                    thread.join()
    if errors:
        raise errors[0]
    observe(sum(tested), 2)
    return found[0], found[1]


def _release_gil() -> None:
    """Let gmpy2, if it is installed, release the global interpreter lock while it computes."""
    with contextlib.suppress(ImportError):
        importlib.import_module("gmpy2").get_context().allow_release_gil = True
