import hashlib
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ParameterError, SessionReused
from secagg.storage.session_store import (
    _LATEST,
    SessionStore,
    SessionStoreCorrupt,
    SessionStoreError,
    SessionStoreLocked,
    SessionStoreUnavailable,
)

pytestmark = pytest.mark.slow

ME, OTHER = bytes(range(32)), bytes(32)
ONE, TWO = b"a session's id 1", b"a session's id 2"
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions of client #1?.sqlite"


def answers(store: SessionStore, session_id: bytes, number: int, identity: bytes = ME) -> bool:
    try:
        store.record(identity, session_id, number)
    except SessionReused:
        return False
    return True


def test_store_lets_every_round_be_answered_once_and_in_order(path: Path) -> None:
    with SessionStore.create(path) as store:
        assert not answers(store, ONE, 1)
        assert [answers(store, ONE, number) for number in (0, 0, 1, 1, 0, 4, 3, 4, 5)] == [
            True, False, True, False, False, True, False, False, True
        ]  # fmt: skip
        assert answers(store, TWO, 0)
        assert not answers(store, ONE, 5, OTHER)
        assert answers(store, ONE, 0, OTHER)


def test_store_survives_being_closed(path: Path) -> None:
    with SessionStore.create(path) as store:
        assert answers(store, ONE, 0)
        assert answers(store, ONE, 2)
    for _ in range(2):
        with SessionStore(path) as store:
            assert not any(answers(store, ONE, number) for number in (0, 1, 2))
    with SessionStore(path) as store:
        assert answers(store, ONE, 3)
        assert answers(store, TWO, 0)
    with SessionStore(path) as store:
        assert not answers(store, ONE, 3)
        assert not answers(store, TWO, 0)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from([ME, OTHER]), st.sampled_from([ONE, TWO]), st.integers(0, 3)), max_size=25),
    st.integers(0, 25),
)
def test_store_does_as_the_rule_says(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[bytes, bytes, int]], reopened_at: int
) -> None:
    path = tmp_path_factory.mktemp("store") / "sessions"
    store, highest = SessionStore.create(path), dict[tuple[bytes, bytes], int]()
    for index, (identity, session_id, number) in enumerate(asked):
        if index == reopened_at:
            store.close()
            store = SessionStore(path)
        before = highest.get((identity, session_id))
        right = number == 0 if before is None else number > before
        assert answers(store, session_id, number, identity) is right
        if right:
            highest[identity, session_id] = number
    store.close()


def serial(number: int) -> bytes:
    """Return a session id that begins with a serial number, as those of an engine do."""
    return number.to_bytes(8, "big") + hashlib.sha256(b"%d" % number).digest()[:24]


def test_store_tells_the_greatest_session_id_of_an_identity(path: Path) -> None:
    with SessionStore.create(path) as store:
        assert store.latest(ME) is None
        for number in (3, 2**40, 7, 255, 256):
            assert answers(store, serial(number), 0)
        assert answers(store, serial(2**63), 0, OTHER)
        assert answers(store, serial(7), 1)
        assert not answers(store, serial(2**50), 1)
        assert (store.latest(ME), store.latest(OTHER)) == (serial(2**40), serial(2**63))
    with SessionStore(path) as store:
        assert (store.latest(ME), store.latest(OTHER), store.latest(b"k" * 32)) == (serial(2**40), serial(2**63), None)
        assert answers(store, serial(2**40 + 1), 0)
        assert store.latest(ME) == serial(2**40 + 1)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.sampled_from([ME, OTHER]), st.binary(min_size=16, max_size=18)), max_size=15))
def test_greatest_session_id_is_that_of_byte_order(
    tmp_path_factory: pytest.TempPathFactory, recorded: list[tuple[bytes, bytes]]
) -> None:
    """The order of Python's bytes, in which an id comes after all of its beginnings."""
    with SessionStore.create(tmp_path_factory.mktemp("store") / "sessions") as store:
        for identity, session_id in recorded:
            answers(store, session_id, 0, identity)
        for identity in (ME, OTHER):
            assert store.latest(identity) == max((each for who, each in recorded if who == identity), default=None)


def test_greatest_session_id_is_found_without_reading_all_sessions(path: Path) -> None:
    """By the primary key: SQLite's plan has a search, and neither a scan nor a sort."""
    with SessionStore.create(path) as store:
        assert answers(store, ONE, 0)
    connection = sqlite3.connect(path)
    plan = " ".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {_LATEST}", (ME,)))
    connection.close()
    assert plan == "SEARCH sessions USING PRIMARY KEY (identity=?)"


