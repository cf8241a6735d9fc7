"""A world in which a server asks cohorts, parties are killed between any two writes, and every vector is counted.

The server follows the order of writes of a round: draw; reserve; ask; each client records, then sends; open the sum;
commit; checkpoint. It may be killed before and after each write and between two clients. Then it starts again from what
was on the disk, as by `--resume`, and repeats the round with a new reservation. Clients drop out before and after they
have recorded, and are killed in between. `World.check` compares what really left the clients with the ledger, with
the clients' own records and with a recount of the ledger's records (`tests.support.ledger_recount`).
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import mpmath  # type: ignore[import-untyped]  # dp-accounting brings it; it has no type information
import numpy as np

from dp.accounting.guarantee import Claim
from dp.errors import BudgetExceeded, LedgerLocked, ParticipationExceeded
from dp.events import GaussianEvent
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation
from dp.ledger.records import first_record
from protocols.errors import ParticipationRefused, SessionReused
from protocols.replay import MemoryRecord
from tests.support.ledger_recount import Event, Recount, recount, renyi_budget, square
from tests.support.memory_log import MemoryLog, StoredRecords

Choose = Callable[[int], int]
"""Returns a number from 0 to one less than its argument."""

DIGEST: Final = "0" * 64
EVENTS: Final = tuple(GaussianEvent(noise_multiplier=z) for z in (2.0, 3.0, 5.5))
COHORT: Final = 12
VECTOR_STEP: Final = 1


class Killed(BaseException):
    """The server's process ends here."""


class ParticipationStore(Protocol):
    """What the clients record, which outlives them."""

    def record(
        self,
        identity: bytes,
        session_id: bytes,
        number: int,
        *,
        vector: bool = False,
        cap: int | None = None,
        context: bytes = b"",
        committee: bytes = b"",
    ) -> None:
        """See `protocols.replay.SessionRecord`."""

    def participations(self, identity: bytes) -> int:
        """Return how many sessions of an identity count."""


class Stores(Protocol):
    """The clients' store, of which somebody may keep a copy and bring it back."""

    def open(self) -> ParticipationStore:
        """Return the store as it is now."""

    def copy(self) -> object:
        """Return a copy of it."""

    def restore(self, copy: Any) -> None:
        """Put a copy in its place."""


class MemoryStores:
    """Stores in memory."""

    def __init__(self) -> None:
        self._steps: list[tuple[Any, ...]] = []

    def open(self) -> "MemoryStores":
        """See `Stores`."""
        return self

    def record(
        self,
        identity: bytes,
        session_id: bytes,
        number: int,
        *,
        vector: bool = False,
        cap: int | None = None,
        context: bytes = b"",
        committee: bytes = b"",
    ) -> None:
        """See `ParticipationStore`."""
        self._replayed().record(
            identity, session_id, number, vector=vector, cap=cap, context=context, committee=committee
        )
        self._steps.append((identity, session_id, number, vector))

    def participations(self, identity: bytes) -> int:
        """See `ParticipationStore`."""
        return self._replayed().participations(identity)

    def copy(self) -> object:
        """See `Stores`."""
        return list(self._steps)

    def restore(self, copy: Any) -> None:
        """See `Stores`."""
        self._steps = list(copy)

    def _replayed(self) -> MemoryRecord:
        record = MemoryRecord()
        for identity, session_id, number, vector in self._steps:
            record.record(identity, session_id, number, vector=vector)
        return record


