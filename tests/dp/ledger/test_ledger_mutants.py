"""Rules of the ledger that are broken one at a time: the schedules and the recount notice each of them."""

import hashlib
import json
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from dp.accounting.renyi_order import best_order
from dp.errors import DpError, LedgerCorrupt
from dp.events import GaussianEvent, PrivacyEvent
from dp.ledger.account import Account
from dp.ledger.charges import CountedCharges, FilteredCharges
from dp.ledger.filters import Filter, filter_of
from dp.ledger.ledger import Ledger
from dp.ledger.participants import decode_clients, encode_clients
from dp.ledger.participation import Accounting, Participation
from dp.ledger.records import Reservation
from dp.ledger.rounds import Rounds
from tests.support.cohort_world import DIGEST, MemoryStores, Setting, World
from tests.support.ledger_recount import recount_file

WORLDS: Final = 60
STEPS: Final = 20


def first_notice(setting: Setting, worlds: int = WORLDS) -> str | None:
    """Run worlds until a check fails or the ledger contradicts itself; return what was said, None if nothing was."""
    for seed in range(worlds):
        choose = random.Random(seed).randrange
        try:
            world = World(setting, choose, MemoryStores())
            for _ in range(STEPS):
                world.step()
        except (AssertionError, DpError) as error:
            return str(error) or type(error).__name__
    return None


def count_at_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def apply(self: Account, record: Any, *known: Any) -> None:
        if isinstance(record, Reservation):
            self.reservations.append(record)
            return
        self._commitments[record.number] = record
        reservation = self.reservations[record.number - 1]
        clients = self._clients_of(reservation)
        assert self.rounds is not None
        self.rounds.add(clients)
        self.charges.add(reservation.event, self._charged(clients))

    monkeypatch.setattr(Account, "apply", apply)


def count_contributors(monkeypatch: pytest.MonkeyPatch) -> None:
    applied = Account.apply

    def apply(self: Account, record: Any, *known: Any) -> None:
        applied(self, record, *known)
        if getattr(record, "missing", None) is not None and self.rounds is not None:
            self.rounds.counts[decode_clients(record.missing, size=self.budget.clients)] -= 1

    monkeypatch.setattr(Account, "apply", apply)


def give_back_at_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    applied = Account.apply

    def apply(self: Account, record: Any, *known: Any) -> None:
        applied(self, record, *known)
        charges = self.charges
        if getattr(record, "missing", None) is not None and isinstance(charges, FilteredCharges):
            missing = decode_clients(record.missing, size=self.budget.clients)
            charges._units[missing] -= charges.rule.units(self.reservations[record.number - 1].event)

    monkeypatch.setattr(Account, "apply", apply)