def test_store_that_cannot_be_read_tells_no_session_id(path: Path) -> None:
    store = SessionStore.create(path)
    for wrong in (ME[:31], bytearray(ME), None):
        with pytest.raises(ParameterError, match="identity"):
            store.latest(wrong)  # type: ignore[arg-type]  # that is the test
    assert store.latest(ME) is None
    path.rename(path.with_name("moved"))
    with pytest.raises(SessionStoreUnavailable):
        store.latest(ME)
    with pytest.raises(SessionStoreUnavailable, match="closed"):
        store.latest(ME)


def test_store_refusal_names_the_session_and_the_round(path: Path) -> None:
    with SessionStore.create(path) as store:
        store.record(ME, ONE, 0)
        with pytest.raises(SessionReused, match=rf"session {ONE.hex()}: .* found step 0 again .* Use a new session"):
            store.record(ME, ONE, 0)
        store.record(ME, ONE, 1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((ME[:31], ONE, 0), "identity"),
        ((ME + b"x", ONE, 0), "identity"),
        ((bytearray(ME), ONE, 0), "identity"),
        ((ME, ONE[:15], 0), "session_id"),
        ((ME, bytes(65), 0), "session_id"),
        ((ME, "a session's id 1", 0), "session_id"),
        ((ME, ONE, -1), "number: expected the number of a step"),
        ((ME, ONE, 2**31), "number: expected the number of a step"),
        ((ME, ONE, False), "number: expected the number of a step"),
        ((ME, ONE, 0.0), "number: expected the number of a step"),
    ],
)
def test_store_refuses_what_is_no_step_and_stays_open(path: Path, arguments: Any, named: str) -> None:
    with SessionStore.create(path) as store:
        with pytest.raises(ParameterError, match=named):
            store.record(*arguments)
        assert answers(store, ONE, 0)


def test_store_has_one_user(path: Path) -> None:
    with SessionStore.create(path) as store:
        with pytest.raises(SessionStoreLocked, match="only user"):
            SessionStore(path)
        code = (
            "import sys; from secagg.storage.session_store import *\n"
            "try: SessionStore(sys.argv[1])\nexcept SessionStoreLocked: print('locked')"
        )
        other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, cwd=REPOSITORY)
        assert other.stdout == "locked\n", other.stderr
        assert answers(store, ONE, 0)
    SessionStore(path).close()


def test_store_is_not_for_a_forked_child(path: Path) -> None:
    with SessionStore.create(path) as store:
        child = os.fork()
        if not child:
            try:
                store.record(ME, ONE, 0)
            except SessionStoreUnavailable:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert answers(store, ONE, 0)
        assert answers(store, ONE, 1)
    with SessionStore(path) as store:
        assert not answers(store, ONE, 1)


@pytest.mark.parametrize("recorded", [0, 3])
def test_store_that_was_moved_or_replaced_records_nothing_more(path: Path, recorded: int) -> None:
    """The file is moved or replaced while it is open, so records would be lost.

    Every further record must be refused.
    """
    older = path.with_name("older")
    SessionStore.create(path).close()
    shutil.copy(path, older)
    for replaced in (False, True):
        with SessionStore(path) as store:
            for number in range(recorded):
                store.record(ME, TWO if replaced else ONE, number)
            path.rename(path.with_name("moved"))
            if replaced:
                shutil.copy(older, path)
            with pytest.raises(SessionStoreUnavailable):
                store.record(ME, b"yet another session", 0)
            with pytest.raises(SessionStoreUnavailable, match="closed"):
                store.record(ME, b"yet another session", 0)
        path.unlink(missing_ok=True)
        path.with_name("moved").rename(path)


def test_store_that_is_lost_is_not_replaced_in_silence(path: Path, tmp_path: Path) -> None:
    with pytest.raises(SessionStoreUnavailable, match="unable to open"):
        SessionStore(path)
    assert not path.exists()
    with pytest.raises(SessionStoreError):
        SessionStore(tmp_path)
    path.write_bytes(b"precious")
    with pytest.raises(SessionStoreUnavailable, match="File exists"):
        SessionStore.create(path)
    assert path.read_bytes() == b"precious"
    with pytest.raises(SessionStoreUnavailable, match="No such file"):
        SessionStore.create(tmp_path / "no" / "such" / "folder")


