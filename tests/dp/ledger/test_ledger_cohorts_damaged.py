"""Ledgers with participation that were altered, cut or forged are refused: the ids are part of the chain."""

import base64
import contextlib
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from dp.errors import LedgerCorrupt, LedgerError
from dp.events import Observer
from dp.ledger.ledger import Ledger
from dp.ledger.participants import checked_clients, encode_clients
from dp.ledger.participation import Accounting
from tests.support.cohorts import DELTA, EITHER, EVENT, SAMPLED, CohortLedger, population
from tests.support.ledgers import ticks

CLIENTS: Final = 65


def text(*clients: int) -> str:
    return encode_clients(checked_clients("participants", list(clients), size=1 << 20))


def in_base64(form: str, *octets: int) -> str:
    return form + base64.b64encode(bytes(octets)).decode()


@pytest.fixture(scope="module")
def filled(memory: Path) -> Path:
    path = memory / "cohorts.ledger"
    with Ledger.create(
        path,
        epsilon=8.0,
        delta=DELTA,
        population=CLIENTS,
        participation=population(CLIENTS, cap=3),
        accounting=Accounting.GAUSSIAN_FILTER,
        clock=ticks(),
    ) as ledger:
        for number, cohort in enumerate(([1, 40, 64], range(0, 65, 2), [7]), start=1):
            ledger.reserve(EVENT, f"round {number}", participants=cohort)
            ledger.commit(number, contributors=[one for one in cohort if one != 40])
    return path


def refused(path: Path) -> LedgerError:
    for opening in (Ledger.open, Ledger.open_to_read):
        with pytest.raises(LedgerCorrupt) as caught:
            opening(path)
    assert str(caught.value).isprintable()
    return caught.value


@pytest.mark.parametrize(
    ("record", "old", "new"),
    [
        (1, text(1, 40, 64), text(1, 41, 64)),
        (2, f',"missing":"{text(40)}"', ""),
        (1, ',"participants":', ',"participants" :'),
        (5, "}", ""),
        (0, '"cap":3', '"cap":4'),
        (0, ',"accounting":"gaussian-filter"', ""),
    ],
)
def test_altered_participation_is_refused_by_the_chain(
    filled: Path, path: Path, record: int, old: str, new: str
) -> None:
    """Somebody edits who took part, the cap, or the way of accounting. The chain of digests must show it."""
    shutil.copy(filled, path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        (body,) = connection.execute("SELECT body FROM records WHERE sequence = ?", (record,)).fetchone()
        assert old.encode() in body
        altered = body.replace(old.encode(), new.encode())
        connection.execute("UPDATE records SET body = ? WHERE sequence = ?", (altered, record))
    assert f"record {record} was altered" in str(refused(path))


def forged(budget: dict[str, Any], *records: dict[str, Any]) -> CohortLedger:
    stored = CohortLedger(CLIENTS, cap=2, adaptive=True)
    first = msgspec.json.decode(stored.records.bodies[0])
    stored.records.bodies = tuple(msgspec.json.encode(record) for record in (first | budget, *records))
    return stored


RESERVATION: Final[dict[str, Any]] = {
    "type": "reservation",
    "number": 1,
    "label": "round",
    "event": {"type": "gaussian", "noise_multiplier": 4.0},
    "time_s": 1001.0,
    "participants": text(1, 2, 64),
}
COMMITMENT: Final[dict[str, Any]] = {
    "type": "commitment",
    "number": 1,
    "contributors": 2,
    "details": {},
    "time_s": 1002.0,
    "realised": None,
    "missing": text(2),
}


def without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


def test_records_that_are_altered_below_are_otherwise_read() -> None:
    ledger = forged({}, RESERVATION, COMMITMENT, RESERVATION | {"number": 2}).read()
    assert ledger.rounds_by_client().tolist() == [0, 2, 2, *[0] * 61, 2]
    assert ledger.spent(1).least_bound == ledger.spent().least_bound > 0


@pytest.mark.parametrize(
    ("participants", "match"),
    [
        ("", "expected d or b at its beginning"),
        (text(65), "expected numbers of 0 to 64, found 65"),
        (in_base64("d", 5, 0), "expected ascending numbers"),
        (in_base64("d", 2, 1, 62), "the text that this set of clients has|expected ascending"),
        (in_base64("d", 0x82, 0x00), "expected the text that this set of clients has"),
        (in_base64("b", 2), "expected the text that this set of clients has"),
        (text(*range(20)).replace("b", "d", 1), "expected"),
        (in_base64("d"), "participants: expected at least 1 client"),
        pytest.param("d" + "A" * 5000, "expected at most 9 bytes|expected base64", id="long text"),
        (None, "expected participants if and only if the budget has a participation"),
        (7, "expected a record of this format"),
        ([1, 2], "expected a record of this format"),
    ],
)
def test_participants_that_no_ledger_writes_are_refused(participants: Any, match: str) -> None:
    """Somebody rebuilds the chain with ids out of order, twice, beyond the population, or in another text."""
    record = RESERVATION | {"participants": participants}
    if participants == in_base64("d", 2, 1, 62):
        record["participants"] = in_base64("d", 2, 1, 62) + "\n"
        match = "expected base64"
    with pytest.raises(LedgerCorrupt, match=rf"record 1: .*({match})") as caught:
        forged({}, record).read()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"missing": text(3)}, "missing clients that were asked, found one that was not"),
        ({"missing": text(2, 64)}, "expected the 1 contributors that were asked"),
        ({"missing": text(1, 2, 64), "contributors": 0}, "expected at least 1 contributors"),
        ({"missing": in_base64("d"), "contributors": 3}, "expected at least one missing client"),
        ({"missing": text(65)}, "numbers of 0 to 64"),
        ({"missing": in_base64("d", 3, 0)}, "ascending"),
        ({"missing": None}, "expected the 3 contributors"),
        ({"contributors": 3}, "expected the 2 contributors"),
        ({"contributors": -1}, "record of this format"),
        ({"missing": 2}, "record of this format"),
        ({"number": 2}, "expected one of 1 reservations"),
    ],
)
def test_missing_clients_that_no_ledger_writes_are_refused(change: dict[str, Any], match: str) -> None:
    with pytest.raises(LedgerCorrupt, match=rf"record 2: .*{match}"):
        forged({}, RESERVATION, COMMITMENT | change).read()


