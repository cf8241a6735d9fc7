import hashlib
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ParameterError, SessionReused, UnsafeOpening
from protocols.replay import MemoryOpenings
from secagg.storage.opening_store import OpeningStore
from secagg.storage.session_store import SessionStore
from secagg.storage.store import StoreCorrupt, StoreError, StoreLocked, StoreUnavailable

pytestmark = pytest.mark.slow

KEY, OTHER = bytes(range(32)), bytes(32)
ONE, TWO = b"a session's id 1", b"a session's id 2"
REPOSITORY = Path(__file__).parents[3]
ALL = tuple(range(20))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "openings of member #1?.sqlite"


def session(number: int) -> bytes:
    return b"session number %06d" % number


def opens(
    record: OpeningStore | MemoryOpenings,
    session_id: bytes,
    contributors: tuple[int, ...] = ALL,
    *,
    key: bytes = KEY,
    context: bytes = b"round 1",
    minimum: int = 5,
) -> str:
    """What the record says: "yes", or the name of its refusal."""
    try:
        record.record(key=key, session_id=session_id, context=context, contributors=contributors, minimum=minimum)
    except (SessionReused, UnsafeOpening) as error:
        return type(error).__name__
    return "yes"


def test_store_that_cannot_be_made_leaves_nothing_behind(path: Path) -> None:
    journal = path.with_name(f"{path.name}-journal")
    journal.mkdir()  # SQLite cannot write one there.
    with pytest.raises(StoreUnavailable, match="cannot be made"):
        OpeningStore.create(path)
    assert list(path.parent.iterdir()) == [journal]
    journal.rmdir()
    OpeningStore.create(path).close()


def test_store_lets_every_session_be_opened_once(path: Path) -> None:
    with OpeningStore.create(path) as store:
        assert opens(store, ONE) == "yes"
        assert opens(store, ONE) == "SessionReused"
        assert opens(store, ONE, (100, 101, 102, 103, 104)) == "SessionReused"
        assert opens(store, ONE, context=b"another") == "SessionReused"
        assert opens(store, TWO) == "yes"
        assert opens(store, ONE, key=OTHER) == "yes"
    for _ in range(2):
        with OpeningStore(path) as store:
            assert opens(store, ONE) == opens(store, TWO) == "SessionReused"


@pytest.mark.parametrize("reopened", [False, True])
def test_store_refuses_sets_that_differ_in_too_few(path: Path, reopened: bool) -> None:
    """A server asks for two sums of one context that differ in few clients, also after the store was closed and opened.

    It must refuse (UnsafeOpening).
    """
    store = OpeningStore.create(path)
    assert opens(store, session(0)) == "yes"
    if reopened:
        store.close()
        store = OpeningStore(path)
    assert opens(store, session(1), ALL[1:]) == "UnsafeOpening"
    assert opens(store, session(1), ALL[:16]) == "UnsafeOpening"
    assert opens(store, session(1), (*ALL[:-1], 50)) == "UnsafeOpening"
    assert opens(store, session(1), (*ALL[:-2], 50, 51)) == "UnsafeOpening"
    assert opens(store, session(1), ALL[1:], context=b"round 2") == "yes"
    assert opens(store, session(2), ALL[1:], key=OTHER) == "UnsafeOpening"  # Its difference is the same.
    assert opens(store, session(2), key=OTHER) == "yes"
    assert opens(store, session(3), ALL[1:], minimum=1) == "UnsafeOpening"  # The first one's own minimum counts too.
    assert opens(store, session(3), ALL[5:]) == "yes"
    assert opens(store, session(4), ALL[6:]) == "UnsafeOpening"  # Apart from the first one, and not from the last.
    assert opens(store, session(4), ALL[10:]) == "yes"
    assert opens(store, session(5)) == "yes"  # The very set that was opened before.
    assert opens(store, session(6), tuple(range(30, 40))) == "yes"
    store.close()


FORMAT_1 = """
    PRAGMA application_id = 6209694; PRAGMA user_version = 1;
    CREATE TABLE openings (key BLOB NOT NULL, session_id BLOB NOT NULL, context BLOB NOT NULL, \
contributors BLOB NOT NULL, minimum INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (key, session_id)) \
STRICT, WITHOUT ROWID;
"""


