"""The roots in a store of openings: the same is opened again, and nothing else. Stores without roots become such."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ParameterError, SessionReused, UnsafeOpening
from protocols.replay import MemoryOpenings
from secagg.storage.opening_store import OpeningStore
from secagg.storage.store import Store, StoreCorrupt, StoreLocked
from tests.vectors.record_stores import FIRST_OPENINGS, OPENED
from tests.vectors.recorded import VECTORS, private_copy

KEY, OTHER = bytes(range(32)), bytes(32)
ONE, TWO = b"a session's id 1", b"a session's id 2"
ROOT, ROOT_2 = b"r" * 32, b"s" * 32
ALL: Final = tuple(range(20))
FIRST: Final = VECTORS / "stores" / FIRST_OPENINGS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "openings"


def opens(
    record: OpeningStore | MemoryOpenings,
    session_id: bytes,
    root: bytes,
    contributors: tuple[int, ...] = ALL,
    *,
    key: bytes = KEY,
    context: bytes = b"round 1",
    minimum: int = 5,
    weights: tuple[int, ...] = (),
    batches: bool = False,
) -> str:
    """Return what the record says: "yes", or the name of its refusal."""
    try:
        record.record(
            key=key,
            session_id=session_id,
            context=context,
            contributors=contributors,
            minimum=minimum,
            root=root,
            weights=weights,
            batches=batches,
        )
    except (SessionReused, UnsafeOpening) as error:
        return type(error).__name__
    return "yes"


@pytest.mark.parametrize("reopened", [False, True])
def test_same_root_is_opened_again_and_no_other(path: Path, *, reopened: bool) -> None:
    """A member that was started again signs what it has signed. The server must not get another root from it."""
    store = OpeningStore.create(path)
    assert opens(store, ONE, ROOT) == "yes"
    if reopened:
        store.close()
        store = OpeningStore(path)
    for _ in range(2):
        assert opens(store, ONE, ROOT) == "yes"
        assert opens(store, ONE, ROOT_2) == "SessionReused"
        assert opens(store, ONE, ROOT_2, ALL[:10]) == "SessionReused"
        assert opens(store, ONE, b"") == "SessionReused"
    assert opens(store, ONE, ROOT_2, key=OTHER) == "yes"
    assert opens(store, TWO, ROOT) == "yes"
    assert opens(store, b"a session's id 3", ROOT, ALL[1:]) == "UnsafeOpening"
    store.close()


def test_session_recorded_without_a_root_is_not_opened_again_with_one(path: Path) -> None:
    with OpeningStore.create(path) as store:
        assert opens(store, ONE, b"") == "yes"
        for root in (b"", ROOT):
            assert opens(store, ONE, root) == "SessionReused"


@pytest.mark.parametrize("root", [b"r", b"r" * 31, b"r" * 33, bytearray(32), "r" * 32, 7])
def test_root_of_another_length_or_type_is_refused_and_the_store_stays_open(path: Path, root: object) -> None:
    with OpeningStore.create(path) as store:
        with pytest.raises(ParameterError, match="root: expected 32 to 32 bytes"):
            opens(store, ONE, root)  # type: ignore[arg-type]  # that is the test
        assert opens(store, ONE, ROOT) == "yes"


CALL: Final = st.tuples(
    st.sampled_from([KEY, OTHER]),
    st.sampled_from([ONE, TWO]),
    st.sampled_from([b"", ROOT, ROOT_2]),
    st.sets(st.integers(0, 5), min_size=1).map(lambda clients: tuple(sorted(clients))),
    st.sampled_from([b"round 1", b"round 2"]),
    st.sampled_from([1, 1, 2**64 - 1]),
    st.booleans(),
)


@settings(deadline=None, max_examples=25)
@given(st.lists(CALL, max_size=20), st.integers(0, 20))
def test_store_does_with_roots_as_the_record_in_memory(
    tmp_path_factory: pytest.TempPathFactory,
    asked: list[tuple[bytes, bytes, bytes, tuple[int, ...], bytes, int, bool]],
    reopened_at: int,
) -> None:
    path = tmp_path_factory.mktemp("store") / "openings"
    store, memory = OpeningStore.create(path), MemoryOpenings()
    for index, (key, session_id, root, contributors, context, weight, batches) in enumerate(asked):
        if index == reopened_at:
            store.close()
            store = OpeningStore(path)
        weights = (weight,) * len(contributors) if root else ()
        said = [
            opens(
                record,
                session_id,
                root,
                contributors,
                key=key,
                context=context,
                minimum=2,
                weights=weights,
                batches=batches,
            )
            for record in (store, memory)
        ]
        assert said[0] == said[1]
    store.close()


@pytest.mark.parametrize("kind", ["store", "memory"])
def test_batches_of_a_session_and_sums_of_a_context_are_the_same_or_disjoint(path: Path, kind: str) -> None:
    record: OpeningStore | MemoryOpenings = OpeningStore.create(path) if kind == "store" else MemoryOpenings()
    assert opens(record, ONE, ROOT, (1, 2, 3), weights=(1, 1, 2), batches=True) == "yes"
    assert opens(record, ONE, ROOT_2, (4, 5), batches=True) == "yes"
    assert opens(record, ONE, bytes(32), (6, 7)) == "SessionReused"
    assert opens(record, ONE, b"", (6, 7), batches=True) == "SessionReused"
    # The same clients under another root: a corrupt one of them has handed in a second time.
    assert opens(record, ONE, bytes(32), (1, 2, 3), weights=(1, 1, 2), batches=True) == "SessionReused"
    for contributors, weights in (((1, 2, 3), ()), ((1, 2, 3), (2, 1, 1)), ((3, 4), ()), ((*range(3, 40),), ())):
        for session_id, context in ((ONE, b"round 1"), (ONE, b"round 2"), (TWO, b"round 1")):
            said = opens(record, session_id, bytes(32), contributors, weights=weights, batches=True, context=context)
            again = session_id == ONE and contributors == (1, 2, 3)
            assert said == ("SessionReused" if again else "UnsafeOpening")
    assert opens(record, TWO, b"", tuple(range(3, 40)), minimum=1) == "UnsafeOpening"
    assert opens(record, TWO, bytes(32), (1, 2, 3), weights=(1, 1, 2), key=OTHER) == "yes"
    assert opens(record, TWO, b"", (4, 5)) == "yes"
    assert opens(record, b"a session's id 3", ROOT, tuple(range(3, 40)), context=b"round 2") == "yes"
    if isinstance(record, OpeningStore):
        record.close()


@pytest.mark.parametrize("weights", [(1, 2), (1,), (0, 1, 1), (1, 1, 2**64), (1, 1, 1.0), [1, 1, 1], None])
def test_weights_that_do_not_fit_are_refused_and_the_store_stays_open(path: Path, weights: Any) -> None:
    with OpeningStore.create(path) as store:
        with pytest.raises(ParameterError, match="weights: expected"):
            opens(store, ONE, ROOT, (1, 2, 3), weights=weights)
        with pytest.raises(ParameterError, match="of a sum with a root, or none"):
            opens(store, ONE, b"", (1, 2, 3), weights=(1, 1, 1))
        assert opens(store, ONE, ROOT, (1, 2, 3), weights=(1, 1, 1)) == "yes"


def test_batches_are_taken_over_unless_they_have_clients_in_common(path: Path) -> None:
    second, third = path.with_name("second"), path.with_name("third")
    with OpeningStore.create(path) as one, OpeningStore.create(second) as two, OpeningStore.create(third) as three:
        assert opens(one, ONE, ROOT, (1, 2), batches=True) == "yes"
        assert opens(two, ONE, ROOT_2, (3, 4), weights=(5, 5), batches=True) == "yes"
        assert opens(three, ONE, ROOT_2, (2, 3), batches=True) == "yes"
        one.take_over(two)
        assert opens(one, ONE, ROOT_2, (3, 4), weights=(5, 5), batches=True) == "yes"
        assert opens(one, ONE, bytes(32), (4, 5), batches=True) == "UnsafeOpening"
        with pytest.raises(StoreCorrupt, match="Nothing has been taken over"):
            one.take_over(three)


def test_roots_are_taken_over_and_two_roots_of_one_session_are_a_contradiction(path: Path) -> None:
    second, third = path.with_name("second"), path.with_name("third")
    with OpeningStore.create(second) as other:
        assert opens(other, ONE, ROOT) == "yes"
        with OpeningStore.create(path) as store:
            store.take_over(other)
            store.take_over(other)
            assert opens(store, ONE, ROOT) == "yes"
            assert opens(store, ONE, ROOT_2) == "SessionReused"
        with OpeningStore.create(third) as store:
            assert opens(store, ONE, ROOT_2) == "yes"
            with pytest.raises(StoreCorrupt, match="Nothing has been taken over"):
                store.take_over(other)
    with OpeningStore(third) as store:
        assert opens(store, ONE, ROOT_2) == "yes"


# Stores of the first format.


def rows(path: Path) -> tuple[int, list[tuple[bytes, bytes, int]]]:
    """Return a store's format and the openings in it, by SQLite alone, which rolls back what was half written."""
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return version, connection.execute("SELECT key, session_id, minimum FROM openings").fetchall()


