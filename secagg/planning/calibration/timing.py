"""CPU time of a repeated call, which a busy machine changes less than elapsed time."""

import time
from collections.abc import Callable
from typing import Final

_REPEATS: Final = 3
_LEAST_S: Final = 0.01
_LONG_S: Final = 0.2


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one call: the least of three, each repeated until it takes a hundredth of a second.

    A call that takes more than 0.2 seconds is made once.
    """
    times = 1
    while (found := _took(work, times)) < _LEAST_S:
        times *= 2 if found > _LEAST_S / 8 else 8
    if found > _LONG_S:
        return found / times
    return min(found, *(_took(work, times) for _ in range(_REPEATS - 1))) / times


def once(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one call, which is not repeated."""
    return _took(work, 1)


def _took(work: Callable[[], object], times: int) -> float:
    begun = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - begun
