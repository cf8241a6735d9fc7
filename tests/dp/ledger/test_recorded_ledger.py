"""The ledgers of tests/vectors/ledger, which a later version has to read, and to write byte for byte."""

import hashlib
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from dp import Accounting, Claim, IncompatibleLedger, Ledger, LedgerStale, Observer, ParticipationExceeded
from tests.support.cohorts import clients_of, recount
from tests.vectors import record_ledgers as recorder
from tests.vectors.recorded import VECTORS, private_copy

LEDGERS = VECTORS / "ledger"
HEADS = {
    "cohorts": "c29116b0dc9bdd895127373abe5aff3b77e808e69475360ae36d109c4c984f90",
    "drawn": "1bf165203bb374764343c8a7616eddcbded536ce4045f41672ceb32bb8f32540",
    "examples": "a297919e3255818f838ad52abf05a7ed1029f9d485e5e147be73b11416975b55",
    "local": "3ab93d18b5cb109696bdd85ed2b664ecc1064084984e2068ad2b4e9ce218738e",
    "mixed": "8c0514318e21bd30cc11f320de33c7301039b86eb7a8e2faf3707dae1da4beff",
    "readers": "3a2321753b15e56560ddb51872fbad0f86f4d31789c1bce5035c6f1c40a2c047",
    "thinner": "fe2788061fc90b2ad979d524362c850398e344cc6abfab6ed772f3f1a69ab94b",
}
MADE_BY = {
    "cohorts": recorder.make_cohorts,
    "drawn": recorder.make_drawn,
    "examples": recorder.make_examples,
    "local": recorder.make_local,
    "mixed": recorder.make_mixed,
    "readers": recorder.make_readers,
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


@pytest.mark.parametrize("name", ["examples", "mixed", "thinner"])
def test_ledger_of_the_earlier_version_is_refused_for_cohorts(name: str, tmp_path: Path) -> None:
    path = private_copy(LEDGERS / f"{name}.sqlite", tmp_path / name)
    with Ledger.open(path, head=HEADS[name]) as ledger:
        assert (ledger.budget.participation, ledger.budget.accounting) == (None, Accounting.FIXED)
        assert ledger.spent().claim is Claim.SPENT
        event = ledger.entries()[0].reservation.event
        with pytest.raises(IncompatibleLedger, match="participants: expected none"):
            ledger.reserve(event, "a cohort", participants=[1, 2])
        with pytest.raises(IncompatibleLedger, match="expected a ledger with participation"):
            ledger.check_clients("5e" * 32)
        assert ledger.head == HEADS[name]


@pytest.mark.parametrize("name", ["cohorts", "local", "readers"])
def test_recorded_ledger_counts_each_client_as_its_text_says(name: str) -> None:
    bodies = [body for _, body, _ in records(LEDGERS / f"{name}.sqlite")[3]]
    with Ledger.open_to_read(LEDGERS / f"{name}.sqlite", head=HEADS[name]) as ledger:
        counts = enumerate(ledger.rounds_by_client().tolist())
        assert Counter({client: count for client, count in counts if count}) == recount(bodies)
        for entry in ledger.entries():
            if entry.commitment is not None:
                asked, missing = entry.reservation.participants or "d", entry.commitment.missing or "d"
                assert entry.commitment.contributors == len(clients_of(asked)) - len(clients_of(missing))


def test_recorded_ledger_of_cohorts_claims_its_budget(tmp_path: Path) -> None:
    path = private_copy(LEDGERS / "cohorts.sqlite", tmp_path / "cohorts")
    with Ledger.open(path, head=HEADS["cohorts"]) as ledger:
        texts = [entry.reservation.participants or "" for entry in ledger.entries()]
        assert [text[0] for text in texts] == ["b", "b", "d"]
        assert (ledger.spent().claim, ledger.spent().epsilon) == (Claim.BUDGET, 6.0)
        used = ledger.spent().used
        assert used is not None
        assert 0.44 < used < 0.45
        worst = int(ledger.rounds_by_client().argmax())
        assert ledger.rounds_of(worst) == 3
        with pytest.raises(ParticipationExceeded):
            ledger.reserve(recorder.PROMISED, "round 4", participants=range(worst, worst + 100))
        assert ledger.reserve(recorder.WEAKER, "round 4", participants=range(100)) == 4
    with Ledger.open_to_read(LEDGERS / "readers.sqlite") as ledger:
        assert (ledger.budget.towards, ledger.budget.order) == (Observer.READERS, 7.5)
        assert ledger.rounds_by_client().sum() == 5
    with Ledger.open_to_read(LEDGERS / "local.sqlite") as ledger:
        assert ledger.spent().claim is Claim.SPENT
        assert ledger.spent().bounds == ledger.spent(2).bounds != ledger.spent(0).bounds
        assert ledger.eligible() == (0, 1)