@pytest.mark.parametrize(
    ("record", "old", "new"),
    [
        (0, b'"towards":', b'"towards":"readers","towards":'),
        (0, b'"cap":2', b'"cap":9,"cap":2'),
        (0, b'"cap":2', b'"c\\u0061p":9,"cap":2'),
        (1, b'"participants":', b'"participants":"d","participants":'),
        (1, b'"noise_multiplier":4.0', b'"noise_multiplier":9.0,"noise_multiplier":4.0'),
        (2, b'"details":{}', b'"details":{"model":"one","model":"other"}'),
        (2, b'"missing":', b'"missing":null,"missing":'),
    ],
)
def test_name_that_is_in_a_record_twice_is_refused(record: int, old: bytes, new: bytes) -> None:
    """Somebody rebuilds the chain with a name that is there twice: programs differ in which of its values they take."""
    stored = forged({}, RESERVATION, COMMITMENT)
    bodies = list(stored.records.bodies)
    assert old in bodies[record]
    bodies[record] = bodies[record].replace(old, new)
    stored.records.bodies = tuple(bodies)
    with pytest.raises(LedgerCorrupt, match=f"record {record}: .*a name is there twice"):
        stored.read()


def test_reservation_above_the_cap_is_refused() -> None:
    records = [RESERVATION | {"number": number} for number in (1, 2, 3)]
    with pytest.raises(LedgerCorrupt, match=r"record 3: reservation 3: .*the cap, found 3 that were asked in 2"):
        forged({}, *records).read()
    assert forged({}, *records[:2]).read().eligible() == tuple({*range(65)} - {1, 2, 64})


