"""The participations in a store of sessions: counted in the write that records the step, and never lost by a kill."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ParameterError, ParticipationRefused, SessionReused
from protocols.replay import MemoryRecord
from secagg.storage.session_store import SessionStore, SessionStoreCorrupt, SessionStoreError, SessionStoreLocked
from secagg.storage.store import Store
from tests.vectors.record_stores import ANSWERED, FIRST_SESSIONS, SECOND_SESSIONS
from tests.vectors.recorded import VECTORS, private_copy

pytestmark = pytest.mark.slow

ME, OTHER = bytes(range(32)), bytes(32)
REPOSITORY = Path(__file__).parents[3]
FIRST: Final = VECTORS / "stores" / FIRST_SESSIONS
SECOND: Final = VECTORS / "stores" / SECOND_SESSIONS


def session(number: int) -> bytes:
    return b"session number %02d" % number


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


def test_session_counts_from_the_step_that_sends_the_vector_and_once(path: Path) -> None:
    with SessionStore.create(path) as store:
        store.record(ME, session(1), 0, cap=1)
        store.record(ME, session(1), 1, cap=1)
        assert store.participations(ME) == 0
        store.record(ME, session(1), 2, vector=True, cap=1)
        assert store.participations(ME) == 1
        store.record(ME, session(1), 3, cap=1)
        with pytest.raises(SessionReused):
            store.record(ME, session(1), 2, vector=True, cap=1)
        store.record(ME, session(1), 4, vector=True, cap=1)
        assert (store.participations(ME), store.participations(OTHER)) == (1, 0)
    with SessionStore(path) as store:
        assert store.participations(ME) == 1


def test_cap_ends_every_session_that_does_not_count_yet(path: Path) -> None:
    """Two sessions begin while there is room for one. The one that is refused has not used up anything."""
    with SessionStore.create(path) as store:
        for number in (1, 2):
            store.record(ME, session(number), 0, cap=1)
        store.record(ME, session(1), 1, vector=True, cap=1)
        for number, step, vector in ((2, 1, True), (2, 1, False), (3, 0, False), (3, 0, True)):
            with pytest.raises(ParticipationRefused, match=r"cap of 1, found 1\. Let the session go on without"):
                store.record(ME, session(number), step, vector=vector, cap=1)
        store.record(OTHER, session(3), 0, vector=True, cap=1)
        store.record(ME, session(1), 2, cap=1)
        store.record(ME, session(2), 1, vector=True, cap=2)
        store.record(ME, session(3), 0, vector=True)
        assert (store.participations(ME), store.participations(OTHER)) == (3, 1)


@pytest.mark.parametrize("cap", [0, -1, True, 1.0, "2", 10**400 * -1])
def test_cap_that_is_none_is_refused_and_the_store_stays_open(path: Path, cap: object) -> None:
    with SessionStore.create(path) as store:
        for record in (store, MemoryRecord()):
            with pytest.raises(ParameterError, match="cap: expected an int of at least 1, or None"):
                record.record(ME, session(1), 0, cap=cap)  # type: ignore[arg-type]  # That is the test.
        with pytest.raises(ParameterError, match="vector: expected a bool"):
            store.record(ME, session(1), 0, vector=1)  # type: ignore[arg-type]  # That is the test.
        with pytest.raises(ParameterError, match="identity"):
            store.participations(ME[1:])
        store.record(ME, session(1), 0, cap=10**400)


@settings(deadline=None, max_examples=12)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([ME, OTHER]),
            st.integers(1, 4),
            st.integers(0, 3),
            st.booleans(),
            st.sampled_from([None, 1, 2, 3]),
        ),
        max_size=30,
    ),
    st.integers(0, 30),
)
def test_store_and_record_in_memory_do_the_same(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[bytes, int, int, bool, int | None]], reopened_at: int
) -> None:
    """And the count never goes beyond a cap that every call has."""
    path = tmp_path_factory.mktemp("store") / "sessions"
    store, memory = SessionStore.create(path), MemoryRecord()
    most = {
        who: max((5 if cap is None else cap for each, _, _, _, cap in asked if each == who), default=0)
        for who in (ME, OTHER)
    }
    for index, (identity, number, step, vector, cap) in enumerate(asked):
        if index == reopened_at:
            store.close()
            store = SessionStore(path)
        ends = []
        for record in (store, memory):
            try:
                record.record(identity, session(number), step, vector=vector, cap=cap)
                ends.append("recorded")
            except (SessionReused, ParticipationRefused) as error:
                ends.append(type(error).__name__)
        assert ends[0] == ends[1]
        for who in (ME, OTHER):
            assert store.participations(who) == memory.participations(who) <= most[who]
    store.close()


def test_count_is_found_by_the_primary_key(path: Path) -> None:
    with SessionStore.create(path) as store:
        statement = "SELECT COUNT(*) FROM sessions WHERE identity = ?1 AND counted = 1"
        plan = " ".join(str(row[3]) for row in store._run(f"EXPLAIN QUERY PLAN {statement}", ME))
    assert plan == "SEARCH sessions USING PRIMARY KEY (identity=?)"


# Several processes, and processes that are killed.

TAKING_PART = textwrap.dedent("""
    import os, sys
    from protocols.errors import ParticipationRefused
    from secagg.storage.session_store import SessionStore, SessionStoreLocked
    taken, number = 0, 0
    while number < 12:
        try:
            with SessionStore(sys.argv[1]) as store:
                store.record(bytes(range(32)), os.urandom(16), 0, vector=True, cap=7)
                taken += 1
        except ParticipationRefused:
            pass
        except SessionStoreLocked:
            continue
        number += 1
    print(taken)
