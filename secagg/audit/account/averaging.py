"""Training as a subject of the account: releases and reservations in order, also after a crash at any write."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from dp.ledger.ledger import Ledger
from dp.ledger.records import first_record
from protocols import SecAgg
from secagg.aggregation.mean import SecureMean, Target
from secagg.audit.account.records import Crash, Records, RecordsLog
from secagg.audit.attack import Attack, Layer, Level, Plan, Result
from secagg.audit.claims import Claim, claimed
from secagg.audit.seeds import Tape, generator_of
from secagg.audit.subject import Subject
from secagg.engines.base import RoundPlan, RoundResult
from secagg.engines.memory import InMemory
from secagg.models.softmax import SoftmaxRegression
from secagg.simulation.devices import Devices
from secagg.training.averaging import SecureAveraging

_CLIENTS: Final = 4
_FEATURES: Final = 3
_CLASSES: Final = 2
_ROUNDS: Final = 3
_EPSILON: Final = 8.0
_DELTA: Final = 0.01

Maker = Callable[..., SecureAveraging]
"""Makes the training; it takes the arguments of `SecureAveraging`."""


@dataclass(kw_only=True)
class WatchedEngine:
    """An engine that notes, at the instant at which clients are asked, what the ledger's records are.

    Attributes:
        engine: The engine that reaches the clients.
        records: The ledger's records.
        reserved: For each round, how many records there were when its clients were asked.
        released: How many rounds have returned a sum.
    """

    engine: InMemory
    records: Records
    reserved: list[int] = field(default_factory=list)
    released: int = 0

    @property
    def clients(self) -> tuple[int, ...]:
        """The ids of the clients."""
        return self.engine.clients

    def check(self, plan: RoundPlan) -> None:
        """Check a round; see `Engine`."""
        self.engine.check(plan)

    def run(self, plan: RoundPlan) -> RoundResult:
        """Note the number of records, and run a round; see `Engine`."""
        self.reserved.append(len(self.records.bodies))
        result = self.engine.run(plan)
        self.released += result.total is not None
        return result


class AveragingSubject(Subject):
    """Private federated averaging with a ledger, on a small model and four clients.

    Args:
        maker: Makes the training.
        name: The name in reports.
        claims: What the training claims.
        log: Makes the ledger's log.
    """

    kind: ClassVar[str] = "training"

    def __init__(
        self,
        maker: Maker = SecureAveraging,
        *,
        name: str = "averaging",
        claims: Sequence[Claim] = claimed("C-25", "C-27"),
        log: Callable[[Records], RecordsLog] = RecordsLog,
    ) -> None:
        self._maker = maker
        self.name = name
        self.claims = tuple(claims)
        self._log = log

    def records(self, seed: bytes) -> Records:
        """Return the records of a new ledger for three rounds."""
        return Records(
            first_record(
                epsilon=_EPSILON, delta=_DELTA, population=_CLIENTS, clock=lambda: 1.0, entropy=Tape(seed, "salt")
            )
        )

    def ledger(self, records: Records) -> Ledger:
        """Open the ledger over these records."""
        return Ledger.over(self._log(records), clock=lambda: 1.0)

    def train(self, records: Records, seed: bytes, *, rounds: int) -> WatchedEngine:
        """Run rounds until they are done or the process crashes, and return what was seen."""
        shards = [_examples(seed, client) for client in range(_CLIENTS)]
        model = SoftmaxRegression(_FEATURES, _CLASSES, seed=1)
        devices = Devices(model=model, shards=shards, epochs=1, batch_size=4, seed=1)
        mean = SecureMean.plan(
            protocol=SecAgg(),
            clients=devices.clients,
            minimum_contributors=3,
            shapes=[array.shape for array in model.get_weights()],
            clip_l2=1.0,
            target=Target(epsilon=_EPSILON, delta=_DELTA, releases=_ROUNDS + 1, colluding=0),
        )
        engine = WatchedEngine(engine=InMemory(devices, entropy=Tape(seed, f"clients {rounds}")), records=records)
        try:
            with self.ledger(records) as ledger:
                training = self._maker(
                    engine=engine,
                    model=model,
                    test=_examples(seed, _CLIENTS),
                    mean=mean,
                    ledger=ledger,
                    entropy=Tape(seed, f"server {rounds}"),
                )
                for _ in range(rounds):
                    training.round()
        except Crash:
            pass
        return engine


def _examples(seed: bytes, number: int) -> tuple[NDArray[Any], NDArray[Any]]:
    generator = generator_of(seed, f"examples {number}")
    x = generator.normal(size=(6, _FEATURES))
    return x, (x[:, 0] > 0).astype(np.int64)


class ReservationFirst(Attack[AveragingSubject]):
    """Looks at the ledger at the instant at which clients are asked."""

    id = "account.training.order"
    title = "The ledger is read in every round, at the moment at which clients are asked"
    layer = Layer.ACCOUNT
    tests = ("C-25",)
    subjects = AveragingSubject

    def plan(self, subject: AveragingSubject, level: Level) -> Plan:
        """Plan three rounds."""
        return Plan(trials=_ROUNDS, cpu_s=0.3)

    def run(self, subject: AveragingSubject, plan: Plan, seed: bytes) -> Result:
        """Run three rounds."""
        records = subject.records(seed)
        engine = subject.train(records, seed, rounds=_ROUNDS)
        missing = [number for number, count in enumerate(engine.reserved) if count < 2 * number + 2]
        if not missing:
            with subject.ledger(records) as ledger:
                uncommitted = [entry.reservation.number for entry in ledger.entries() if entry.commitment is None]
            missing = uncommitted[:1]
        return Result(
            statistic="rounds whose release was not reserved first, or not committed",
            value=len(missing),
            threshold=0,
            rejected=bool(missing),
            evidence=f"Clients of round {missing[0] + 1 if missing else 0} were asked before its release was reserved, "
            "or its release was never committed.",
        )


class CrashOfTraining(Attack[AveragingSubject]):
    """Ends training at every write of the ledger, goes on, and counts."""

    id = "account.training.crash"
    title = (
        "Training is ended before and after every write of its ledger and resumed, and every release has to be counted"
    )
    layer = Layer.ACCOUNT
    tests = ("C-27",)
    subjects = AveragingSubject

    def plan(self, subject: AveragingSubject, level: Level) -> Plan:
        """Plan two crashes for each write of three rounds."""
        return Plan(trials=4 * _ROUNDS, cpu_s=2.0)

    def run(self, subject: AveragingSubject, plan: Plan, seed: bytes) -> Result:
        """Crash at every write."""
        for write in range(1, 2 * _ROUNDS + 1):
            for kind in ("crash_before", "crash_after"):
                records = subject.records(seed)
                setattr(records, kind, write)
                released = subject.train(records, seed, rounds=_ROUNDS).released
                released += subject.train(records, seed, rounds=1).released
                with subject.ledger(records) as ledger:
                    counted = len(ledger.entries())
                if counted < released:
                    return Result(
                        statistic="released rounds that the ledger does not count",
                        value=released - counted,
                        threshold=0,
                        rejected=True,
                        evidence=f"After a {kind.replace('_', ' ')} write {write} is durable, and one round more, "
                        f"{released} rounds were released, and the ledger counts {counted}.",
                    )
        return Result(statistic="released rounds that the ledger does not count", value=0, threshold=0)


CHECKS: Final[tuple[Attack[Any], ...]] = (ReservationFirst(), CrashOfTraining())
