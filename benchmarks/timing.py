"""Processor time, which a busy machine hardly changes."""

import time
from collections.abc import Callable


def took(work: Callable[[], object]) -> float:
    """Processor time of one call, in seconds."""
    begun = time.process_time()
    work()
    return time.process_time() - begun
