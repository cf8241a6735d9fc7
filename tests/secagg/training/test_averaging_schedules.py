"""Training with cohorts whose server is killed between any two writes and messages, and goes on from what was kept.

After each step, the number of vectors that really left each client is at most the ledger's count, by a recount of its
records, and at most the cap. Each session asks the clients of its own reservation, and of no other one.
"""

import copy
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from dp.accounting.renyi_accountant import RenyiAccountant
from dp.errors import BudgetExceeded
from dp.events import NeighbouringRelation, Observer, Trust
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation
from dp.ledger.records import first_record
from protocols import PlainSum, SecAgg, SecureSum, Transmission
from secagg.aggregation.mean import SecureMean, Target
from secagg.engines.base import RoundPlan, RoundResult
from secagg.engines.memory import InMemory
from secagg.engines.server.release_account import ReleaseAccount
from secagg.errors import CohortsExhausted
from secagg.privacy.noise import Sample
from secagg.simulation.devices import Devices
from secagg.training.averaging import SecureAveraging
from secagg.training.cohorts import Draw
from secagg.training.drawing import Cohorts, Drawn
from secagg.training.model_state import GlobalModel
from tests.support.cohort_world import DIGEST, FragileLog, Killed
from tests.support.federation import devices, examples, mean_for
from tests.support.ledger_recount import recount
from tests.support.memory_log import StoredRecords

pytestmark = pytest.mark.slow

CLIENTS: Final = 9
COHORT: Final = 4
ROUNDS: Final = 5
TEST: Final = examples(20, 99)


@dataclass(frozen=True)
class Asking:
    """An engine that notes each session that it begins."""

    engine: InMemory
    on_session: Callable[[RoundPlan], None]

    @property
    def clients(self) -> tuple[int, ...]:
        """See `Engine`."""
        return self.engine.clients

    def check(self, plan: RoundPlan) -> None:
        """See `Engine`."""
        self.engine.check(plan)

    def run(self, plan: RoundPlan) -> RoundResult:
        """See `Engine`."""
        self.on_session(plan)
        return self.engine.run(plan)


@dataclass
class Run:
    """A run of training, over all of its lives.

    Attributes:
        protocol: Sums the updates.
        draw: How cohorts are drawn.
        cap: The most rounds that may ask a client; None with Poisson sampling.
        accounting: The ledger's way of accounting.
        sent: How many vectors of its own each client has sent.
    """

    protocol: SecureSum
    draw: Draw
    cap: int | None
    accounting: Accounting
    sent: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._federation: Devices = devices(CLIENTS)
        self._checkpoint = GlobalModel.initial(self._federation.model)
        self._fuse = -1
        self._own: frozenset[int] = frozenset()
        self._begun = 0
        self._vector_steps = {row.name for row in self.protocol.steps if row.sends_vector}
        self.ended = False
        by_poisson = self.draw is Draw.POISSON
        self._records = StoredRecords(
            first_record(
                epsilon=60.0,
                delta=1e-2,
                population=CLIENTS,
                relation=NeighbouringRelation.ADD_OR_REMOVE_ONE if by_poisson else NeighbouringRelation.ZERO_OUT,
                participation=Participation(clients=DIGEST, cap=self.cap, adaptive=False),
                towards=Observer.READERS if by_poisson else Observer.SERVER,
                accounting=self.accounting,
            )
        )

    def live(self, fuse: int) -> None:
        """Start a process from what was kept, and run it until it is killed or has nothing left to do."""
        self._fuse, self._records.is_held = fuse, False
        try:
            with Ledger.over(FragileLog(self._records, self._tick)) as ledger:
                self._train(ledger)
        except Killed:
            pass
        self._fuse = -1
        self.check()

    def check(self) -> None:
        """Compare what was sent with a recount of the ledger's records."""
        counts = recount(self._records.bodies).counts()
        for client, sent in self.sent.items():
            assert sent <= counts[client], f"client {client} sent {sent} vectors, and {counts[client]} were counted"
        assert self.cap is None or max(counts.values(), default=0) <= self.cap

    def _train(self, ledger: Ledger) -> None:
        training = self._training(ledger)
        while training.state.round < ROUNDS:
            try:
                training.round()
            except (BudgetExceeded, CohortsExhausted):
                break
            self.check()
            self._tick()
            self._checkpoint = copy.deepcopy(training.state)
            self._tick()
        self.ended = True

    def _training(self, ledger: Ledger) -> SecureAveraging:
        sample = Sample(population=CLIENTS, expected=COHORT) if self.draw is Draw.POISSON else None
        target = Target(
            epsilon=60.0,
            delta=1e-2,
            releases=self.cap or ROUNDS,
            colluding=0,
            trust=Trust.DISTRIBUTED if sample is None else Trust.CENTRAL,
            sample=sample,
        )
        mean = mean_for(
            self._federation,
            protocol=self.protocol,
            clients=range(COHORT),
            minimum_contributors=3,
            target=target,
            sample=sample,
        )

        def mean_of(drawn: Drawn) -> SecureMean:
            if sample is None:
                return mean.for_clients(drawn.clients)
            least = len(drawn.asked) // 2 + 1
            return mean.for_sample(
                drawn.clients, padding=drawn.padding, protocol=self.protocol, minimum_contributors=least
            )

        return SecureAveraging(
            engine=Asking(InMemory(self._federation, dropping=1, cohorts=True, tap=self._tap), self._on_session),
            model=self._federation.model,
            test=TEST,
            mean=mean,
            ledger=ledger,
            cohorts=Cohorts(
                clients=CLIENTS, cohort=COHORT, draw=self.draw, cap=self.cap, rounds=ROUNDS, seed=3, entropy=os.urandom
            ),
            mean_of=mean_of,
            state=copy.deepcopy(self._checkpoint),
        )

    def _on_session(self, plan: RoundPlan) -> None:
        """Note the beginning of a session: the last reservation is its own, and is on the disk."""
        self._begun += 1
        reservations = recount(self._records.bodies).reservations
        assert len(reservations) >= self._begun, "a session began under the reservation of another one"
        assert reservations[-1][1] == plan.mean.drawn, "a session asks other clients than were reserved"
        self._own = frozenset(plan.mean.drawn)
        self._tick()

    def _tap(self, message: Transmission) -> None:
        """Note a message that has left: the padding's vectors are zeros, and do not depend on its data."""
        if message.receiver is None and message.sender in self._own and message.step in self._vector_steps:
            self.sent[message.sender] += 1
        self._tick()

    def _tick(self) -> None:
        if self._fuse == 0:
            raise Killed
        self._fuse -= 1