def test_store_is_its_owners_alone(path: Path) -> None:
    SessionStore.create(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_closed_store_refuses(path: Path) -> None:
    store = SessionStore.create(path)
    store.close()
    store.close()
    with pytest.raises(SessionStoreUnavailable, match="closed"):
        store.record(ME, ONE, 0)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "filled"
    with SessionStore.create(path) as store:
        for session_id, number in sessions():
            for earlier in range(number + 1):
                store.record(ME, session_id, earlier, vector=earlier == 1)
    return path


def sessions() -> list[tuple[bytes, int]]:
    return [(b"session number %04d" % index, index % 3) for index in range(60)]


def test_store_with_damaged_bytes_is_refused_or_forgets_nothing(filled: Path, path: Path) -> None:
    """Any one byte may be damaged."""
    content, refusals = filled.read_bytes(), 0
    for position in range(0, len(content), 61):
        damaged = bytearray(content)
        damaged[position] ^= 0x41
        path.write_bytes(damaged)
        try:
            with SessionStore(path) as store:
                assert not any(answers(store, *last) for last in sessions())
                assert not any(answers(store, session_id, 0) for session_id, _ in sessions())
        except SessionStoreError:
            refusals += 1
    assert refusals > len(content) / 61 / 4


@pytest.mark.parametrize("kept", [0, 1, 100, 4096, 5000, 8192, 10**9])
def test_store_that_was_cut_is_refused(filled: Path, path: Path, kept: int) -> None:
    """The file is cut, as after a failed copy. Opening must refuse it (SessionStoreCorrupt)."""
    content = filled.read_bytes()
    path.write_bytes(content[: min(kept, len(content) - 1)])
    with pytest.raises(SessionStoreCorrupt):
        SessionStore(path)


@pytest.mark.parametrize(
    "statements",
    [
        ("UPDATE sessions SET round = 0 WHERE session_id = CAST('session number 0002' AS BLOB)",),
        ("UPDATE sessions SET round = -1 WHERE session_id = CAST('session number 0002' AS BLOB)",),
        ("UPDATE sessions SET identity = zeroblob(32) WHERE session_id = CAST('session number 0002' AS BLOB)",),
        ("UPDATE sessions SET counted = 0 WHERE session_id = CAST('session number 0002' AS BLOB)",),
        ("PRAGMA ignore_check_constraints = ON", "UPDATE sessions SET counted = 2"),
        ("UPDATE sessions SET context = zeroblob(32) WHERE session_id = CAST('session number 0002' AS BLOB)",),
        ("UPDATE sessions SET committee = zeroblob(32) WHERE session_id = CAST('session number 0002' AS BLOB)",),
        ("PRAGMA user_version = 1",),
        ("PRAGMA user_version = 2",),
        ("PRAGMA user_version = 4",),
        ("PRAGMA application_id = 7",),
        ("DROP TABLE sessions",),
        ("CREATE TABLE other (a)",),
        ("CREATE TRIGGER t AFTER INSERT ON sessions BEGIN DELETE FROM sessions; END",),
        ("ALTER TABLE sessions ADD COLUMN other BLOB",),
        (
            "DROP TABLE sessions",
            "CREATE VIEW sessions AS WITH RECURSIVE r(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r) "
            "SELECT x'00' AS identity, x'00' AS session_id, n AS round, x'00' AS digest FROM r",
        ),
        ("PRAGMA writable_schema = ON", "UPDATE sqlite_schema SET sql = 'CREATE TABLE sessions (\x1b[2J'"),
    ],
)
def test_store_that_was_altered_is_refused(filled: Path, path: Path, statements: tuple[str, ...]) -> None:
    """Somebody edits the file with SQLite. Opening must refuse it (SessionStoreCorrupt)."""
    shutil.copy(filled, path)
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    with pytest.raises(SessionStoreCorrupt) as caught:
        SessionStore(path)
    assert str(caught.value).isprintable()


def test_store_that_is_none_is_refused(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)
    with pytest.raises(SessionStoreCorrupt):
        SessionStore(path)


CHILD = textwrap.dedent("""
    import sys
    from secagg.storage.session_store import SessionStore
    with SessionStore(sys.argv[1]) as store:
        for number in range(10**6):
            store.record(bytes(range(32)), b"a session's id 1", number)
            print(number, flush=True)
""")


def test_store_of_a_killed_process_answers_nothing_that_was_recorded(path: Path) -> None:
    """Killed between a record and its use, or within the next record: either way nothing told is answered again."""
    SessionStore.create(path).close()
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, path], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(20)]
        child.kill()
        assert child.wait() == -signal.SIGKILL
        told += [int(line) for line in child.stdout.read().splitlines()]
    assert told == list(range(len(told)))
    with SessionStore(path) as store:
        assert not any(answers(store, ONE, number) for number in told)
        assert answers(store, ONE, told[-1] + 2)


