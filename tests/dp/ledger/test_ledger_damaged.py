"""Ledger files that were altered, cut or forged are refused, and extreme ones are reported."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dp.accounting.guarantee import guarantee
from dp.errors import DpError, LedgerCorrupt, LedgerError, LedgerUnavailable
from dp.events import GaussianEvent, RepeatedEvent
from dp.figures import rounded_up
from dp.ledger.ledger import Ledger
from dp.ledger.sqlite_log import SqliteLog
from dp.reporting.collect import budget_report
from dp.reporting.document import as_json
from dp.reporting.page import as_html
from dp.reporting.text import as_text
from tests.support.ledgers import EVENT, create

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "filled"
    with create(path, epsilon=100.0) as ledger:
        for release in range(30):
            ledger.commit(ledger.reserve(EVENT, f"round {release}"), contributors=200 + release)
    return path


def refused(path: Path) -> LedgerError:
    with pytest.raises(LedgerError) as caught:
        Ledger.open(path)
    with pytest.raises(LedgerError):
        Ledger.open_to_read(path)
    return caught.value


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM records WHERE sequence = 20",
        "DELETE FROM records WHERE sequence = 0",
        "DELETE FROM records",
        "UPDATE records SET body = CAST(replace(CAST(body AS TEXT), 'round 5', 'round 6') AS BLOB) WHERE sequence = 11",
        "UPDATE records SET digest = zeroblob(32) WHERE sequence = 60",
        "UPDATE records SET sequence = 1000 WHERE sequence = 60",
        "DROP TABLE records",
        "PRAGMA user_version = 2",
        "PRAGMA application_id = 7",
    ],
)
def test_altered_records_are_refused(filled: Path, path: Path, statement: str) -> None:
    """Somebody edits the file with SQLite: deletes, changes or renumbers records, or other marks of the file.

    The chain of digests must stop it (LedgerCorrupt).
    """
    shutil.copy(filled, path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()
    assert isinstance(refused(path), LedgerCorrupt)


@pytest.mark.parametrize("kept", [0, 1, 100, 4096, 5000, 8192, 12_000, 10**9])
def test_cut_files_are_refused(filled: Path, path: Path, kept: int) -> None:
    """A file is cut, as after a failed copy. Opening must refuse it (LedgerCorrupt)."""
    content = filled.read_bytes()
    path.write_bytes(content[: min(kept, len(content) - 1)])
    assert isinstance(refused(path), LedgerCorrupt)


def test_foreign_files_are_refused(path: Path, tmp_path: Path) -> None:
    """A path leads to another file or a folder. Opening must refuse it (LedgerCorrupt, LedgerUnavailable)."""
    path.write_bytes(bytes(range(256)) * 64)
    assert isinstance(refused(path), LedgerCorrupt)
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE records (a)")
    connection.close()
    assert isinstance(refused(other), LedgerCorrupt)
    assert isinstance(refused(tmp_path), LedgerUnavailable)


# Any one byte may be damaged: either it is refused, or it was outside of what counts and nothing has changed.
def test_damaged_bytes_never_change_what_is_read(filled: Path, path: Path) -> None:
    content = filled.read_bytes()
    with Ledger.open_to_read(filled) as ledger:
        expected = (ledger.head, ledger.entries())
    refusals = 0
    for position in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[position] ^= 0x41
        path.write_bytes(damaged)
        try:
            with Ledger.open_to_read(path) as ledger:
                assert (ledger.head, ledger.entries()) == expected
        except LedgerError:
            refusals += 1
    assert refusals > len(content) / 97 / 4


def rebuilt(path: Path, bodies: list[bytes]) -> Path:
    """Write a ledger file whose chain verifies, whatever its records say."""
    with SqliteLog.create(path, bodies[0]) as chain:
        for body in bodies[1:]:
            chain.append(body)
    return path


def test_records_that_contradict_each_other_are_refused(filled: Path, tmp_path: Path) -> None:
    """Somebody rebuilds the whole chain with records that do not follow from each other.

    Reading them must refuse it (LedgerCorrupt).
    """
    with SqliteLog.open(filled, writable=False) as chain:
        budget, reservation, commitment, *_ = chain.bodies
    low = msgspec.json.encode(msgspec.json.decode(commitment) | {"contributors": 3})
    unknown = msgspec.json.encode(msgspec.json.decode(reservation) | {"surprise": 1})
    invalid = reservation.replace(b'"local_sigma":20.0', b'"local_sigma":-1.0')
    wrong: list[list[bytes]] = [
        [reservation],
        [budget, budget],
        [budget, commitment],
        [budget, reservation, reservation],
        [budget, reservation, commitment, commitment],
        [budget, reservation, low],
        [budget, unknown],
        [budget, invalid],
        [budget, b"{"],
    ]
    for index, bodies in enumerate(wrong):
        assert isinstance(refused(rebuilt(tmp_path / f"wrong {index}", bodies)), LedgerCorrupt)
    with Ledger.open(rebuilt(tmp_path / "right", [budget, reservation, commitment])) as ledger:
        assert len(ledger.entries()) == 1


def altered(body: bytes, **changes: Any) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(body) | changes)


def test_records_that_no_ledger_writes_are_refused(memory: Path) -> None:
    """Somebody rebuilds the chain with numbers, times or texts out of range, to crash a report or control a terminal.

    Reading must refuse each (LedgerCorrupt), in printable words.
    """
    folder = memory / "not written"
    folder.mkdir()
    budget, reservation, commitment = hostile_bodies(folder)
    gaussian = {"type": "gaussian", "noise_multiplier": 3.0}
    distributed = msgspec.json.decode(reservation)["event"]
    nested = b'{"a":' + b"[" * 200_000
    wrong: list[list[bytes]] = [
        *([altered(budget, **{name: value})] for name, value in [("epsilon", 1e300), ("epsilon", 1e-300)]),
        [budget.replace(b'"population":300', b'"population":' + b"9" * 400)],
        *([altered(budget, time_s=time_s)] for time_s in (1e30, -1e30, 0)),
        *([budget, altered(reservation, time_s=time_s)] for time_s in (1e30, -1e30, 0)),
        *([budget, altered(reservation, label=label)] for label in ("", "\x1b[2J", "x" * 201, "\u202e")),
        *([budget, altered(reservation, event=gaussian | {"noise_multiplier": z})] for z in (1e-200, 1e200)),
        [budget, altered(reservation, event=gaussian | {"relation": "add-or-remove-one"})],
        *([budget, altered(reservation, event=distributed | {"l2_sensitivity": l2})] for l2 in (1e200, 1e-320)),
        [budget, reservation.replace(b'"dimension":650', b'"dimension":' + b"9" * 400)],
        [budget, reservation.replace(b'"contributors":100', b'"contributors":' + b"9" * 5000)],
        [budget, altered(reservation, **{"\x1b[2J": 1})],
        [budget, reservation.replace(b'"label":"x"', b'"label":"\xff"')],
        [budget, nested],
        *([budget, reservation, altered(commitment, time_s=time_s)] for time_s in (1e30, -1e30, 0)),
        [budget, reservation, altered(commitment, details={"\x1b[2J": 1})],
        [budget, reservation, altered(commitment, details={"a": True})],
        [budget, reservation, commitment.replace(b'"details":{}', b'"details":{"a":' + b"9" * 400 + b"}")],
    ]
    for index, bodies in enumerate(wrong):
        error = refused(rebuilt(folder / f"wrong {index}", bodies))
        assert isinstance(error, LedgerCorrupt), bodies
        assert str(error).isprintable()


@pytest.mark.parametrize(
    ("relation", "changes"),
    [
        ("zero-out", {"type": "gaussian", "noise_multiplier": 1e-30}),
        ("zero-out", {"type": "gaussian", "noise_multiplier": 1e30}),
        ("add-or-remove-one", {"type": "gaussian", "noise_multiplier": 1e-30}),
        ("zero-out", {"contributors": 2**53, "dimension": 2**53, "local_sigma": 0.5, "l2_sensitivity": 1e30}),
        ("zero-out", {"contributors": 1, "dimension": 2**53, "local_sigma": 1e30, "l2_sensitivity": 1.0}),
        ("zero-out", {"contributors": 1, "dimension": 1, "local_sigma": 0.5, "l2_sensitivity": 1e-30}),
    ],
)
@pytest.mark.parametrize(("epsilon", "delta"), [(1e-30, 5e-324), (1e30, 0.9)])
def test_extreme_ledgers_are_reported(
    tmp_path: Path, relation: str, changes: dict[str, Any], epsilon: float, delta: float
) -> None:
    budget, reservation, _ = hostile_bodies(tmp_path)
    event = msgspec.json.decode(reservation)["event"] if "type" not in changes else {}
    bodies = [
        altered(budget, epsilon=epsilon, delta=delta, population=1, time_s=253402300799.0, relation=relation),
        altered(reservation, event=event | changes | {"relation": relation}, time_s=5e-324),
    ]
    with Ledger.open_to_read(rebuilt(tmp_path / "extreme", bodies)) as ledger:
        report = budget_report(ledger)
    assert rounded_up(report.spent.epsilon) in as_text(report)
    assert msgspec.json.decode(as_json(report))["spent"]["epsilon"] == report.spent.epsilon
    assert "9999-12-31 23:59:59 UTC" in as_html(report)


def hostile_bodies(folder: Path) -> tuple[bytes, bytes, bytes]:
    """Return the records of a ledger with one committed release, to be altered."""
    with create(folder / "honest") as ledger:
        ledger.commit(ledger.reserve(EVENT, "x"), contributors=100)
    with SqliteLog.open(folder / "honest", writable=False) as chain:
        budget, reservation, commitment = chain.bodies
    return budget, reservation, commitment


@pytest.mark.parametrize(
    "statements",
    [
        (
            "DROP TABLE records",
            "CREATE VIEW records AS WITH RECURSIVE r(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r) "
            "SELECT n AS sequence, zeroblob(1000000) AS body, x'00' AS digest FROM r",
        ),
        ("CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records WHERE sequence > 0; END",),
        ("CREATE TABLE other (a)",),
        ("ALTER TABLE records ADD COLUMN other BLOB",),
        ("PRAGMA writable_schema = ON", "UPDATE sqlite_schema SET sql = 'CREATE TABLE records (\x1b[2J'"),
    ],
)
def test_foreign_schemas_are_refused_at_once(filled: Path, path: Path, statements: tuple[str, ...]) -> None:
    """Somebody puts views, triggers or other tables into the file, which SQLite would run.

    Opening must refuse it at once (LedgerCorrupt).
    """
    shutil.copy(filled, path)
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    error = refused(path)
    assert isinstance(error, LedgerCorrupt)
    assert str(error).isprintable()


def test_damage_that_is_no_unicode_is_a_damaged_ledger(memory: Path) -> None:
    path = memory / "no unicode"
    Ledger.create(path, epsilon=8, delta=1e-3, population=100).close()
    whole, refusals = path.read_bytes(), 0
    for position in range(0, min(len(whole), 4096), 7):
        path.write_bytes(whole[:position] + b"\xff" + whole[position + 1 :])
        try:
            Ledger.open(path).close()
        except DpError:
            refusals += 1
    assert refusals > 20


# Together 2**64 releases and more, which is beyond what numpy multiplies by.
def test_counts_beyond_64_bits_are_accounted(tmp_path: Path, memory: Path) -> None:
    budget, reservation, _ = hostile_bodies(tmp_path)
    event = {"type": "repeated", "times": 2**53, "event": {"type": "gaussian", "noise_multiplier": 1e15}}
    bodies = [altered(reservation, event=event, number=number + 1) for number in range(2049)]
    with Ledger.open_to_read(rebuilt(memory / "many", [altered(budget, epsilon=1e3), *bodies])) as ledger:
        once = guarantee({GaussianEvent(noise_multiplier=1e15 / (2049 * 2**53) ** 0.5): 1}, delta=1e-3)
        assert ledger.spent().rdp_epsilon == pytest.approx(once.rdp_epsilon, rel=1e-12)
        repeated = RepeatedEvent(times=2**53, event=GaussianEvent(noise_multiplier=1e25))
        assert ledger.remaining(repeated) == 2**40