def old_store(path: Path, *openings: tuple[bytes, bytes, bytes, tuple[int, ...], int]) -> None:
    """A store as it was written when sums were compared within one key: its statements and digests, spelt out."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(FORMAT_1)
    for key, session_id, context, contributors, minimum in openings:
        packed, hashed = struct.pack(f">{len(contributors)}I", *contributors), hashlib.sha256(context).digest()
        sizes = len(session_id).to_bytes(8, "big") + minimum.to_bytes(8, "big")
        digest = hashlib.sha256(key + hashed + sizes + session_id + packed).digest()
        row = (key, session_id, hashed, packed, minimum, digest)
        connection.execute("INSERT INTO openings VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.close()


def test_store_of_before_is_read_and_its_openings_count_for_every_key(path: Path) -> None:
    """Even one that holds what is refused today: two sums of one context that were opened with two shares."""
    old_store(path, (KEY, ONE, b"round 1", ALL, 5), (OTHER, ONE, b"round 1", ALL[1:], 5))
    for _ in range(2):
        with OpeningStore(path) as store:
            assert opens(store, ONE) == opens(store, ONE, key=OTHER) == "SessionReused"
            for key in (KEY, OTHER, b"k" * 32):
                assert opens(store, TWO, ALL[:-1], key=key) == "UnsafeOpening"
                assert opens(store, TWO, ALL[:-1], key=key, minimum=1) == "UnsafeOpening"
    with OpeningStore(path) as store:
        assert opens(store, TWO, ALL[:-1], key=b"k" * 32, context=b"round 2") == "yes"


def test_store_takes_over_those_of_other_keys(path: Path) -> None:
    """A member that has made a store for each key has one for all of them afterwards, on the disk."""
    second = path.with_name("of the second key")
    with OpeningStore.create(path) as store, OpeningStore.create(second) as other:
        assert opens(store, ONE) == opens(other, ONE, ALL[1:], key=OTHER) == "yes"  # Neither knows of the other.
        store.take_over(other)
        store.take_over(other)  # Twice is harmless.
        assert opens(other, TWO, ALL[1:], key=OTHER) == "yes"
    with OpeningStore(path) as store:
        assert opens(store, ONE) == opens(store, ONE, ALL[1:], key=OTHER) == "SessionReused"
        assert opens(store, TWO, ALL[:-1]) == opens(store, TWO, ALL[1:-1], key=OTHER) == "UnsafeOpening"


def test_store_takes_over_nothing_of_one_that_contradicts_it(path: Path) -> None:
    second = path.with_name("another")
    with OpeningStore.create(path) as store, OpeningStore.create(second) as other:
        assert opens(other, b"a session before", ALL[1:]) == opens(other, ONE, ALL[6:]) == opens(store, ONE) == "yes"
        with pytest.raises(StoreCorrupt, match="Nothing has been taken over"):
            store.take_over(other)
        for nothing in (other, path):
            with pytest.raises(ParameterError, match="another OpeningStore"):
                other.take_over(nothing)  # type: ignore[arg-type]  # that is the test
    with OpeningStore(path) as store:
        assert opens(store, b"a session before", ALL[2:], minimum=1) == "UnsafeOpening"
        assert opens(store, b"a session before") == "yes"


def test_store_refuses_in_one_session_and_opens_the_next(path: Path) -> None:
    """What was refused was not opened, so its session may still open the sum of the right clients."""
    with OpeningStore.create(path) as store:
        assert opens(store, ONE) == "yes"
        assert opens(store, TWO, ALL[1:]) == "UnsafeOpening"
        assert opens(store, TWO) == "yes"


CALL = st.tuples(
    st.sampled_from([KEY, OTHER]),
    st.integers(0, 8),
    st.sampled_from([b"", b"round 1"]),
    st.sets(st.integers(0, 6), min_size=1).map(lambda clients: tuple(sorted(clients))),
    st.integers(1, 5),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(CALL, max_size=25), st.integers(0, 25))
def test_store_does_as_the_record_in_memory(
    tmp_path_factory: pytest.TempPathFactory,
    asked: list[tuple[bytes, int, bytes, tuple[int, ...], int]],
    reopened_at: int,
) -> None:
    path = tmp_path_factory.mktemp("store") / "openings"
    store, memory = OpeningStore.create(path), MemoryOpenings()
    for index, (key, number, context, contributors, minimum) in enumerate(asked):
        if index == reopened_at:
            store.close()
            store = OpeningStore(path)
        said = [
            opens(record, session(number), contributors, key=key, context=context, minimum=minimum)
            for record in (store, memory)
        ]
        assert said[0] == said[1]
    store.close()


GOOD: dict[str, Any] = {"key": KEY, "session_id": ONE, "context": b"", "contributors": ALL, "minimum": 5}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", KEY[:31]),
        ("key", bytearray(KEY)),
        ("key", KEY + b"x"),
        ("session_id", ONE[:15]),
        ("session_id", bytes(65)),
        ("session_id", "a session's id 1"),
        ("context", "round 1"),
        ("context", None),
        ("contributors", ()),
        ("contributors", [1, 2, 3]),
        ("contributors", (2, 1)),
        ("contributors", (1, 1)),
        ("contributors", (-1, 1)),
        ("contributors", (1, 2**32 - 1)),
        ("contributors", (1, 2**70, 3)),
        ("contributors", (0, True)),
        ("contributors", (0, 1.0)),
        ("minimum", 0),
        ("minimum", True),
        ("minimum", 2.0),
    ],
)
def test_store_refuses_what_is_no_opening_and_stays_open(path: Path, name: str, value: object) -> None:
    with OpeningStore.create(path) as store:
        with pytest.raises(ParameterError, match=name):
            store.record(**GOOD | {name: value})
        assert opens(store, ONE) == "yes"


def test_store_takes_the_largest_ids_and_any_context(path: Path) -> None:
    with OpeningStore.create(path) as store:
        for number, context in enumerate((b"", b"\0", bytes(10**6))):
            assert opens(store, session(number), (0, 2**32 - 2), context=context) == "yes"
            assert opens(store, session(9), (0, 2**32 - 3), context=context) == "UnsafeOpening"


def test_store_has_one_user(path: Path) -> None:
    with OpeningStore.create(path) as store:
        with pytest.raises(StoreLocked, match="only user"):
            OpeningStore(path)
        code = (
            "import sys; from secagg.storage.opening_store import *; from secagg.storage.store import *\n"
            "try: OpeningStore(sys.argv[1])\nexcept StoreLocked: print('locked')"
        )
        other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, cwd=REPOSITORY)
        assert other.stdout == "locked\n", other.stderr
        assert opens(store, ONE) == "yes"


def test_store_is_not_for_a_forked_child(path: Path) -> None:
    with OpeningStore.create(path) as store:
        child = os.fork()
        if not child:
            try:
                opens(store, ONE)
            except StoreUnavailable:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert opens(store, ONE) == "yes"


def test_store_serves_all_threads_of_its_process(path: Path) -> None:
    """Of sets that are too close to each other, only one is opened: the one that is asked for first."""
    sets = [tuple(client for client in ALL if client != left_out) for left_out in ALL]
    with OpeningStore.create(path) as store, ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda number: opens(store, session(number), sets[number]), range(20)))
    assert sorted(said) == ["UnsafeOpening"] * 19 + ["yes"]


def test_store_is_its_owners_alone_and_never_replaced_in_silence(path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="unable to open"):
        OpeningStore(path)
    assert not path.exists()
    OpeningStore.create(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StoreUnavailable, match="File exists"):
        OpeningStore.create(path)


def test_stores_of_another_kind_are_refused(path: Path) -> None:
    SessionStore.create(path).close()
    with pytest.raises(StoreCorrupt, match="expected a store of openings"):
        OpeningStore(path)
    other = path.with_name("other")
    OpeningStore.create(other).close()
    with pytest.raises(StoreCorrupt, match="expected a session store"):
        SessionStore(other)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "filled"
    with OpeningStore.create(path) as store:
        for number in range(60):
            assert opens(store, session(number), tuple(range(10 * number, 10 * number + 10))) == "yes"
    return path


def test_store_with_damaged_bytes_is_refused_or_forgets_nothing(filled: Path, path: Path) -> None:
    """Any one byte may be damaged."""
    content, refusals = filled.read_bytes(), 0
    for position in range(0, len(content), 61):
        damaged = bytearray(content)
        damaged[position] ^= 0x41
        path.write_bytes(damaged)
        try:
            with OpeningStore(path) as store:
                assert {opens(store, session(number)) for number in range(60)} == {"SessionReused"}
                close = [(*range(10 * number, 10 * number + 9), 10**6) for number in range(60)]
                assert {opens(store, session(99), each) for each in close} == {"UnsafeOpening"}
        except StoreError:
            refusals += 1
    assert refusals > len(content) / 61 / 4


@pytest.mark.parametrize("kept", [0, 1, 100, 4096, 5000, 8192, 10**9])
def test_store_that_was_cut_is_refused(filled: Path, path: Path, kept: int) -> None:
    """The file is cut, as after a failed copy. Opening must refuse it (StoreCorrupt)."""
    content = filled.read_bytes()
    path.write_bytes(content[: min(kept, len(content) - 1)])
    with pytest.raises(StoreCorrupt):
        OpeningStore(path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE openings SET contributors = zeroblob(4) WHERE session_id = CAST('session number 000002' AS BLOB)",
        "UPDATE openings SET context = zeroblob(32) WHERE session_id = CAST('session number 000002' AS BLOB)",
        "UPDATE openings SET key = zeroblob(32) WHERE session_id = CAST('session number 000002' AS BLOB)",
        "PRAGMA user_version = 1",
        "PRAGMA user_version = 4",
        "UPDATE openings SET root = zeroblob(32) WHERE session_id = CAST('session number 000002' AS BLOB)",
        "PRAGMA application_id = 7",
        "DROP TABLE openings",
        "CREATE TABLE other (a)",
        "CREATE TRIGGER t AFTER INSERT ON openings BEGIN DELETE FROM openings; END",
    ],
)
def test_store_that_was_altered_is_refused(filled: Path, path: Path, statement: str) -> None:
    """Somebody edits the file with SQLite. Opening must refuse it (StoreCorrupt)."""
    shutil.copy(filled, path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()
    with pytest.raises(StoreCorrupt):
        OpeningStore(path)


CHILD = textwrap.dedent("""
    import sys
    from secagg.storage.opening_store import OpeningStore
    with OpeningStore(sys.argv[1]) as store:
        for number in range(10**6):
            store.record(
                key=bytes(range(32)), session_id=b"session number %06d" % number, context=b"round 1",
                contributors=tuple(range(10 * number, 10 * number + 10)), minimum=5,
            )
            print(number, flush=True)
