import itertools
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from dp.accounting import guarantee
from dp.calibration import calibrate_distributed
from dp.chain import ChainFile
from dp.errors import (
    BudgetExceeded,
    DpError,
    IncompatibleEvent,
    InvalidParameter,
    InvalidReservation,
    LedgerCorrupt,
    LedgerError,
    LedgerLocked,
    LedgerUnavailable,
)
from dp.events import DistributedDiscreteGaussianEvent, GaussianEvent, NeighbouringRelation
from dp.ledger import Ledger
from dp.report import BudgetReport, rounded_up

EVENT = DistributedDiscreteGaussianEvent(local_sigma=20.0, contributors=100, l2_sensitivity=100.0, dimension=650)
REPOSITORY = Path(__file__).parents[2]


def ticks() -> Callable[[], float]:
    return map(float, itertools.count(1000)).__next__


def create(path: Path, epsilon: float = 8.0, clock: Callable[[], float] | None = None) -> Ledger:
    return Ledger.create(path, epsilon=epsilon, delta=1e-3, population=300, clock=clock or ticks())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "budget of run #1?.ledger"


def test_ledger_enforces_the_budget_it_was_calibrated_for(path: Path) -> None:
    mechanism = calibrate_distributed(
        epsilon=2.0, delta=1e-3, releases=12, l2_sensitivity=100.0, dimension=650, minimum_contributors=100
    )
    with create(path, epsilon=2.0) as ledger:
        for release in range(12):
            assert ledger.remaining(mechanism.event) == 12 - release
            assert ledger.reserve(mechanism.event, f"round {release}") == release + 1
        before = ledger.spent()
        with pytest.raises(BudgetExceeded, match=r"round 12: would bring epsilon to 2\.\d+ of 2"):
            ledger.reserve(mechanism.event, "round 12")
        assert ledger.spent() == before
        assert ledger.spent().epsilon == pytest.approx(2.0, rel=1e-3)
        assert len(ledger.entries()) == 12


def test_ledger_keeps_everything_across_openings(path: Path) -> None:
    gaussian = GaussianEvent(noise_multiplier=30.0)
    with create(path) as ledger:
        ledger.commit(ledger.reserve(EVENT, "first"), contributors=120, details={"accuracy": 0.5, "n": 3, "by": "é"})
        ledger.reserve(gaussian, "second")
    with Ledger.open(path, clock=lambda: 2000.0) as ledger:
        ledger.commit(2, contributors=7)
        head, spent, entries = ledger.head, ledger.spent(), ledger.entries()
    with Ledger.open_to_read(path) as ledger:
        assert (ledger.head, ledger.spent(), ledger.entries()) == (head, spent, entries)
        assert (ledger.budget.epsilon, ledger.budget.delta, ledger.budget.population) == (8.0, 1e-3, 300)
        first, second = ledger.entries()
        assert first.reservation.event == EVENT
        assert first.commitment is not None
        assert first.commitment.details == {"accuracy": 0.5, "n": 3, "by": "é"}
        assert second.reservation.event == gaussian
        assert second.commitment is not None
        assert second.commitment.time_s == 2000.0
        assert [first.reservation.time_s, first.commitment.time_s, second.reservation.time_s] == [1001, 1002, 1003]
    assert spent == guarantee({EVENT: 1, gaussian: 1}, delta=1e-3)


def test_uncommitted_reservations_count_as_spent(path: Path) -> None:
    with create(path) as ledger:
        ledger.reserve(EVENT, "a")
    with Ledger.open(path) as ledger:
        assert ledger.spent() == guarantee({EVENT: 1}, delta=1e-3)
        assert ledger.entries()[0].commitment is None


def test_remaining_is_how_many_fit(path: Path) -> None:
    with create(path) as ledger:
        count = ledger.remaining(EVENT)
        assert guarantee({EVENT: count}, delta=1e-3).epsilon <= 8.0 < guarantee({EVENT: count + 1}, delta=1e-3).epsilon
        assert ledger.remaining(GaussianEvent(noise_multiplier=0.01)) == 0
        assert ledger.remaining(GaussianEvent(noise_multiplier=1e12)) == 2**40