class FragileLog(MemoryLog):
    """A log whose writer may be killed before and after each write."""

    def __init__(self, records: StoredRecords, tick: Callable[[], None]) -> None:
        super().__init__(records, writable=True)
        self._tick = tick

    def append(self, body: bytes) -> None:
        """See `RecordLog`."""
        self._tick()
        super().append(body)
        self._tick()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is fixed for the life of a world.

    Attributes:
        population: The number of clients.
        cap: The ledger's cap, and each client's own.
        accounting: The way of accounting of each ledger.
        adaptive: Whether cohorts depend on results; if not, a ledger without a filter takes several kinds of events.
        epsilon: The budget.
    """

    population: int
    cap: int | None
    accounting: Accounting
    adaptive: bool = True
    epsilon: float = 4.0
    delta: float = 1e-6

    @property
    def events(self) -> Sequence[GaussianEvent]:
        """The events that may be reserved."""
        several = self.accounting is not Accounting.FIXED or not self.adaptive
        return EVENTS if several else EVENTS[:1]


def drawn_setting(population: int, choose: Choose) -> Setting:
    """Choose everything but the population."""
    return Setting(
        population=population,
        cap=(None, 1, 2, 3)[choose(4)],
        accounting=list(Accounting)[choose(3)],
        adaptive=choose(2) == 0,
        epsilon=(1.0, 4.0, 30.0)[choose(3)],
    )


@dataclass
class World:
    """A server, its ledgers, and the clients.

    Attributes:
        setting: What is fixed.
        choose: Chooses what happens.
        stores: The clients' store.
        sent: How many vectors each client has really sent.
        ledgers: The records of all ledgers of this population, the current one last.
        forgotten: How many participations of each client its restored store does not know of.
        was_killed: Whether the server was ever killed.
    """

    setting: Setting
    choose: Choose
    stores: Stores
    sent: Counter[int] = field(default_factory=Counter)
    ledgers: list[StoredRecords] = field(default_factory=list)
    forgotten: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._fuse = -1
        self.was_killed = False
        self._sessions = 0
        self._begun: set[tuple[int, int]] = set()
        self._copies: list[tuple[object, Counter[int]]] = [(self.stores.copy(), Counter())]
        self._make_ledger()

    def step(self) -> None:
        """Let something happen, and check what holds afterwards."""
        match self.choose(12):
            case 0 | 5:
                self._ask_anybody()
            case 1:
                self._copies.append((self.stores.copy(), self._own_counts()))
            case 2:
                self._restore_stores()
            case 3:
                self._start_second_process()
            case 4 if self.choose(3) == 0:
                self._make_ledger()
            case _:
                self._fuse = (-1, -1, self.choose(4), self.choose(2 * COHORT))[self.choose(4)]
                try:
                    self._run_round(self._draw(self.ledger.eligible()))
                except Killed:
                    self._start_again()
                self._fuse = -1
        self.check()

    def check(self) -> None:
        """Compare what was sent with the ledger's count, the clients' own counts, the cap and a recount."""
        counted = [recount(records.bodies) for records in self.ledgers]
        asked = Counter[int]()
        for each in counted:
            asked.update(each.counts())
        cap = self.setting.cap
        records = self.stores.open()
        for client, sent in self.sent.items():
            assert sent <= asked[client], f"client {client} sent {sent} vectors, and {asked[client]} were counted"
            own = records.participations(identity(client))
            assert sent <= own + self.forgotten[client], f"client {client} sent {sent} vectors, and recorded {own}"
            assert cap is None or own <= cap
            if not self.forgotten[client]:
                assert cap is None or sent <= cap, f"client {client} sent {sent} vectors with the cap {cap}"
        for each in counted:
            assert cap is None or max(each.counts().values(), default=0) <= cap
        check_against_recount(self.ledger, counted[-1], self.choose)

    def _run_round(self, cohort: list[int]) -> None:
        """Run a round in the order of writes that is prescribed."""
        if not cohort:
            return
        event = self.setting.events[self.choose(len(self.setting.events))]
        before = self.ledgers[-1].bodies
        try:
            number = self._reserve(event, cohort)
        except BudgetExceeded:
            assert self.ledgers[-1].bodies == before
            assert_exceeds(recount(before), event, cohort)
            return
        self._sessions += 1
        self._begin_session(number)
        there = [client for client in cohort if self._is_in_sum(client)]
        self._tick()
        if self.choose(6) and there:
            self.ledger.commit(number, contributors=there)
        self._tick()  # Here is the checkpoint, on which nothing of the account rests.

    def _reserve(self, event: GaussianEvent, cohort: list[int]) -> int:
        return self.ledger.reserve(event, "round", participants=cohort)

    def _begin_session(self, number: int) -> None:
        """Begin a session under a reservation of the current ledger, which no other session was begun under."""
        under = (len(self.ledgers), number)
        assert under not in self._begun, f"reservation {number} was used for two sessions"
        self._begun.add(under)

    def _is_in_sum(self, client: int) -> bool:
        """Ask a client for its vector, and return whether it is in the sum."""
        self._tick()
        behaviour = self.choose(5)
        if behaviour == 0:
            return False  # It is away.
        if not self._record(client, 0, vector=False):
            return False
        if behaviour == 1:
            return False  # It has sent keys, and leaves.
        if not self._record(client, VECTOR_STEP, vector=True):
            return False
        if behaviour == 2:
            return False  # It is killed before it sends, and knows nothing of the session when it starts again.
        self.sent[client] += 1
        if self.choose(4) == 0:
            # Somebody asks for the same step once more, or for the same session.
            assert not self._record(client, (0, VECTOR_STEP)[self.choose(2)], vector=True)
        return self.choose(8) > 0

    def _record(self, client: int, number: int, *, vector: bool) -> bool:
        session = self._sessions.to_bytes(16)
        try:
            self.stores.open().record(identity(client), session, number, vector=vector, cap=self.setting.cap)
        except (ParticipationRefused, SessionReused):
            return False
        return True

    def _ask_anybody(self) -> None:
        """Reserve for clients that may be above their cap; the ledger refuses as a whole and writes nothing."""
        cohort = self._draw(range(self.setting.population))
        counts, cap = recount(self.ledgers[-1].bodies).counts(), self.setting.cap
        before = self.ledgers[-1].bodies
        if cap is None or all(counts[client] < cap for client in cohort):
            self._run_round(cohort)
            return
        try:
            self.ledger.reserve(self.setting.events[0], "careless", participants=cohort)
        except ParticipationExceeded:
            assert self.ledgers[-1].bodies == before
        else:
            raise AssertionError("a client was asked above its cap")

    def _draw(self, clients: Iterable[int]) -> list[int]:
        """Draw a cohort of these clients, from one to twelve, in any order."""
        among = clients if isinstance(clients, Sequence) else list(clients)
        if not among:
            return []
        size = 1 + self.choose(min(COHORT, len(among)))
        if len(among) <= 2 * COHORT:
            left, found = list(among), []
            for _ in range(size):
                found.append(left.pop(self.choose(len(left))))
            return found
        return random.Random(self.choose(1 << 30)).sample(among, size)

    def _own_counts(self) -> Counter[int]:
        records = self.stores.open()
        return Counter({client: records.participations(identity(client)) for client in self.sent})

    def _restore_stores(self) -> None:
        """Put an older copy of the clients' store in its place: what it has forgotten, nothing detects."""
        copy, known = self._copies[self.choose(len(self._copies))]
        for client, own in self._own_counts().items():
            self.forgotten[client] += own - known[client]
        self.stores.restore(copy)
        self._copies = [(copy, known)]

    def _start_second_process(self) -> None:
        """Start another server on the same ledger, which the first one holds."""
        try:
            Ledger.over(MemoryLog(self.ledgers[-1], writable=True))
        except LedgerLocked:
            return
        raise AssertionError("two writers")

    def _start_again(self) -> None:
        """Start the server again from what was on the disk."""
        self._fuse = -1
        self.was_killed = True
        self.ledgers[-1].is_held = False
        self.ledger = self._opened()

    def _make_ledger(self) -> None:
        """Begin a new ledger for the same population, as `--overwrite` does: the clients' store is what survives."""
        if self.ledgers:
            self.ledger.close()
        setting = self.setting
        participation = Participation(clients=DIGEST, cap=setting.cap, adaptive=setting.adaptive)
        first = first_record(
            epsilon=setting.epsilon,
            delta=setting.delta,
            population=setting.population,
            participation=participation,
            accounting=setting.accounting,
        )
        self.ledgers.append(StoredRecords(first))
        self.ledger = self._opened()

    def _opened(self) -> Ledger:
        return Ledger.over(FragileLog(self.ledgers[-1], self._tick))

    def _tick(self) -> None:
        """Be killed here, if the fuse says so."""
        if self._fuse == 0:
            raise Killed
        self._fuse -= 1


