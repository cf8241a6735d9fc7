"""The ledgers of tests/vectors/ledger, which a later version has to read, and to write byte for byte."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dp import Ledger, LedgerStale
from tests.vectors import record_ledgers as recorder
from tests.vectors.recorded import VECTORS, private_copy

LEDGERS = VECTORS / "ledger"
HEADS = {
    "cohorts": "830c1ff4f5409d3c5650e2dd65c00c52fc0877e596ae9dec48c4b43ae88daacf",
    "examples": "a297919e3255818f838ad52abf05a7ed1029f9d485e5e147be73b11416975b55",
    "mixed": "8c0514318e21bd30cc11f320de33c7301039b86eb7a8e2faf3707dae1da4beff",
    "readers": "9153537ad661c3cf932f0f3a1816d5106c434b160b395372f6926ca9852a51ba",
    "renyi": "8b90070c04d97b0bb504599a3047deaf87aa22909709a17c9c220c2fc4080d2f",
    "thinner": "fe2788061fc90b2ad979d524362c850398e344cc6abfab6ed772f3f1a69ab94b",
}
MADE_BY = {
    "cohorts": recorder.make_cohorts,
    "examples": recorder.make_examples,
    "mixed": recorder.make_mixed,
    "readers": recorder.make_readers,
    "renyi": recorder.make_renyi,
    "thinner": recorder.make_thinner,
}


def records(path: Path) -> tuple[int, int, str, list[tuple[int, bytes, bytes]]]:
    """All that a ledger's file holds, by SQLite alone."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        application, version, schema = (
            connection.execute(statement).fetchone()[0]
            for statement in ("PRAGMA application_id", "PRAGMA user_version", "SELECT sql FROM sqlite_schema")
        )
        return application, version, schema, connection.execute("SELECT * FROM records ORDER BY sequence").fetchall()


@pytest.mark.parametrize("name", HEADS)
def test_recorded_ledger_is_written_again_byte_for_byte(name: str, tmp_path: Path) -> None:
    """Its records, the chain of their digests and the header; how SQLite lays them out in the file is SQLite's."""
    MADE_BY[name](tmp_path / "again")
    assert records(tmp_path / "again") == records(LEDGERS / f"{name}.sqlite")


@pytest.mark.parametrize("name", HEADS)
def test_recorded_ledger_has_the_chain_that_its_format_says(name: str) -> None:
    head = hashlib.sha256(b"secagg budget ledger, format 1").digest()
    for _, body, digest in records(LEDGERS / f"{name}.sqlite")[3]:
        head = hashlib.sha256(head + body).digest()
        assert digest == head
    assert head.hex() == HEADS[name]


@pytest.mark.parametrize("name", HEADS)
def test_recorded_ledger_is_read_by_its_head(name: str) -> None:
    before = (LEDGERS / f"{name}.sqlite").read_bytes()
    with Ledger.open_to_read(LEDGERS / f"{name}.sqlite", head=HEADS[name]) as ledger:
        assert ledger.head == HEADS[name]
    with pytest.raises(LedgerStale):
        Ledger.open_to_read(LEDGERS / f"{name}.sqlite", head="0" * 64)
    assert (LEDGERS / f"{name}.sqlite").read_bytes() == before


def test_recorded_ledger_of_mixed_events_says_what_was_released() -> None:
    with Ledger.open_to_read(LEDGERS / "mixed.sqlite") as ledger:
        found = [
            (entry.reservation.event, None if entry.commitment is None else entry.commitment.contributors)
            for entry in ledger.entries()
        ]
        third = ledger.entries()[2].commitment
        assert ledger.unsupported_realised() == ()
        assert ledger.budget.description is not None
        assert ledger.budget.description.organisation == "Example Ltd"
    assert found == [
        (recorder.DISCRETE, 121),
        (recorder.SKELLAM, 90),
        (recorder.GAUSSIAN, 200),
        (recorder.SAMPLED, 17),
        (recorder.SAMPLED_SKELLAM, 95),
        (recorder.DISCRETE, None),
        (recorder.REPEATED, 20),
    ]
    assert third is not None
    assert (third.details["accuracy"], third.details["note"]) == (0.875, "f\u00fcr <alle> & jeden")


def test_recorded_ledger_of_cohorts_counts_its_clients() -> None:
    with Ledger.open_to_read(LEDGERS / "cohorts.sqlite") as ledger:
        counts = ledger.rounds_by_client()
        assert (counts.sum(), counts.max(), counts[400:].max()) == (6 * 110, 2, 0)
        second = ledger.entries()[1].commitment
        assert len(ledger.eligible()) == 1_000
        ledger.check_clients(recorder.POPULATION)
    assert second is not None
    assert (second.contributors, second.missing) == (109, "dbw==")


def test_recorded_ledger_with_less_noise_than_reserved_is_told_of() -> None:
    with Ledger.open_to_read(LEDGERS / "thinner.sqlite") as ledger:
        assert ledger.unsupported_realised() == (3,)
        last = ledger.entries()[-1].commitment
    assert last is not None
    assert last.realised == recorder.THINNER


def test_recorded_ledger_is_gone_on_with(tmp_path: Path) -> None:
    path = private_copy(LEDGERS / "mixed.sqlite", tmp_path / "mixed.sqlite")
    with Ledger.open(path, head=HEADS["mixed"]) as ledger:
        assert ledger.reserve(recorder.GAUSSIAN, "round 8") == 8
        ledger.commit(6, contributors=110)
        assert ledger.records_after(HEADS["mixed"]) == 2