""")


def test_store_of_a_killed_process_opens_nothing_that_was_recorded(path: Path) -> None:
    """Killed between a record and its use, or within the next record: nothing told is opened again, or too near it."""
    OpeningStore.create(path).close()
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, path], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(20)]
        with pytest.raises(StoreLocked):
            OpeningStore(path)
        child.kill()
        assert child.wait() == -signal.SIGKILL
        told += [int(line) for line in child.stdout.read().splitlines()]
    assert told == list(range(len(told)))
    with OpeningStore(path) as store:
        assert {opens(store, session(number)) for number in told} == {"SessionReused"}
        close = [tuple(range(10 * number + 1, 10 * number + 10)) for number in told]
        assert {opens(store, session(999_999), each) for each in close} == {"UnsafeOpening"}
        last = len(told) + 1
        assert opens(store, session(last), tuple(range(10 * last, 10 * last + 10))) == "yes"


FILLING = textwrap.dedent("""
    import os, resource, signal, sys
    from secagg.storage.opening_store import OpeningStore
    from secagg.storage.store import StoreUnavailable
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with OpeningStore(sys.argv[1]) as store:
        limit = os.path.getsize(sys.argv[1]) + 40_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            for number in range(10_000):
                store.record(
                    key=bytes(range(32)), session_id=b"session number %06d" % number, context=b"",
                    contributors=tuple(range(100)), minimum=5,
                )
                print(number, flush=True)
        except StoreUnavailable as error:
            print("refused:", "nothing may be answered" in str(error))
