"""A new ledger with a clock that ticks, and a release to enter in it."""

import itertools
from collections.abc import Callable
from pathlib import Path

from dp.events import DistributedDiscreteGaussianEvent
from dp.ledger.ledger import Ledger

EVENT = DistributedDiscreteGaussianEvent(local_sigma=20.0, contributors=100, l2_sensitivity=100.0, dimension=650)


def ticks() -> Callable[[], float]:
    return map(float, itertools.count(1000)).__next__


def create(path: Path, epsilon: float = 8.0, clock: Callable[[], float] | None = None) -> Ledger:
    return Ledger.create(path, epsilon=epsilon, delta=1e-3, population=300, clock=clock or ticks())