def run_of(draw: Draw, protocol: SecureSum, *, spare: int) -> Run:
    """Return a run with a cap that leaves some rounds to spare."""
    least = -(-ROUNDS * COHORT // CLIENTS)
    accounting = Accounting.FIXED if draw is Draw.POISSON else Accounting.GAUSSIAN_FILTER
    return Run(protocol, draw, None if draw is Draw.POISSON else least + spare, accounting)


def end(run: Run, choose: Callable[[int], int], *, kills: int) -> None:
    """Kill a run this many times, and let it come to its end."""
    for _ in range(kills):
        run.live(choose(60) if choose(3) else choose(8))
        if run.ended:
            return
    run.live(-1)
    assert run.ended


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the accountant that takes seconds for sampled noise."""
    monkeypatch.setattr("dp.accounting.accountants.ACCOUNTANTS", (RenyiAccountant(),))


@pytest.mark.parametrize("draw", list(Draw))
def test_killed_training_counts_every_vector(draw: Draw) -> None:
    for seed in range(4):
        end(run_of(draw, PlainSum(), spare=seed % 3), random.Random(seed).randrange, kills=4)


def test_killed_training_with_a_secure_sum_counts_every_vector() -> None:
    end(run_of(Draw.RANDOM, SecAgg(), spare=2), random.Random(5).randrange, kills=6)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(300))
def test_killed_training_counts_every_vector_for_long(seed: int) -> None:
    choose = random.Random(seed).randrange
    run = run_of(list(Draw)[choose(3)], (PlainSum(), SecAgg())[choose(2)], spare=choose(4))
    end(run, choose, kills=1 + choose(12))


def reuse_reservation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that is repeated after a crash goes on with the reservation that has no commitment."""
    reserved = ReleaseAccount.reserve

    def reserve(self: ReleaseAccount, mean: SecureMean, number: int) -> int | None:
        entries = () if self.ledger is None else self.ledger.entries()
        if entries and entries[-1].commitment is None:
            return len(entries)
        return reserved(self, mean, number)

    monkeypatch.setattr(ReleaseAccount, "reserve", reserve)


def reserve_at_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who contributed are counted, when it is known who did."""
    committed = ReleaseAccount.commit

    def commit(self: ReleaseAccount, kept: Any) -> None:
        assert self.ledger is not None
        assert kept.reservation is not None
        event = kept.release.realised
        self.ledger.reserve(event, "round", participants=kept.release.contributors)
        committed(self, kept)

    monkeypatch.setattr(ReleaseAccount, "reserve", lambda self, mean, number: len(self.ledger.entries()) + 1)
    monkeypatch.setattr(ReleaseAccount, "commit", commit)


def reserve_for_the_least_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reservation is for as many clients as must contribute, not for all who are asked."""

    def reserve(self: ReleaseAccount, mean: SecureMean, number: int) -> int | None:
        assert self.ledger is not None
        event = self.event(mean)
        assert event is not None
        return self.ledger.reserve(event, "round", participants=mean.drawn[: mean.minimum_contributors])

    monkeypatch.setattr(ReleaseAccount, "reserve", reserve)


@pytest.mark.parametrize("mutate", [reuse_reservation, reserve_at_commit, reserve_for_the_least_number])
def test_broken_order_of_a_round_is_noticed(
    mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)

    def run_all() -> None:
        for seed in range(20):
            end(run_of(Draw.IN_TURN, PlainSum(), spare=2), random.Random(seed).randrange, kills=4)

    with pytest.raises(AssertionError, match=r"reservation|reserved|counted"):
        run_all()