def test_second_writer_is_refused_at_once(path: Path) -> None:
    with create(path) as ledger:
        with pytest.raises(LedgerLocked, match="only user"):
            Ledger.open(path)
        with pytest.raises(LedgerLocked, match="only user"):
            Ledger.open_to_read(path)
        code = "import sys, dp\ntry: dp.Ledger.open(sys.argv[1])\nexcept dp.LedgerLocked: print('locked')"
        other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, cwd=REPOSITORY)
        assert other.stdout == "locked\n"
        ledger.reserve(EVENT, "the first writer goes on")
    with Ledger.open(path) as ledger:
        assert len(ledger.entries()) == 1


def test_readers_share_and_do_not_write(path: Path) -> None:
    create(path).close()
    with Ledger.open_to_read(path) as one, Ledger.open_to_read(path) as other:
        assert one.head == other.head
        with pytest.raises(LedgerUnavailable, match="opened for reading"):
            one.reserve(EVENT, "x")


def test_closed_ledger_refuses(path: Path) -> None:
    ledger = create(path)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerUnavailable, match="closed"):
        ledger.reserve(EVENT, "x")
    assert ledger.entries() == ()


def test_create_refuses_existing_and_impossible_files(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"precious")
    with pytest.raises(LedgerUnavailable, match="existing"):
        create(path)
    assert path.read_bytes() == b"precious"
    with pytest.raises(LedgerUnavailable, match="cannot be created"):
        create(tmp_path / "no" / "such" / "folder")
    with pytest.raises(LedgerUnavailable, match="no file"):
        Ledger.open(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("budget", "match"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": math.nan}, "epsilon"),
        ({"delta": 0.0}, "delta"),
        ({"delta": 1 / 300}, "one over the population"),
        ({"population": 0}, "population"),
        ({"population": True}, "population"),
        ({"population": 10**400}, "population"),
        ({"epsilon": 10**400}, "epsilon"),
        ({"unit": "client"}, "unit"),
        ({"relation": "zero-out"}, "relation"),
        ({"clock": lambda: 1e30}, "clock"),
        ({"clock": lambda: math.nan}, "clock"),
    ],
)
def test_create_refuses_budgets(path: Path, budget: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidParameter, match=match):
        Ledger.create(path, **{"epsilon": 1.0, "delta": 1e-3, "population": 300} | budget)
    assert not path.exists()


@pytest.mark.parametrize("label", ["", "x" * 201, "line\nbreak", None, 3])
def test_reserve_refuses_labels(path: Path, label: Any) -> None:
    with create(path) as ledger, pytest.raises(InvalidParameter, match="label"):
        ledger.reserve(EVENT, label)


def test_reserve_refuses_other_relations(path: Path) -> None:
    other = GaussianEvent(noise_multiplier=9.0, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE)
    with create(path) as ledger:
        with pytest.raises(IncompatibleEvent, match="add-or-remove-one"):
            ledger.reserve(other, "x")
        with pytest.raises(InvalidParameter, match="privacy events"):
            ledger.reserve("gaussian", "x")  # type: ignore[arg-type]
        assert ledger.entries() == ()
    with Ledger.create(
        path.with_suffix(".2"), epsilon=1, delta=1e-3, population=9, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE
    ) as ledger:
        assert ledger.reserve(other, "x") == 1


def test_commit_refuses_what_was_not_reserved(path: Path) -> None:
    with create(path) as ledger:
        number = ledger.reserve(EVENT, "x")
        with pytest.raises(InvalidReservation, match="expected one of 1"):
            ledger.commit(2, contributors=100)
        with pytest.raises(InvalidReservation, match=r"at least 100 contributors.*found 99"):
            ledger.commit(number, contributors=99)
        with pytest.raises(InvalidReservation, match="population"):
            ledger.commit(number, contributors=301)
        ledger.commit(number, contributors=100)
        with pytest.raises(InvalidReservation, match="already"):
            ledger.commit(number, contributors=100)