@pytest.mark.parametrize(
    ("budget", "match"),
    [
        ({"towards": None}, "towards: expected server or readers"),
        ({"towards": "nobody"}, "record of this format"),
        ({"accounting": "curves"}, "record of this format"),
        ({"order": 3.0}, "order: expected None"),
        ({"accounting": "renyi-filter"}, "order: expected a number"),
        ({"accounting": "renyi-filter", "order": 1.2}, "order: expected one that reaches"),
        ({"relation": "add-or-remove-one"}, "expected zero-out"),
        ({"participation": {"clients": "5e" * 31}}, "expected a SHA-256"),
        ({"participation": {"clients": "5e" * 32, "cap": 0}}, "cap"),
        ({"participation": {"clients": "5e" * 32, "size": 66}}, "size"),
        ({"participation": {"clients": "5e" * 32, "rate": 1}}, "record of this format"),
        ({"participation": None}, "towards: expected None without participation"),
        ({"population": 1 << 40, "delta": 1e-20}, "at most 4194304"),
    ],
)
def test_budgets_that_no_ledger_writes_are_refused(budget: dict[str, Any], match: str) -> None:
    with pytest.raises(LedgerCorrupt, match=rf"record 0: .*{match}"):
        forged(budget).read()


def test_ids_without_a_population_are_refused() -> None:
    """A ledger of the earlier version, which asks everybody, holds no ids."""
    plain = {"participation": None, "towards": None}
    with pytest.raises(LedgerCorrupt, match=r"record 1: .*participants if and only if"):
        forged(plain, RESERVATION).read()
    earlier = without(RESERVATION, "participants")
    with pytest.raises(LedgerCorrupt, match=r"record 2: .*nobody missing without a participation"):
        forged(plain, earlier, COMMITMENT | {"contributors": 3}).read()
    assert forged(plain, earlier, without(COMMITMENT, "missing")).read().spent().least_bound > 0


@pytest.mark.parametrize(
    "event", [{"type": "gaussian", "noise_multiplier": 9.0}, json.loads(msgspec.json.encode(SAMPLED))]
)
def test_events_that_the_accounting_cannot_take_are_refused(event: dict[str, Any]) -> None:
    with pytest.raises(LedgerCorrupt, match="record 2: "):
        forged({}, RESERVATION, RESERVATION | {"number": 2, "event": event}).read()


def test_events_of_a_ledger_towards_readers_are_sampled() -> None:
    stored = CohortLedger(CLIENTS, towards=Observer.READERS, relation=EITHER)
    with stored.open() as ledger:
        ledger.reserve(SAMPLED, "round", participants=[])
    record = msgspec.json.decode(stored.records.bodies[1])
    assert record["participants"] == "d"
    stored.records.bodies = (
        stored.records.bodies[0],
        msgspec.json.encode(record | {"event": record["event"]["event"]}),
    )
    with pytest.raises(LedgerCorrupt, match=r"record 1: .*Poisson-sampled event"):
        stored.read()


def test_any_damaged_byte_of_a_record_is_refused(filled: Path, path: Path) -> None:
    """A byte of the ids of a reservation is damaged, with the page around it intact."""
    content = filled.read_bytes()
    place = content.index(text(1, 40, 64).encode())
    for offset in range(len(text(1, 40, 64))):
        damaged = bytearray(content)
        damaged[place + offset] ^= 0x01
        path.write_bytes(damaged)
        assert "altered" in str(refused(path))


@pytest.mark.parametrize("kept", [100, 4096, 5000, -1])
def test_cut_ledger_is_refused(filled: Path, path: Path, kept: int) -> None:
    path.write_bytes(filled.read_bytes()[:kept])
    refused(path)


def test_ledger_of_1500_reservations_takes_at_most_four_megabytes() -> None:
    """Cohorts of 300 of 100,000 clients: a row is its two records and their digests."""
    stored = CohortLedger(100_000, cap=45, delta=1e-9)
    rounds = 60
    with stored.open() as ledger:
        for number in range(rounds):
            cohort = range(number, 100_000, 334)
            ledger.reserve(EVENT, f"round {number}", participants=cohort)
            ledger.commit(number + 1, contributors=[one for one in cohort if one % 10], realised=EVENT)
    size = sum(len(body) + 64 for body in stored.records.bodies)
    assert size / rounds * 1500 < 4e6