EXPECTED: Final = sorted((key, session_id, minimum) for key, session_id, _, _, minimum in OPENED)


def refuses_all(store: OpeningStore) -> None:
    """Check that the recorded openings are all there: none is opened again, with a root or without."""
    for key, session_id, context, contributors, minimum in OPENED:
        for root in (b"", ROOT):
            said = opens(store, session_id, root, contributors, key=key, context=context, minimum=minimum)
            assert said == "SessionReused"
        said = opens(store, bytes(16), ROOT, contributors[1:], key=key, context=context, minimum=1)
        assert said == "UnsafeOpening"


def killed_at_statement(path: Path, count: int) -> bool:
    """Open a store in a child that is killed before its statement `count`; return whether it was."""
    child = os.fork()
    if not child:
        done, run = 0, OpeningStore._run

        def counted(store: Store, statement: str, *parameters: object) -> sqlite3.Cursor:
            nonlocal done
            if done == count:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1
            return run(store, statement, *parameters)

        OpeningStore._run = counted  # type: ignore[assignment, method-assign]  # In this child only.
        with OpeningStore(path):
            pass
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0


def kills(tmp_path: Path) -> Iterator[Path]:
    """Yield copies of a store of the first format whose user was killed, before each of its statements in turn."""
    count, struck = 0, True
    while struck:
        copy = private_copy(FIRST, tmp_path / f"killed-{count}")
        struck = killed_at_statement(copy, count)
        yield copy
        count += 1
    assert count > 10