""")


def test_store_on_a_full_disk_refuses_and_keeps_what_it_told(path: Path) -> None:
    OpeningStore.create(path).close()
    run = subprocess.run([sys.executable, "-c", FILLING, path], capture_output=True, text=True, cwd=REPOSITORY)
    *numbers, refusal = run.stdout.splitlines()
    assert refusal == "refused: True", run.stderr
    assert len(numbers) > 5
    with OpeningStore(path) as store:
        assert {opens(store, session(int(number))) for number in numbers} == {"SessionReused"}


def test_store_compares_with_all_of_many_openings(path: Path) -> None:
    """150 different sets of 1,000 clients under one context: the next is compared with the first as with the last."""
    sets = [tuple(range(1000 * number, 1000 * number + 1000)) for number in range(150)]
    with OpeningStore.create(path) as store:
        assert {opens(store, session(number), each) for number, each in enumerate(sets)} == {"yes"}
    with OpeningStore(path) as store:
        for each in (sets[0], sets[75], sets[149]):
            assert opens(store, session(10**5), each[:-4]) == "UnsafeOpening"
            assert opens(store, session(10**5), (*each[:-2], 10**6, 10**6 + 1)) == "UnsafeOpening"
        assert opens(store, session(10**5), sets[3]) == "yes"


def test_sum_with_the_greater_minimum_counts_whichever_came_first(tmp_path: Path) -> None:
    """Else who took part on strict terms would be read by a later sum of others on lax ones."""
    strict, lax = tuple(range(1, 7)), (*range(1, 6), 9)
    with OpeningStore.create(tmp_path / "store") as store:
        store.record(key=bytes(32), session_id=b"a" * 16, context=b"", contributors=strict, minimum=6)
        with pytest.raises(UnsafeOpening, match="at least 6 clients, found a difference of 2"):
            store.record(key=bytes(32), session_id=b"b" * 16, context=b"", contributors=lax, minimum=2)
    with OpeningStore(tmp_path / "store") as store, pytest.raises(UnsafeOpening):
        store.record(key=bytes(32), session_id=b"b" * 16, context=b"", contributors=lax, minimum=2)
