"""The stores of tests/vectors/stores, which still refuse what was answered and opened before."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from protocols import SessionReused, UnsafeOpening
from secagg.storage.opening_store import OpeningStore
from secagg.storage.session_store import SessionStore
from tests.vectors import record_stores as recorder
from tests.vectors.recorded import VECTORS, private_copy

STORES = VECTORS / "stores"
NAMES = (recorder.OPENINGS, recorder.SESSIONS)


def contents(path: Path) -> list[object]:
    """The header, the schema and all rows, by SQLite alone."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        found: list[object] = [
            connection.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
        ]
        ((name, schema),) = connection.execute("SELECT name, sql FROM sqlite_schema").fetchall()
        return [*found, schema, *sorted(connection.execute(f"SELECT * FROM {name}"))]


@pytest.fixture(params=[recorder.SESSIONS, recorder.FIRST_SESSIONS])
def sessions(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return private_copy(STORES / request.param, tmp_path / recorder.SESSIONS)


@pytest.fixture
def openings(tmp_path: Path) -> Path:
    return private_copy(STORES / recorder.OPENINGS, tmp_path / recorder.OPENINGS)


@pytest.mark.parametrize("name", NAMES)
def test_recorded_store_is_written_again_byte_for_byte(name: str, tmp_path: Path) -> None:
    """Its header, its schema and its rows; how SQLite lays them out in the file is SQLite's."""
    recorder.main(tmp_path)
    assert contents(tmp_path / name) == contents(STORES / name)


@pytest.mark.parametrize(("identity", "session_id", "last"), recorder.ANSWERED)
def test_recorded_sessions_are_not_answered_again(
    identity: bytes, session_id: bytes, last: int, sessions: Path
) -> None:
    with SessionStore(sessions) as store:
        for number in range(last + 1):
            with pytest.raises(SessionReused):
                store.record(identity, session_id, number)
        store.record(identity, session_id, last + 1)


def test_recorded_sessions_count_as_they_did_and_all_of_the_first_format_do(sessions: Path) -> None:
    first = contents(sessions)[1] == (1,)
    with SessionStore(sessions) as store:
        assert store.participations(recorder.CLIENT) == (2 if first else 1)
        assert store.participations(recorder.OTHER_CLIENT) == 1
        assert store.participations(bytes(32)) == 0


def test_store_of_the_first_format_is_written_anew_in_this_one(tmp_path: Path) -> None:
    """The rows are those that were recorded in this format, but that all of them count."""
    path = private_copy(STORES / recorder.FIRST_SESSIONS, tmp_path / "store")
    assert contents(path)[1] == (1,)
    SessionStore(path).close()
    *header, first, second, third = contents(path)
    *expected, _, _, _ = contents(STORES / recorder.SESSIONS)
    assert header == expected
    recorded = [(identity, session_id, last) for identity, session_id, last in recorder.ANSWERED]
    assert [row[:4] for row in (first, second, third)] == [(*row, 1) for row in sorted(recorded)]  # type: ignore[index]
    assert path.stat().st_mode & 0o777 == 0o600


def test_sessions_that_are_not_recorded_are_answered(sessions: Path) -> None:
    with SessionStore(sessions) as store:
        store.record(recorder.OTHER_CLIENT, b"session number 1", 0)
        store.record(recorder.CLIENT, b"session number 3", 0)


@pytest.mark.parametrize(("key", "session_id", "context", "contributors", "minimum"), recorder.OPENED)
def test_recorded_openings_are_not_opened_again(
    key: bytes, session_id: bytes, context: bytes, contributors: tuple[int, ...], minimum: int, openings: Path
) -> None:
    with OpeningStore(openings) as store, pytest.raises(SessionReused):
        store.record(key=key, session_id=session_id, context=context, contributors=contributors, minimum=minimum)


def test_sum_too_near_a_recorded_opening_is_not_opened(openings: Path) -> None:
    """With either share, and by the recorded minimum where that is the greater."""
    near = {
        b"model A": [(*range(18), 50, 51), tuple(range(19)), (*range(100, 117), 200, 201)],
        b"model B": [(0, 7)],
    }
    with OpeningStore(openings) as store:
        for context, sets in near.items():
            for contributors in sets:
                with pytest.raises(UnsafeOpening):
                    store.record(
                        key=recorder.SHARE, session_id=bytes(16), context=context, contributors=contributors, minimum=1
                    )


def test_sums_that_no_recorded_opening_is_near_to_are_opened(openings: Path) -> None:
    with OpeningStore(openings) as store:
        for number, (context, contributors) in enumerate(
            ((b"model C", tuple(range(19))), (b"model A", tuple(range(20))), (b"model A", tuple(range(40, 60))))
        ):
            store.record(
                key=recorder.SHARE,
                session_id=bytes([number]) * 16,
                context=context,
                contributors=contributors,
                minimum=5,
            )