""")


def test_two_processes_count_together(path: Path) -> None:
    SessionStore.create(path).close()
    children = [
        subprocess.Popen([sys.executable, "-c", TAKING_PART, path], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
        for _ in range(2)
    ]
    taken = [int(child.communicate()[0]) for child in children]
    assert sum(taken) == 7
    with SessionStore(path) as store:
        assert store.participations(ME) == 7


COUNTING = textwrap.dedent("""
    import sys
    from secagg.storage.session_store import SessionStore
    with SessionStore(sys.argv[1]) as store:
        for number in range(10**6):
            store.record(bytes(range(32)), b"%016d" % number, 0)
            store.record(bytes(range(32)), b"%016d" % number, 1, vector=True)
            print(number, flush=True)
""")


def test_participations_of_a_killed_process_are_those_that_it_told_or_one_more(path: Path) -> None:
    SessionStore.create(path).close()
    with subprocess.Popen(
        [sys.executable, "-c", COUNTING, path], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(10)]
        child.kill()
        assert child.wait() == -signal.SIGKILL
        told += [int(line) for line in child.stdout.read().splitlines()]
    with SessionStore(path) as store:
        assert len(told) <= store.participations(ME) <= len(told) + 1


def rows(path: Path) -> tuple[int, list[tuple[bytes, bytes, int]]]:
    """Return a store's format and the steps in it, by SQLite alone, which rolls back what was half written."""
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return version, connection.execute("SELECT identity, session_id, round FROM sessions").fetchall()


def killed_at_statement(path: Path, use: str, count: int) -> bool:
    """Open a store in a child that is killed before its statement `count`; return whether it was."""
    child = os.fork()
    if not child:
        done, run = 0, SessionStore._run

        def counted(store: Store, statement: str, *parameters: object) -> sqlite3.Cursor:
            nonlocal done
            if done == count:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1
            return run(store, statement, *parameters)

        SessionStore._run = counted  # type: ignore[assignment, method-assign]  # In this child only.
        with SessionStore(path) as store:
            if use == "record":
                store.record(ME, session(1), 0, cap=3)
                store.record(ME, session(1), 1, vector=True, cap=3)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0


def kills(path: Path, tmp_path: Path, use: str) -> Iterator[Path]:
    """Yield copies of a store whose user was killed, before each of its statements in turn."""
    count, struck = 0, True
    while struck:
        copy = private_copy(path, tmp_path / f"killed-{count}")
        struck = killed_at_statement(copy, use, count)
        yield copy
        count += 1
    assert count > 10


def test_store_that_is_killed_at_any_statement_counts_no_less_than_was_answered(path: Path, tmp_path: Path) -> None:
    """A step and its count are never apart: after a kill there is both or neither."""
    SessionStore.create(path).close()
    seen = set()
    for copy in kills(path, tmp_path, "record"):
        steps = rows(copy)[1]
        with SessionStore(copy) as store:
            seen.add((max((step for _, _, step in steps), default=-1), store.participations(ME)))
    assert seen == {(-1, 0), (0, 0), (1, 1)}


@pytest.mark.parametrize(("first", "version", "counted"), [(FIRST, 1, 2), (SECOND, 2, 1)])
def test_migration_that_is_killed_at_any_statement_leaves_one_of_the_two_formats(
    tmp_path: Path, first: Path, version: int, counted: int
) -> None:
    versions = []
    for copy in kills(first, tmp_path, "open"):
        found_version, found = rows(copy)
        assert sorted(found) == sorted(ANSWERED)
        versions.append(found_version)
        for _ in range(2):
            with SessionStore(copy) as store:
                assert (store.participations(ME), rows_of(store)) == (counted, sorted(ANSWERED))
    assert versions == sorted(versions)
    assert set(versions) == {version, SessionStore.format_version}


def rows_of(store: SessionStore) -> list[tuple[bytes, bytes, int]]:
    return sorted((identity, session_id, number) for identity, session_id, number, *_ in store._run(store.rows))


