"""A coordinator's folder for tests, and nodes that are summed up in the clear."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dp.ledger.ledger import Ledger
from protocols import PlainSum
from secagg.aggregation.mean import SecureMean, Target
from secagg.arrays import Shapes
from secagg.engines.base import RoundPlan, RoundResult, Update
from secagg.engines.client import contribute
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.wire.work import Work
from secagg.storage.node_keys import create_coordinator

CLIENTS = (1, 2, 3, 4, 5, 6)
LEAST = 4
TARGET = Target(epsilon=60.0, delta=1e-2, releases=20, colluding=0)


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
        lies: For each node that refuses as an old one what is not, the serial that it names.
        opened: For each sum that may have been opened: context, contributors, session id.
        trained: For each new session: its serial.
        on_asking: Called when the first requests leave.
        on_opening: Called when the requests leave with which the sum is opened.
    """

    silent: set[int] = field(default_factory=set)
    seen: int = 0
    lies: dict[int, int] = field(default_factory=dict)
    opened: list[tuple[bytes, tuple[int, ...], bytes]] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    on_asking: Callable[[], None] = lambda: None
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
                return RoundResult(withheld="too few answer", seen=dict.fromkeys(plan.mean.clients, self.seen))
            self.on_asking()
            self.seen = plan.serial
            self.trained.append(plan.serial)
            contributors = tuple(each for each in plan.mean.clients if each not in self.silent)
            if len(contributors) < plan.mean.minimum_contributors:
                return RoundResult(withheld="too few answer", dropped={"send": sorted(self.silent)}, seen=self.lies)
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
    opened = Ledger.open(path) if path.exists() else make_ledger(path)
    with opened as ledger, Coordinator(folder, plan_with(target), ledger=ledger, **changes) as coordinator:
        yield coordinator, ledger


def make_ledger(path: Path) -> Ledger:
    """Make the ledger of a coordinator."""
    return Ledger.create(path, epsilon=TARGET.epsilon, delta=TARGET.delta, population=len(CLIENTS))
