"""Cohorts with a cap, whatever is interrupted: nobody sends more vectors than the ledger counts, or than the cap."""

import contextlib
import enum
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp.accounting.guarantee import guarantee
from dp.errors import BudgetExceeded, LedgerUnavailable, ParticipationExceeded
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting
from tests.support.cohorts import DELTA, EVENT, CohortLedger, recount
from tests.support.memory_log import MemoryLog


class Kill(enum.Enum):
    """When the process that writes a record is killed."""

    NEVER = "never"
    BEFORE = "before the record is durable"
    AFTER = "after the record is durable, before the call returns"


class Killed(BaseException):
    """The end of the process."""


class KilledLog(MemoryLog):
    """A log whose process is killed at the next record."""

    kill = Kill.NEVER

    def append(self, body: bytes) -> None:
        """See `RecordLog`."""
        if self.kill is Kill.BEFORE:
            raise Killed
        super().append(body)
        if self.kill is Kill.AFTER:
            raise Killed


class Run:
    """A server that asks cohorts, and the clients that count for themselves what they send."""

    def __init__(self, clients: int, cap: int, accounting: Accounting) -> None:
        self.cap = cap
        self.stored = CohortLedger(clients, cap=cap, epsilon=3.0, accounting=accounting)
        self.recorded: Counter[int] = Counter()
        self.sent: Counter[int] = Counter()
        self.log, self.ledger = self.opened()

    def opened(self) -> tuple[KilledLog, Ledger]:
        """Start the server's process again."""
        self.stored.records.is_held = False
        log = KilledLog(self.stored.records, writable=True)
        return log, Ledger.over(log, clock=self.stored.clock)

    def round(self, cohort: list[int], kills: tuple[Kill, Kill], senders: list[bool]) -> None:
        """Reserve, ask, let clients record and send or only record, and commit, with kills at both records."""
        try:
            self.log.kill = kills[0]
            number = self.ledger.reserve(EVENT, "round", participants=cohort)
            for client, sends in zip(cohort, senders * len(cohort), strict=False):
                self.recorded[client] += 1
                self.sent[client] += sends
            self.log.kill = kills[1]
            self.ledger.commit(number, contributors=cohort)
        except Killed:
            self.log, self.ledger = self.opened()
        except (ParticipationExceeded, BudgetExceeded):
            self.log.kill = Kill.NEVER
            assert recount(self.stored.records.bodies) == self.counted()

    def counted(self) -> Counter[int]:
        """Return the ledger's counts."""
        counts = self.ledger.rounds_by_client().tolist()
        return Counter({client: count for client, count in enumerate(counts) if count})

    def check_counts(self) -> None:
        """Check that nobody sent more than its own count, that of the ledger by a plain recount, and the cap."""
        counted = self.counted()
        assert counted == recount(self.stored.records.bodies)
        for client, vectors in self.sent.items():
            assert vectors <= self.recorded[client] <= counted[client] <= self.cap

    def check_account(self) -> None:
        """Check that the account is that of the worst client, also when it is read again."""
        worst = max(self.counted().values(), default=0)
        found = self.ledger.spent()
        assert found.bounds == guarantee({EVENT: worst}, delta=DELTA).bounds
        assert found.least_bound <= 3.0
        assert found.used is None or found.used <= 1
        assert self.stored.read().spent() == found


@st.composite
def plans(draw: st.DrawFn) -> tuple[int, int, list[tuple[list[int], tuple[Kill, Kill], list[bool]]]]:
    clients, cap = draw(st.sampled_from([1, 2, 9, 64, 65])), draw(st.integers(1, 4))
    # Cohorts of few clients, so that many of them are at the cap, and of nearly all.
    some = st.lists(st.integers(0, min(clients, 5) - 1), min_size=1, unique=True)
    cohort = st.one_of(some, st.just(list(range(clients))))
    kill = st.sampled_from(Kill)
    rounds = st.tuples(cohort, st.tuples(kill, kill), st.lists(st.booleans(), min_size=1, max_size=3))
    return clients, cap, draw(st.lists(rounds, min_size=1, max_size=12))