def identity(client: int) -> bytes:
    """Return the identity of a client: 32 bytes."""
    return client.to_bytes(32)


def check_against_recount(ledger: Ledger, counted: Recount, choose: Choose) -> None:
    """Compare what an open ledger says with a recount of its records."""
    counts, cap = counted.counts(), counted.budget["participation"].get("cap")
    expected = np.zeros(counted.size, dtype=np.uint32)
    for client, times in counts.items():
        expected[client] = times
    assert np.array_equal(ledger.rounds_by_client(), expected)
    full = [client for client, times in counts.items() if cap is not None and times >= cap]
    eligible = ledger.eligible()
    assert len(eligible) == counted.size - len(full)
    assert not set(full).intersection(eligible)
    squares = counted.squares()
    worst = max(squares.values(), default=mpmath.mpf(0))
    check_account(ledger, counted, worst, None)
    if counts:
        client = sorted(counts)[choose(len(counts))]
        assert ledger.rounds_of(client) == counts[client]
        check_account(ledger, counted, squares[client], client)


def check_account(ledger: Ledger, counted: Recount, square_of_client: Any, client: int | None) -> None:
    """Compare the account of one client, None for the worst, with that of its mu^2."""
    found, budget = ledger.spent(client), counted.budget
    epsilon: float = budget["epsilon"]
    if budget.get("accounting") is None:
        assert found.used is None
        if square_of_client:
            assert counted.costs(square_of_client, found.least_bound) <= 1
            # The ledger's account is not much above the exact one either.
            assert counted.costs(square_of_client, found.least_bound * (1 - 1e-6)) > 1 - 1e-6
        assert found.least_bound <= epsilon
    else:
        assert found.used is not None
        part = square_of_client / counted.budget_square()
        if budget["accounting"] == "renyi-filter":
            part = square_of_client * mpmath.mpf(budget["order"]) / 2 / renyi_budget(budget)
        assert part <= found.used <= min(1.0, float(part) * (1 + 1e-6))
    adaptive = budget["participation"].get("adaptive", True) or "accounting" in budget
    assert found.claim is (Claim.BUDGET if adaptive else Claim.SPENT)
    assert found.epsilon == (epsilon if adaptive else found.least_bound)


def assert_exceeds(counted: Recount, event: GaussianEvent, cohort: Iterable[int]) -> None:
    """Check that one more release would have been above the budget for somebody, by the exact account."""
    squares = counted.squares()
    one: Event = (("noise_multiplier", event.noise_multiplier), ("type", "gaussian"))
    worst = max(squares.get(client, mpmath.mpf(0)) for client in cohort) + square(one)
    if counted.budget.get("accounting") == "renyi-filter":
        assert worst * mpmath.mpf(counted.budget["order"]) / 2 > renyi_budget(counted.budget) * (1 - 1e-9)
    else:
        assert worst > counted.budget_square() * (1 - 1e-6)