WAITING = CHILD.replace("print(number, flush=True)", "print(number, flush=True); sys.stdin.read()")


def test_store_of_a_process_killed_between_record_and_use_counts_the_round(path: Path) -> None:
    SessionStore.create(path).close()
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "0\n"
        with pytest.raises(SessionStoreLocked):
            SessionStore(path)
        child.kill()
        child.wait()
    with SessionStore(path) as store:
        assert not answers(store, ONE, 0)
        assert answers(store, ONE, 1)


HALF_WRITTEN = textwrap.dedent("""
    import os, signal, sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")  # pages reach the file before the commit
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("UPDATE sessions SET round = 0, digest = zeroblob(32)")
    for number in range(200):
        row = "(zeroblob(32), ?, 0, 0, X'', X'', zeroblob(2048))"
        connection.execute(f"INSERT INTO sessions VALUES {row}", (b"%032d" % number,))
    os.kill(os.getpid(), signal.SIGKILL)
""")


def test_store_with_a_half_written_record_is_rolled_back(path: Path) -> None:
    with SessionStore.create(path) as store:
        for number in range(3):
            store.record(ME, ONE, number)
    subprocess.run([sys.executable, "-c", HALF_WRITTEN, path], check=False)
    assert path.with_name(path.name + "-journal").stat().st_size > 0
    with SessionStore(path) as store:
        assert not answers(store, ONE, 2)
        assert answers(store, ONE, 3)
        assert answers(store, b"%032d" % 0, 0, OTHER)


FILLING = textwrap.dedent("""
    import os, resource, signal, sys
    from secagg.storage.session_store import SessionStore, SessionStoreUnavailable
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with SessionStore(sys.argv[1]) as store:
        limit = os.path.getsize(sys.argv[1]) + 20_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            for number in range(10_000):
                store.record(bytes(32), b"%032d" % number, 0)
                print(number, flush=True)
        except SessionStoreUnavailable as error:
            print("refused:", "nothing may be answered" in str(error))
        try:
            store.record(bytes(32), b"yet another session", 0)
        except SessionStoreUnavailable as error:
            print("closed:", "closed" in str(error))
""")


def test_store_on_a_full_disk_refuses_and_keeps_what_it_told(path: Path) -> None:
    SessionStore.create(path).close()
    run = subprocess.run([sys.executable, "-c", FILLING, path], capture_output=True, text=True, cwd=REPOSITORY)
    *numbers, refusal, closed = run.stdout.splitlines()
    assert (refusal, closed) == ("refused: True", "closed: True"), run.stderr
    with SessionStore(path) as store:
        assert len(numbers) > 5
        assert not any(answers(store, b"%032d" % int(number), 0, OTHER) for number in numbers)
        assert answers(store, b"yet another session", 0, OTHER)


def test_store_that_cannot_be_written_refuses(path: Path) -> None:
    """A soft limit of nothing to write stands for a read-only folder, which root may write to."""
    SessionStore.create(path).close()
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with SessionStore(path) as store:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
            with pytest.raises(SessionStoreUnavailable, match="nothing may be answered"):
                store.record(ME, ONE, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    with SessionStore(path) as store:
        assert answers(store, ONE, 0)


def test_store_serves_all_threads_of_its_process(path: Path) -> None:
    with SessionStore.create(path) as store, ThreadPoolExecutor(8) as pool:
        answered = list(pool.map(lambda number: answers(store, b"session %8d" % (number % 40), 0), range(400)))
    assert sum(answered) == 40


def test_damage_that_is_no_unicode_is_a_damaged_store(path: Path) -> None:
    SessionStore.create(path).close()
    whole, refusals = path.read_bytes(), 0
    for position in range(0, min(len(whole), 4096), 3):
        for value in (0x80, 0xFF):
            path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            try:
                SessionStore(path).close()
            except SessionStoreError:
                refusals += 1
    assert refusals > 50