@pytest.mark.parametrize(
    ("number", "contributors", "details", "match"),
    [
        (True, 100, {}, "reservation"),
        (0, 100, {}, "reservation"),
        (1, 100.0, {}, "contributors"),
        (1, 0, {}, "contributors"),
        (1, 100, {"a": math.inf}, "finite"),
        (1, 100, {"a": True}, "bool"),
        (1, 100, {"a": [1]}, "list"),
        (1, 100, {3: "a"}, "details"),
        (1, 100, ["a"], "mapping"),
        (1, 100, {"a": "\ud800"}, "surrogate"),
        (1, 100, {"a": 1 << 63}, "<="),
        (1, 100, {"a": Fraction(10**400)}, "finite"),
        (1, 10**400, {}, "contributors"),
        pytest.param(10**5000, 100, {}, "thousands of digits", id="huge"),
    ],
)
def test_commit_refuses_parameters(path: Path, number: Any, contributors: Any, details: Any, match: str) -> None:
    with create(path) as ledger:
        ledger.reserve(EVENT, "x")
        with pytest.raises(InvalidParameter, match=match):
            ledger.commit(number, contributors=contributors, details=details)
        assert ledger.entries()[0].commitment is None


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
    shutil.copy(filled, path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()
    assert isinstance(refused(path), LedgerCorrupt)


@pytest.mark.parametrize("kept", [0, 1, 100, 4096, 5000, 8192, 12_000, 10**9])
def test_cut_files_are_refused(filled: Path, path: Path, kept: int) -> None:
    content = filled.read_bytes()
    path.write_bytes(content[: min(kept, len(content) - 1)])
    assert isinstance(refused(path), LedgerCorrupt)


def test_foreign_files_are_refused(path: Path, tmp_path: Path) -> None:
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
    with ChainFile.create(path, bodies[0]) as chain:
        for body in bodies[1:]:
            chain.append(body)
    return path


def test_records_that_contradict_each_other_are_refused(filled: Path, tmp_path: Path) -> None:
    with ChainFile.open(filled, writable=False) as chain:
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


def test_records_that_no_ledger_writes_are_refused(tmp_path: Path) -> None:
    budget, reservation, commitment = hostile_bodies(tmp_path)
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
        error = refused(rebuilt(tmp_path / f"wrong {index}", bodies))
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
        report = BudgetReport.from_ledger(ledger)
    assert rounded_up(report.spent.epsilon) in report.as_text()
    assert msgspec.json.decode(report.as_json())["spent"]["epsilon"] == report.spent.epsilon
    assert "9999-12-31 23:59:59 UTC" in report.as_html()


def hostile_bodies(folder: Path) -> tuple[bytes, bytes, bytes]:
    """Return the records of a ledger with one committed release, to be altered."""
    with create(folder / "honest") as ledger:
        ledger.commit(ledger.reserve(EVENT, "x"), contributors=100)
    with ChainFile.open(folder / "honest", writable=False) as chain:
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
    shutil.copy(filled, path)
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    error = refused(path)
    assert isinstance(error, LedgerCorrupt)
    assert str(error).isprintable()


def test_ledger_takes_numbers_of_other_kinds(path: Path) -> None:
    event = DistributedDiscreteGaussianEvent(
        local_sigma=Fraction(20),  # type: ignore[arg-type]
        contributors=np.uint8(100),  # type: ignore[arg-type]
        l2_sensitivity=np.float32(100),  # type: ignore[arg-type]
        dimension=np.int16(650),  # type: ignore[arg-type]
    )
    assert event == EVENT
    with Ledger.create(
        path,
        epsilon=np.float64(8),  # type: ignore[arg-type]
        delta=Fraction(1, 1000),  # type: ignore[arg-type]
        population=np.int16(300),  # type: ignore[arg-type]
        clock=ticks(),
    ) as ledger:
        assert ledger.reserve(event, np.str_("x")) == 1
        assert ledger.reserve(GaussianEvent(noise_multiplier=Fraction(30)), "y") == 2  # type: ignore[arg-type]
        details: dict[str, Any] = {np.str_("a"): np.float32(0.5), "b": np.int8(3), "c": Fraction(1, 4)}
        ledger.commit(np.int64(1), contributors=np.int32(100), details=details)  # type: ignore[arg-type]
        entries = ledger.entries()
    with Ledger.open_to_read(path) as ledger:
        assert ledger.entries() == entries
        assert entries[0].commitment is not None
        assert entries[0].commitment.details == {"a": 0.5, "b": 3, "c": 0.25}


RESERVING = textwrap.dedent("""
    import sys
    from dp import Ledger, GaussianEvent
    with Ledger.open(sys.argv[1]) as ledger:
        while True:
            print(ledger.reserve(GaussianEvent(noise_multiplier=1e4), "x"), flush=True)
""")


def test_killed_writers_never_undercount(path: Path) -> None:
    create(path).close()
    told = 0
    for lines in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89):
        writer = subprocess.Popen(
            [sys.executable, "-c", RESERVING, path], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        with writer:
            assert writer.stdout is not None
            for _ in range(lines):
                writer.stdout.readline()
            writer.kill()
            writer.wait()
        with Ledger.open(path) as ledger:
            reserved = len(ledger.entries())
            assert reserved >= told + lines
            assert ledger.spent() == guarantee({GaussianEvent(noise_multiplier=1e4): reserved}, delta=1e-3)
            told = reserved


HALF_WRITTEN = textwrap.dedent("""
    import os, signal, sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")  # pages reach the file before the commit
    connection.execute("BEGIN EXCLUSIVE")
    for number in range(1000, 1200):
        connection.execute("INSERT INTO records VALUES (?, ?, ?)", (number, bytes(4096), bytes(32)))
    os.kill(os.getpid(), signal.SIGKILL)
""")


@pytest.mark.skipif(os.name != "posix", reason="kills a process by a signal")
@pytest.mark.parametrize("opening", [Ledger.open, Ledger.open_to_read])
def test_writer_killed_within_a_record_is_rolled_back(opening: Callable[[Path], Ledger], path: Path) -> None:
    with create(path) as ledger:
        ledger.reserve(EVENT, "whole")
    subprocess.run([sys.executable, "-c", HALF_WRITTEN, path], check=False)
    assert path.with_name(path.name + "-journal").stat().st_size > 0
    with opening(path) as ledger:
        assert [entry.reservation.label for entry in ledger.entries()] == ["whole"]


FILLING = textwrap.dedent("""
    import resource, signal, sys, os
    from dp import Ledger, LedgerUnavailable, GaussianEvent
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    event = GaussianEvent(noise_multiplier=1e4)
    with Ledger.open(sys.argv[1]) as ledger:
        limit = os.path.getsize(sys.argv[1]) + 20_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            while True:
                print(ledger.reserve(event, "x" * 200), flush=True)
        except LedgerUnavailable as error:
            print("refused:", "nothing may be released" in str(error))
        try:
            ledger.reserve(event, "y")
        except LedgerUnavailable as error:
            print("closed:", "closed" in str(error))
""")


@pytest.mark.skipif(os.name != "posix", reason="limits a file's size by setrlimit")
def test_failing_disk_ends_in_a_refusal(path: Path) -> None:
    create(path).close()
    run = subprocess.run([sys.executable, "-c", FILLING, path], capture_output=True, text=True, cwd=REPOSITORY)
    *numbers, refusal, closed = run.stdout.splitlines()
    assert (refusal, closed) == ("refused: True", "closed: True"), run.stderr
    with Ledger.open(path) as ledger:
        assert len(ledger.entries()) >= int(numbers[-1]) == len(numbers) > 5
        assert ledger.reserve(EVENT, "after") == len(ledger.entries())


def test_damage_that_is_no_unicode_is_a_damaged_ledger(path: Path) -> None:
    Ledger.create(path, epsilon=8, delta=1e-3, population=100).close()
    whole = path.read_bytes()
    for position in range(0, min(len(whole), 4096), 7):
        path.write_bytes(whole[:position] + b"\xff" + whole[position + 1 :])
        try:
            Ledger.open(path).close()
        except DpError:
            continue
