"""A kept head shows that a ledger file was cut, rebuilt or replaced; a clock that goes back is refused."""

import itertools
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from dp.errors import EntropyFailure, InvalidParameter, LedgerClock, LedgerCorrupt, LedgerStale
from dp.events import Observer
from dp.ledger.account import Account
from dp.ledger.ledger import Ledger
from dp.ledger.log import chained_digest
from dp.ledger.participants import encode_clients
from dp.ledger.records import Commitment, Reservation
from dp.ledger.sqlite_log import SqliteLog
from tests.support import cohorts
from tests.support.cohorts import EITHER, SAMPLED, CohortLedger
from tests.support.ledgers import EVENT, create

Opening = Callable[..., Ledger]
both_openings = pytest.mark.parametrize("opening", [Ledger.open, Ledger.open_to_read])


def heads_of(path: Path) -> list[str]:
    """Make a ledger of two committed releases, and return its head at every time."""
    with create(path) as ledger:
        heads = [ledger.head]
        for label in ("one", "two"):
            number = ledger.reserve(EVENT, label)
            heads.append(ledger.head)
            ledger.commit(number, contributors=100)
            heads.append(ledger.head)
    return heads


@both_openings
def test_any_earlier_head_is_accepted(path: Path, opening: Opening) -> None:
    heads = heads_of(path)
    assert len(set(heads)) == 5
    for head in (*heads, heads[-1].upper()):
        with opening(path, head=head) as ledger:
            assert ledger.head == heads[-1]


@both_openings
@pytest.mark.parametrize("left", [1, 3, 4])
def test_cut_tail_is_refused_by_its_head(path: Path, opening: Opening, left: int) -> None:
    """Somebody deletes the last records, which leaves a valid chain.

    Only a kept head can show it: opening with the head must refuse (LedgerStale).
    """
    head = heads_of(path)[-1]
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DELETE FROM records WHERE sequence >= ?", (left,))
    connection.close()
    opening(path).close()
    with pytest.raises(LedgerStale, match=rf"kept head, found {left} records without it.*Restore"):
        opening(path, head=head)


@both_openings
def test_older_copy_is_refused_by_the_head(path: Path, tmp_path: Path, opening: Opening) -> None:
    """Somebody restores an older copy, to spend the budget again.

    Opening with the later head must refuse (LedgerStale).
    """
    heads = heads_of(path)
    older = tmp_path / "older"
    shutil.copy(path, older)
    with Ledger.open(path, head=heads[-1]) as ledger:
        ledger.reserve(EVENT, "three")
        head = ledger.head
    shutil.copy(older, path)
    opening(path, head=heads[-1]).close()
    with pytest.raises(LedgerStale, match="older copy"):
        opening(path, head=head)


@both_openings
def test_rebuilt_file_is_refused_by_the_head(path: Path, tmp_path: Path, opening: Opening) -> None:
    """Somebody rebuilds the whole chain with one record changed.

    Opening with the kept head must refuse (LedgerStale).
    """
    head = heads_of(path)[-1]
    with SqliteLog.open(path, writable=False) as chain:
        budget, first, *others = chain.bodies
    with SqliteLog.create(tmp_path / "rebuilt", budget) as chain:
        for body in (first.replace(b'"one"', b'"One"'), *others):
            chain.append(body)
    opening(tmp_path / "rebuilt").close()
    with pytest.raises(LedgerStale, match="5 records without it"):
        opening(tmp_path / "rebuilt", head=head)


@both_openings
@pytest.mark.parametrize("head", ["", "ab", "g" * 64, "0" * 63, " " + "0" * 63, "0" * 65, b"0" * 64, 7, "\u0660" * 64])
def test_head_that_is_none_is_refused(path: Path, opening: Opening, head: Any) -> None:
    create(path).close()
    with pytest.raises(InvalidParameter, match="head: expected 64 hexadecimal digits"):
        opening(path, head=head)