def compare_cap_with_greater(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = Rounds.check_cap

    def check_cap(self: Rounds, name: str, clients: Any) -> None:
        if self._cap is not None:
            self._cap += 1
            try:
                checked(self, name, clients)
            finally:
                self._cap -= 1

    monkeypatch.setattr(Rounds, "check_cap", check_cap)


def check_cap_of_first_client(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = Rounds.check_cap
    monkeypatch.setattr(Rounds, "check_cap", lambda self, name, clients: checked(self, name, clients[:1]))


def take_mean_of_charges(monkeypatch: pytest.MonkeyPatch) -> None:
    def most(self: FilteredCharges, clients: Any) -> int:
        return int(self._units[clients].sum()) // max(1, len(clients))

    monkeypatch.setattr(FilteredCharges, "_most", most)


def take_mean_of_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = CountedCharges._rows

    def mean(self: CountedCharges, clients: Any) -> Any:
        found = rows(self, clients)
        if not found.size:
            return found
        columns = [counts if clients is None else counts[clients] for counts in self._counts.by_event.values()]
        return np.array([[int(column.mean()) for column in columns]], dtype=np.uint32)

    monkeypatch.setattr(CountedCharges, "_rows", mean)


def take_first_client_for_the_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FilteredCharges, "worst", lambda self, clients=None: 0 if clients is None else int(clients[0]))


def choose_order_at_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    made = filter_of

    def another(accounting: Accounting, *, epsilon: float, delta: float, order: float | None) -> Any:
        if order is not None:
            plan: dict[PrivacyEvent, int] = {GaussianEvent(noise_multiplier=5.5): 1}
            order = best_order(epsilon=epsilon, delta=delta, events=plan)
        return made(accounting, epsilon=epsilon, delta=delta, order=order)

    monkeypatch.setattr("dp.ledger.charges.filter_of", another)


def round_charges_down(monkeypatch: pytest.MonkeyPatch) -> None:
    units = Filter.units
    monkeypatch.setattr(Filter, "units", lambda self, event: int(units(self, event) * (1 - 1e-8)))


def count_what_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    admitted = Account.admits

    def admits(self: Account, event: Any, clients: Any) -> bool:
        found = admitted(self, event, clients)
        if not found:
            assert self.rounds is not None
            self.rounds.add(clients)
        return found

    monkeypatch.setattr(Account, "admits", admits)


def leave_last_client_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode_all_but_the_last(clients: Any) -> str:
        return encode_clients(clients[: max(1, len(clients) - 1)])

    monkeypatch.setattr("dp.ledger.ledger.encode_clients", encode_all_but_the_last)


def reuse_reservation(monkeypatch: pytest.MonkeyPatch) -> None:
    reserved = World._reserve

    def reserve(self: World, event: Any, cohort: list[int]) -> int:
        entries = self.ledger.entries()
        if self.was_killed and entries and entries[-1].commitment is None:
            return len(entries)
        return reserved(self, event, cohort)

    monkeypatch.setattr(World, "_reserve", reserve)


def send_before_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = World._record

    def record(self: World, client: int, number: int, *, vector: bool) -> bool:
        if vector and self.choose(4) == 0:
            self.sent[client] += 1  # It has sent, and is killed.
            return False
        return recorded(self, client, number, vector=vector)

    monkeypatch.setattr(World, "_record", record)


CAPPED: Final = Setting(population=9, cap=2, accounting=Accounting.FIXED, epsilon=30.0)
SEVERAL: Final = Setting(population=5, cap=None, accounting=Accounting.FIXED, adaptive=False, epsilon=2.0)
FILTERED: Final = Setting(population=5, cap=None, accounting=Accounting.GAUSSIAN_FILTER, epsilon=2.0)
RENYI: Final = Setting(population=5, cap=None, accounting=Accounting.RENYI_FILTER, epsilon=2.0)

MUTANTS: Final = [
    (count_at_commit, CAPPED),
    (count_contributors, CAPPED),
    (give_back_at_commit, FILTERED),
    (compare_cap_with_greater, CAPPED),
    (check_cap_of_first_client, CAPPED),
    (take_mean_of_charges, FILTERED),
    (take_mean_of_counts, SEVERAL),
    (take_first_client_for_the_worst, FILTERED),
    (choose_order_at_reading, RENYI),
    (round_charges_down, FILTERED),
    (count_what_was_refused, SEVERAL),
    (leave_last_client_out, CAPPED),
    (reuse_reservation, CAPPED),
    (send_before_recording, CAPPED),
]


@pytest.mark.parametrize(("mutate", "setting"), MUTANTS)
def test_broken_rule_is_noticed(
    mutate: Callable[[pytest.MonkeyPatch], None], setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    assert first_notice(setting) is not None


@pytest.mark.parametrize("setting", [CAPPED, SEVERAL, FILTERED, RENYI])
def test_unbroken_rules_are_not_noticed(setting: Setting) -> None:
    assert first_notice(setting, worlds=2) is None


def make_ledger(path: Path) -> None:
    """Make a ledger in which one release asked clients 1 and 7."""
    participation = Participation(clients=DIGEST)
    with Ledger.create(path, epsilon=4.0, delta=1e-6, population=9, participation=participation) as ledger:
        ledger.reserve(GaussianEvent(noise_multiplier=3.0), "one", participants=[1, 7])


def opens_with_another_client(path: Path) -> bool:
    """Write client 6 in the place of client 7, and return whether the ledger opens."""
    connection = sqlite3.connect(path)
    (body,) = connection.execute("SELECT body FROM records WHERE sequence = 1").fetchone()
    record = json.loads(body)
    record["participants"] = encode_clients(np.array([1, 6]))
    connection.execute("UPDATE records SET body = ? WHERE sequence = 1", (json.dumps(record).encode(),))
    connection.commit()
    connection.close()
    try:
        Ledger.open(path).close()
    except LedgerCorrupt:
        return False
    return True


def test_flipped_client_is_noticed(path: Path) -> None:
    make_ledger(path)
    assert recount_file(path).counts() == {1: 1, 7: 1}
    assert not opens_with_another_client(path)


def test_digest_without_clients_is_noticed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chained_digest(previous: bytes, body: bytes) -> bytes:
        record = json.loads(body)
        record.pop("participants", None)
        return hashlib.sha256(previous + json.dumps(record, sort_keys=True).encode()).digest()

    for module in ("log", "ledger", "sqlite_log"):
        monkeypatch.setattr(f"dp.ledger.{module}.chained_digest", chained_digest)
    make_ledger(path)
    with pytest.raises(AssertionError, match="was altered"):
        recount_file(path)
    assert opens_with_another_client(path), "the test above would not notice"