@given(plans(), st.sampled_from(Accounting))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_kills_between_any_two_writes_never_let_a_client_exceed_a_count(
    plan: tuple[int, int, list[tuple[list[int], tuple[Kill, Kill], list[bool]]]], accounting: Accounting
) -> None:
    clients, cap, rounds = plan
    run = Run(clients, cap, accounting)
    for cohort, kills, senders in rounds:
        run.round(cohort, kills, senders)
        run.check_counts()
    run.check_account()


def test_retries_of_a_killed_round_each_count() -> None:
    """A process is killed after each reservation, before it asks anybody, and its successor tries again."""
    run = Run(9, 2, Accounting.GAUSSIAN_FILTER)
    for _ in range(2):
        run.round([1, 2], (Kill.AFTER, Kill.NEVER), [True])
    assert run.counted() == {1: 2, 2: 2}
    assert not run.sent
    with pytest.raises(ParticipationExceeded):
        run.ledger.reserve(EVENT, "round", participants=[2, 3])
    assert run.ledger.eligible() == (0, 3, 4, 5, 6, 7, 8)


class InterruptingTracer:
    """A trace function that raises KeyboardInterrupt at one line run in the account of a ledger, counted from 1."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, argument: object) -> "InterruptingTracer | None":
        path = Path(frame.f_code.co_filename)
        names = {"ledger.py", "account.py", "charges.py", "rounds.py", "filters.py", "participants.py"}
        if path.parent.name != "ledger" or path.name not in names:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


def interrupted(at: int, call: Any) -> bool:
    before = sys.gettrace()
    sys.settrace(InterruptingTracer(at))
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize(
    ("step", "accounting"),
    [("reserve", Accounting.FIXED), ("reserve", Accounting.GAUSSIAN_FILTER), ("commit", Accounting.GAUSSIAN_FILTER)],
)
def test_interruption_at_any_line_changes_nothing_or_closes_the_ledger(step: str, accounting: Accounting) -> None:
    closed = went_on = 0
    for at in range(1, 10_000):
        stored = CohortLedger(4, cap=3, accounting=accounting)
        ledger = stored.open()
        ledger.reserve(EVENT, "one", participants=[0, 1])
        calls = {
            "reserve": lambda ledger=ledger: ledger.reserve(EVENT, "two", participants=[1, 2]),
            "commit": lambda ledger=ledger: ledger.commit(1, contributors=[1]),
        }
        if not interrupted(at, calls[step]):
            break
        written = len(stored.records.bodies)
        with contextlib.suppress(LedgerUnavailable):
            ledger.reserve(EVENT, "three", participants=[0])
        in_memory = ledger.rounds_by_client()
        with stored.open() as again:
            in_file = again.rounds_by_client()
        assert Counter({client: int(count) for client, count in enumerate(in_file) if count}) == recount(
            stored.records.bodies
        )
        if len(stored.records.bodies) == written:
            closed += 1
            assert (in_file >= in_memory).all()
        else:
            went_on += 1
            assert (in_file == in_memory).all()
    assert closed > 3
    assert went_on > 10


@given(st.lists(st.lists(st.integers(0, 8), min_size=1, unique=True), max_size=12), st.integers(1, 3))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_two_openings_of_one_ledger_count_together(cohorts: list[list[int]], cap: int) -> None:
    """Each round is reserved by another process, which opens the ledger, reserves and closes."""
    stored = CohortLedger(9, cap=cap)
    expected: Counter[int] = Counter()
    for cohort in cohorts:
        with stored.open() as ledger:
            full = [client for client in cohort if expected[client] >= cap]
            assert set(ledger.eligible()) == {client for client in range(9) if expected[client] < cap}
            with pytest.raises(ParticipationExceeded) if full else contextlib.nullcontext():
                ledger.reserve(EVENT, "round", participants=cohort)
                expected.update(cohort)
    assert recount(stored.records.bodies) == expected