@pytest.mark.parametrize("written", [0, 1024, 9000])
def test_migration_on_a_full_disk_leaves_one_of_the_two_formats(tmp_path: Path, written: int) -> None:
    """A limit on the size of files ends the migration in a child. Opened with room, the store has everything."""
    copy = private_copy(FIRST, tmp_path / "store")
    code = (
        "import resource, signal, sys; from secagg.storage.session_store import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({written}, {written}))\n"
        "try: SessionStore(sys.argv[1])\nexcept SessionStoreUnavailable: print('refused')"
    )
    child = subprocess.run([sys.executable, "-c", code, copy], capture_output=True, text=True, cwd=REPOSITORY)
    assert child.stdout in ("", "refused\n"), child.stderr
    with SessionStore(copy) as store:
        assert (store.participations(ME), rows_of(store)) == (2, sorted(ANSWERED))


@pytest.mark.parametrize(
    "statements",
    [
        ("UPDATE sessions SET round = 0",),
        ("UPDATE sessions SET identity = zeroblob(32) WHERE round = 3",),
        ("UPDATE sessions SET digest = zeroblob(32)",),
        ("PRAGMA user_version = 0",),
        ("PRAGMA user_version = 2",),
        ("PRAGMA application_id = 7",),
        ("ALTER TABLE sessions ADD COLUMN counted INTEGER",),
        ("CREATE TABLE other (a)",),
        ("DROP TABLE sessions",),
    ],
)
def test_altered_store_of_the_first_format_is_refused_and_unchanged(
    tmp_path: Path, statements: tuple[str, ...]
) -> None:
    copy = private_copy(FIRST, tmp_path / "store")
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    before = copy.read_bytes()
    with pytest.raises(SessionStoreCorrupt):
        SessionStore(copy)
    assert copy.read_bytes() == before


def test_damaged_store_of_the_first_format_is_refused_or_forgets_nothing(tmp_path: Path) -> None:
    """Any one byte may be damaged."""
    content, refusals, path = FIRST.read_bytes(), 0, tmp_path / "store"
    path.touch(mode=0o600)
    for position in range(0, len(content), 101):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x41]) + content[position + 1 :])
        try:
            with SessionStore(path) as store:
                assert (store.participations(ME), rows_of(store)) == (2, sorted(ANSWERED))
        except SessionStoreError:
            refusals += 1
    assert refusals > 5


def test_store_of_the_first_format_in_use_is_not_migrated(tmp_path: Path) -> None:
    copy = private_copy(FIRST, tmp_path / "store")
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SessionStoreLocked):
            SessionStore(copy)
    assert rows(copy)[0] == 1


def test_older_copy_of_a_store_has_forgotten_a_participation(path: Path, tmp_path: Path) -> None:
    """Nothing detects it, as the documentation says: the copy lets the client take part once more than its cap."""
    SessionStore.create(path).close()
    older = private_copy(path, tmp_path / "older")
    for each in (path, older):
        with SessionStore(each) as store:
            store.record(ME, session(1 if each is path else 2), 0, vector=True, cap=1)
            assert store.participations(ME) == 1


KILLING = textwrap.dedent("""
    import ctypes, itertools, os, shutil, sqlite3, sys
    from secagg.storage.session_store import SessionStore
    library, source, copy = ctypes.CDLL(sys.argv[1]), sys.argv[2], sys.argv[3]
    me, ends = bytes(range(32)), []
    for call in itertools.count():
        shutil.copy(source, copy)
        child = os.fork()
        if not child:
            library.fault_arm(31, ctypes.c_long(call), 0, 0)
            with SessionStore(copy) as store:
                store.record(me, b"session number 10", 0, cap=4)
                store.record(me, b"session number 10", 1, vector=True, cap=4)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with SessionStore(copy) as store:
            rows = {row[1]: row[2:4] for row in store._run(store.rows) if row[0] == me}
            ends.append((rows.get(b"session number 10"), store.participations(me)))
        if status == 0:
            break
    print(len(ends), sorted(set(ends), key=str), ends[-1])
""")


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="preloads a library made by cc")
def test_store_that_is_killed_at_any_call_of_the_system_keeps_its_counts(tmp_path: Path) -> None:
    """A kill before every write, sync, cut and removal of a file, while a store is migrated and used."""
    library, source = tmp_path / "faults.so", REPOSITORY / "tests" / "support" / "failing_disk.c"
    made = [str(shutil.which("cc")), "-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(made, check=True)
    run = subprocess.run(
        [sys.executable, "-c", KILLING, library, FIRST, tmp_path / "store"],
        env=os.environ | {"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert run.returncode == 0, run.stderr
    calls, _, ends = run.stdout.partition(" ")
    assert int(calls) > 20
    assert ends == "[((0, 0), 2), ((1, 1), 3), (None, 2)] ((1, 1), 3)\n"