def test_migration_of_openings_that_is_killed_at_any_statement_leaves_one_of_the_two_formats(tmp_path: Path) -> None:
    versions = []
    for copy in kills(tmp_path):
        version, found = rows(copy)
        assert sorted(found) == EXPECTED
        versions.append(version)
        for _ in range(2):
            with OpeningStore(copy) as store:
                refuses_all(store)
    assert versions == sorted(versions)
    assert set(versions) == {1, 3}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE openings SET minimum = 1",
        "UPDATE openings SET digest = zeroblob(32)",
        "PRAGMA user_version = 2",
        "PRAGMA user_version = 0",
        "PRAGMA application_id = 7",
        "ALTER TABLE openings ADD COLUMN root BLOB",
        "CREATE TABLE other (a)",
        "DROP TABLE openings",
    ],
)
def test_altered_store_of_openings_of_the_first_format_is_refused_and_unchanged(tmp_path: Path, statement: str) -> None:
    copy = private_copy(FIRST, tmp_path / "store")
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute(statement)
    before = copy.read_bytes()
    with pytest.raises(StoreCorrupt):
        OpeningStore(copy)
    assert copy.read_bytes() == before


def test_store_of_openings_of_the_first_format_in_use_is_not_migrated(tmp_path: Path) -> None:
    copy = private_copy(FIRST, tmp_path / "store")
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreLocked):
            OpeningStore(copy)
    assert rows(copy)[0] == 1
