"""The stores of tests/vectors/stores, which still refuse what was answered and opened before."""

import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from protocols import SessionReused, UnsafeOpening
from protocols.errors import UnsafeSession
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


@pytest.fixture(params=[recorder.SESSIONS, recorder.SECOND_SESSIONS, recorder.FIRST_SESSIONS])
def sessions(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return private_copy(STORES / request.param, tmp_path / recorder.SESSIONS)


@pytest.fixture(params=[recorder.OPENINGS, recorder.SECOND_OPENINGS, recorder.FIRST_OPENINGS])
def openings(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return private_copy(STORES / request.param, tmp_path / recorder.OPENINGS)


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


@pytest.mark.parametrize(("name", "version"), [(recorder.FIRST_SESSIONS, 1), (recorder.SECOND_SESSIONS, 2)])
def test_session_store_of_an_earlier_format_is_written_anew_in_this_one(
    name: str, version: int, tmp_path: Path
) -> None:
    """The rows are those that were recorded, without a committee. In the first format, all of them count."""
    path = private_copy(STORES / name, tmp_path / "store")
    assert contents(path)[1] == (version,)
    SessionStore(path).close()
    *header, first, second, third = contents(path)
    *expected, _, _, _ = contents(STORES / recorder.SESSIONS)
    assert header == expected
    assert header[1] == (3,)
    counted = [int(version == 1 or last >= recorder.VECTOR_STEP) for _, _, last in sorted(recorder.ANSWERED)]
    recorded = [(*row, count, b"", b"") for row, count in zip(sorted(recorder.ANSWERED), counted, strict=True)]
    assert [row[:6] for row in (first, second, third)] == recorded  # type: ignore[index]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("name", "version"), [(recorder.FIRST_OPENINGS, 1), (recorder.SECOND_OPENINGS, 2)])
def test_store_of_openings_of_an_earlier_format_is_written_anew_in_this_one(
    name: str, version: int, tmp_path: Path
) -> None:
    """The rows are those that were recorded: in format 1 without a root, in format 2 with a root but no weights."""
    path = private_copy(STORES / name, tmp_path / "store")
    assert contents(path)[1] == (version,)
    OpeningStore(path).close()
    found, expected = contents(path), contents(STORES / recorder.OPENINGS)
    assert found[:3] == expected[:3]
    assert found[1] == (3,)
    roots = (b"",) if version == 1 else (b"", recorder.ROOT)
    assert found[3:] == [row for row in expected[3:] if row[5] in roots]  # type: ignore[index]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", [recorder.OPENINGS, recorder.SECOND_OPENINGS])
def test_recorded_opening_with_a_root_is_opened_again_for_that_root_alone(name: str, tmp_path: Path) -> None:
    path = private_copy(STORES / name, tmp_path / "store")
    key, session_id, context, contributors, minimum = recorder.ROOTED
    with OpeningStore(path) as store:
        for root in (recorder.ROOT, bytes(32), b""):
            try:
                store.record(
                    key=key,
                    session_id=session_id,
                    context=context,
                    contributors=contributors,
                    minimum=minimum,
                    root=root,
                )
            except SessionReused:
                assert root != recorder.ROOT
            else:
                assert root == recorder.ROOT


@pytest.mark.parametrize(
    ("name", "refused"),
    [(recorder.SESSIONS, True), (recorder.SECOND_SESSIONS, False), (recorder.FIRST_SESSIONS, False)],
)
def test_recorded_committee_is_the_only_one_under_its_context(name: str, refused: bool, tmp_path: Path) -> None:
    """An earlier format does not say which committee a session had, so nothing is refused after a migration."""
    path = private_copy(STORES / name, tmp_path / "store")
    with SessionStore(path) as store:
        store.record(recorder.CLIENT, bytes(16), 0, context=recorder.CONTEXT, committee=recorder.COMMITTEE)
        store.record(recorder.CLIENT, bytes(17), 0, context=b"model B", committee=bytes(32))
        try:
            store.record(recorder.CLIENT, bytes(18), 0, context=recorder.CONTEXT, committee=bytes(32))
        except UnsafeSession:
            assert refused
        else:
            assert not refused


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
            ((b"model C", tuple(range(9, 19))), (b"model A", tuple(range(20))), (b"model A", tuple(range(40, 60))))
        ):
            store.record(
                key=recorder.SHARE,
                session_id=bytes([number]) * 16,
                context=context,
                contributors=contributors,
                minimum=5,
            )


def test_recorded_batches_are_opened_again_and_others_only_of_other_clients(tmp_path: Path) -> None:
    path = private_copy(STORES / recorder.OPENINGS, tmp_path / "store")
    key, session_id, context, minimum = recorder.BATCHED
    (first, clients, weights), (second, others, _) = recorder.BATCHES
    cases = (
        (first, clients, weights, None),
        (second, others, (1, 1, 1, 1), None),
        (bytes(32), others, (4, 4, 4, 4), SessionReused),
        (bytes(32), clients, (1, 1, 1, 1, 1), SessionReused),
        (bytes(32), (*clients, *others), (), UnsafeOpening),
        (bytes(32), (109, 110), (4, 4), None),
    )
    with OpeningStore(path) as store:
        for root, contributors, its_weights, refused in cases:
            with nullcontext() if refused is None else pytest.raises(refused):
                store.record(
                    key=key,
                    session_id=session_id,
                    context=context,
                    contributors=contributors,
                    minimum=minimum,
                    root=root,
                    weights=its_weights,
                    batches=True,
                )
