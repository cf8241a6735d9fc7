"""A coordinator's folder for tests, nodes that are summed up in the clear, and crashes before and after each write."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.ledger.ledger import Ledger
from protocols import PlainSum
from secagg.aggregation.mean import SecureMean, Target
from secagg.arrays import Shapes
from secagg.engines.base import RoundPlan, RoundResult, Update
from secagg.engines.client import contribute
from secagg.engines.coordinator import Coordinator
from secagg.engines.coordinator_folder import CoordinatorFolder
from secagg.engines.work import Work
from secagg.storage.node_keys import create_coordinator

CLIENTS = (1, 2, 3, 4, 5, 6)
LEAST = 4
TARGET = Target(epsilon=60.0, delta=1e-2, releases=20, colluding=0)


class Crash(BaseException):
    """The process is killed here."""


def plan_with(target: Target | None) -> Callable[..., SecureMean]:
    """Return a plan of a mean of two entries."""

    def plan(clients: Sequence[int], work: Work, _: object) -> SecureMean:
        return _mean(tuple(clients), work.travelling, target)

    return plan


@cache
def _mean(clients: tuple[int, ...], shapes: Shapes, target: Target | None) -> SecureMean:
    return SecureMean.plan(
        protocol=PlainSum(),
        clients=clients,
        minimum_contributors=min(LEAST, len(clients)),
        shapes=shapes,
        clip_l2=100.0,
        target=target,
    )


def work_of(number: int, run: str = "run") -> Work:
    """Return the work of a round."""
    return Work(run, number, [np.array([0.5, float(number)])])


def update_of(client: int, work: Work) -> Update:
    """Return what a client's training returns: different numbers for each client and work."""
    return Update([array * client for array in work.arrays])


@dataclass
class Nodes:
    """An engine whose clients' vectors are added up in the clear, and that notes what was opened.

    Attributes:
        silent: The clients that do not answer.
        seen: The greatest serial that the nodes have seen; earlier ones are refused.
        opened: For each sum that may have been opened: context, contributors, session id.
        trained: For each new session: its serial.
        on_opening: Called when the requests leave with which the sum is opened.
    """

    silent: set[int] = field(default_factory=set)
    seen: int = 0
    opened: list[tuple[bytes, tuple[int, ...], bytes]] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    on_opening: Callable[[], None] = lambda: None
    errors: list[Exception] = field(default_factory=list)

    def check(self, plan: RoundPlan) -> None:
        """Accept every plan."""

    def run(self, plan: RoundPlan) -> RoundResult:
        """Sum up the vectors of all clients that answer."""
        server = plan.server
        if server is not None and server.opening is not None:
            contributors = tuple(server.opening)
            if self.silent & set(contributors):
                return RoundResult(withheld="too few answer", dropped={"open": sorted(self.silent)})
        else:
            if plan.serial <= self.seen:
                return RoundResult(withheld="too few answer", latest=self.seen)
            self.seen = plan.serial
            self.trained.append(plan.serial)
            contributors = tuple(each for each in plan.mean.clients if each not in self.silent)
            if len(contributors) < plan.mean.minimum_contributors:
                return RoundResult(withheld="too few answer", dropped={"send": sorted(self.silent)})
            if server is not None:
                server.keep(bytes(contributors))
        self.on_opening()
        self.opened.append((plan.session.context, contributors, plan.session.session_id))
        if self.errors:
            raise self.errors.pop(0)
        vectors = [self._vector(plan, client) for client in contributors]
        total = np.sum(vectors, axis=0, dtype=np.uint64) % np.uint64(plan.session.modulus)
        return RoundResult(total=total, contributors=contributors)

    @staticmethod
    def _vector(plan: RoundPlan, client: int) -> Any:
        counter = iter(range(10**9))

        def entropy(size: int) -> bytes:
            return np.random.default_rng([client, plan.serial, next(counter)]).bytes(size)

        return contribute(plan, update_of(client, plan.work).arrays, entropy=entropy).vector


def folder_at(path: Path) -> Path:
    """Return a new coordinator's folder at a path."""
    create_coordinator(path)
    return path


@contextmanager
def coordinator_of(
    folder: Path, *, target: Target | None = TARGET, **changes: Any
) -> Iterator[tuple[Coordinator, Ledger | None]]:
    """Open the coordinator of a folder, with a ledger beside it if there is a target."""
    path = folder / "ledger.sqlite"
    if target is None:
        with Coordinator(folder, plan_with(None), **changes) as coordinator:
            yield coordinator, None
        return
    opened = Ledger.open(path) if path.exists() else _made(path)
    with opened as ledger, Coordinator(folder, plan_with(target), ledger=ledger, **changes) as coordinator:
        yield coordinator, ledger


def _made(path: Path) -> Ledger:
    return Ledger.create(path, epsilon=TARGET.epsilon, delta=TARGET.delta, population=len(CLIENTS))


class Writes:
    """Every durable write of a coordinator, counted; the process crashes before or after some of them.

    Args:
        patch: Puts the counting writes in the place of the real ones.
        crashes: Numbers of half writes: 2k is the moment before write k, and 2k + 1 the moment after it.
    """

    def __init__(self, patch: pytest.MonkeyPatch, crashes: Sequence[int] = ()) -> None:
        self.names: list[str] = []
        self._crashes = list(crashes)
        for kind, names in (
            (CoordinatorFolder, ("next_serial", "keep_opening", "drop_opening", "keep_release")),
            (Ledger, ("reserve", "commit")),
        ):
            for name in names:
                patch.setattr(kind, name, self._counted(name, getattr(kind, name)))

    def _counted(self, name: str, write: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            number = len(self.names)
            self.names.append(name)
            self._crash_at(2 * number)
            found = write(*arguments, **named)
            self._crash_at(2 * number + 1)
            return found

        return counted

    def _crash_at(self, half: int) -> None:
        if half in self._crashes:
            self._crashes.remove(half)
            raise Crash