def test_refusals_name_the_record(path: Path) -> None:
    heads_of(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE records SET body = CAST(body || ' ' AS BLOB) WHERE sequence = 3")
    connection.close()
    with pytest.raises(LedgerCorrupt, match="record 3 was altered"):
        Ledger.open_to_read(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DELETE FROM records WHERE sequence = 2")
    connection.close()
    with pytest.raises(LedgerCorrupt, match="expected record 2, found record 3"):
        Ledger.open_to_read(path)


class ManualClock:
    """A clock that a test sets."""

    def __init__(self, time_s: float) -> None:
        self.time_s = time_s

    def __call__(self) -> float:
        return self.time_s


def test_clock_that_goes_back_is_refused_before_a_release_and_not_after_it(path: Path) -> None:
    clock = ManualClock(2000.0)
    with create(path, clock=clock) as ledger:
        number = ledger.reserve(EVENT, "at the same time")
        clock.time_s = 3000.0
        ledger.reserve(EVENT, "later")
        before = (ledger.head, ledger.entries())
        clock.time_s = 2999.9995
        match = (
            r"found one 0.0005 s behind the last record, 1970-01-01T00:50:00\.000\+00:00. Set the clock and try again"
        )
        with pytest.raises(LedgerClock, match=match):
            ledger.reserve(EVENT, "earlier")
        assert (ledger.head, ledger.entries()) == before
        ledger.commit(number, contributors=100)
        committed = ledger.entries()[0].commitment
        assert committed is not None
        assert committed.time_s == 3000.0
    with Ledger.open_to_read(path) as again:
        assert again.entries()[0].commitment == committed


def test_clock_behind_the_file_is_refused_until_it_is_set_right(path: Path) -> None:
    create(path, clock=ManualClock(5e9)).close()
    with Ledger.open(path) as ledger:
        with pytest.raises(
            LedgerClock, match="wait until then, open the ledger with another `clock`, or create a ledger"
        ):
            ledger.reserve(EVENT, "by the time of day, decades earlier")
        assert ledger.entries() == ()
    with Ledger.open(path, clock=ManualClock(5e9 + 1)) as ledger:
        assert ledger.reserve(EVENT, "by another clock") == 1


def test_times_of_earlier_versions_are_read_in_any_order(path: Path, tmp_path: Path) -> None:
    heads_of(path)
    with SqliteLog.open(path, writable=False) as chain:
        bodies = chain.bodies
    with SqliteLog.create(tmp_path / "earlier", bodies[0]) as chain:
        for body in bodies[1:]:
            chain.append(body.replace(b'"time_s":1001.0', b'"time_s":9001.0'))
    with Ledger.open(tmp_path / "earlier", clock=ManualClock(1005.0)) as ledger:
        assert [entry.reservation.time_s for entry in ledger.entries()] == [9001.0, 1003.0]
        assert ledger.reserve(EVENT, "goes on from the last record") == 3


@both_openings
def test_records_after_a_head_are_counted(path: Path, opening: Opening) -> None:
    heads = heads_of(path)
    with opening(path) as ledger:
        assert [ledger.records_after(head) for head in (*heads, heads[2].upper())] == [4, 3, 2, 1, 0, 2]
        with pytest.raises(LedgerStale, match=r"with that head, found 5 records without it.*Restore"):
            ledger.records_after("0" * 64)
        with pytest.raises(InvalidParameter, match="64 hexadecimal digits"):
            ledger.records_after(None)  # type: ignore[arg-type]
    with Ledger.open(path) as ledger:
        ledger.reserve(EVENT, "three")
        assert (ledger.records_after(heads[-1]), ledger.records_after(ledger.head)) == (1, 0)


def test_published_heads_let_nobody_check_a_guess_of_who_was_drawn() -> None:
    """A reader knows each head, and all that the records between two heads say but who was drawn, and guesses that."""
    made = CohortLedger(4, towards=Observer.READERS, relation=EITHER, clock=lambda: 5.0)
    with made.open() as ledger:
        before = bytes.fromhex(ledger.head)
        number = ledger.reserve(SAMPLED, "round 1", participants=[1, 2])
        reserved = bytes.fromhex(ledger.head)
        ledger.commit(number, contributors=[1, 2])
        committed = bytes.fromhex(ledger.head)
        (entry,) = ledger.entries()
    assert entry.commitment is not None
    guesses = [set(drawn) for size in range(5) for drawn in itertools.combinations(range(4), size)]
    texts = [encode_clients(np.array(sorted(drawn), dtype=np.int64)) for drawn in guesses]
    reservations = [msgspec.structs.replace(entry.reservation, participants=text, salt=None) for text in texts]
    assert reserved not in {chained_digest(before, msgspec.json.encode(each)) for each in reservations}
    commitments = [msgspec.structs.replace(entry.commitment, contributors=size, salt=None) for size in range(5)]
    assert committed not in {chained_digest(reserved, msgspec.json.encode(each)) for each in commitments}
    salts = {ledger.budget.salt, entry.reservation.salt, entry.commitment.salt}
    assert len(salts) == 3
    assert all(len(salt or "") == 32 for salt in salts)


def test_records_of_cohorts_that_everybody_may_know_have_no_salt() -> None:
    with CohortLedger(4).open() as ledger:
        ledger.commit(ledger.reserve(cohorts.EVENT, "round 1", participants=[1, 2]), contributors=[1])
        (entry,) = ledger.entries()
    assert entry.commitment is not None
    assert (entry.reservation.salt, entry.commitment.salt) == (None, None)


@pytest.mark.parametrize("salt", ["5e" * 15, "5E" * 16, 5, b"5e" * 16])
def test_salts_that_no_ledger_writes_are_refused(salt: Any) -> None:
    with pytest.raises(InvalidParameter, match="salt: expected 32 lower-case hexadecimal digits"):
        Reservation(number=1, label="round 1", event=SAMPLED, time_s=1.0, participants="d", salt=salt)
    with pytest.raises(InvalidParameter, match="salt: expected 32 lower-case hexadecimal digits"):
        Commitment(number=1, contributors=0, details={}, time_s=1.0, salt=salt)


def test_record_without_randomness_for_its_salt_is_not_written() -> None:
    made = CohortLedger(4, towards=Observer.READERS, relation=EITHER)
    with made.open() as ledger:
        ledger._entropy = lambda _: b"short"
        with pytest.raises(EntropyFailure, match="expected 16 bytes"):
            ledger.reserve(SAMPLED, "round 1", participants=[1, 2])
    with made.open() as ledger:
        assert ledger.entries() == ()


@pytest.mark.parametrize("readers", [False, True])
def test_record_with_a_salt_that_is_missing_or_superfluous_is_refused(*, readers: bool) -> None:
    """Somebody rebuilds the chain without the salts of a secret draw, or with salts where there are none."""
    chosen: dict[str, Any] = {"towards": Observer.READERS, "relation": EITHER} if readers else {}
    made = CohortLedger(4, **chosen)
    with made.open() as ledger:
        event = SAMPLED if readers else cohorts.EVENT
        ledger.commit(ledger.reserve(event, "round 1", participants=[1, 2]), contributors=[1, 2])
        bodies, (entry,) = list(ledger._bodies), ledger.entries()
    Account(bodies, name="whole")
    for at, record in ((1, entry.reservation), (2, entry.commitment)):
        assert record is not None
        other = msgspec.structs.replace(record, salt=None if readers else "5e" * 16)
        with pytest.raises(LedgerCorrupt, match=f"record {at}: reservation 1: expected a salt if and only if"):
            Account([*bodies[:at], msgspec.json.encode(other), *bodies[at + 1 :]], name="damaged")
