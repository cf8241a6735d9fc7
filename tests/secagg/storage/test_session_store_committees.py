"""The committees in a session store: a client's vector goes to one committee under one context, also after restarts."""

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ParameterError, ParticipationRefused, SessionReused, UnsafeSession
from protocols.replay import MemoryRecord
from secagg.storage.session_store import SessionStore

ME, OTHER = bytes(range(32)), bytes(32)
FIRST, SECOND = b"c" * 32, b"d" * 32
Record = SessionStore | MemoryRecord


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


def session(number: int) -> bytes:
    return b"session number %02d" % number


def says(
    record: Record,
    number: int,
    committee: bytes,
    *,
    step: int = 0,
    vector: bool = True,
    context: bytes = b"round 1",
    identity: bytes = ME,
    cap: int | None = None,
) -> str:
    """Return "yes", or the name of the refusal."""
    try:
        record.record(identity, session(number), step, vector=vector, cap=cap, context=context, committee=committee)
    except (SessionReused, ParticipationRefused, UnsafeSession) as error:
        return type(error).__name__
    return "yes"


@pytest.mark.parametrize("reopened", [False, True])
def test_second_committee_under_one_context_is_refused(path: Path, *, reopened: bool) -> None:
    """A server names a second committee for the same inputs, also after the client was started again.

    The record must refuse (UnsafeSession), and note nothing.
    """
    store = SessionStore.create(path)
    assert says(store, 1, FIRST) == "yes"
    if reopened:
        store.close()
        store = SessionStore(path)
    assert says(store, 2, SECOND) == "UnsafeSession"
    assert says(store, 2, SECOND, vector=False) == "UnsafeSession"
    assert says(store, 2, SECOND, context=b"round 2") == "yes"
    assert says(store, 3, FIRST, context=b"round 2") == "UnsafeSession"
    assert says(store, 3, FIRST) == "yes"
    assert says(store, 4, SECOND, identity=OTHER) == "yes"
    assert store.participations(ME) == 3
    store.close()


def test_session_without_a_vector_binds_nothing(path: Path) -> None:
    """Nothing that depends on the vector was sent to the first committee, so it cannot open anything."""
    with SessionStore.create(path) as store:
        assert says(store, 1, FIRST, vector=False) == "yes"
        assert says(store, 3, SECOND) == "yes"
        assert says(store, 1, FIRST, step=1) == "UnsafeSession"


@pytest.mark.parametrize(("first", "second"), [(FIRST, b""), (b"", FIRST)])
def test_session_without_a_committee_and_one_with_are_kept_apart(path: Path, first: bytes, second: bytes) -> None:
    """A server has the clients open one sum of a context, and a committee another one without one client.

    No party knows both sets of contributors, so the client must refuse.
    """
    with SessionStore.create(path) as store:
        assert says(store, 1, first) == "yes"
        assert says(store, 2, first) == "yes"
        assert says(store, 3, second) == "UnsafeSession"
        assert says(store, 4, second, context=b"round 2") == "yes"


def test_default_context_is_one_context_too(path: Path) -> None:
    with SessionStore.create(path) as store:
        assert says(store, 1, FIRST, context=b"") == "yes"
        assert says(store, 2, SECOND, context=b"") == "UnsafeSession"


@pytest.mark.parametrize("committee", [b"c", b"c" * 31, b"c" * 33, bytearray(32), "c" * 32])
def test_committee_of_another_length_or_type_is_refused_and_the_store_stays_open(path: Path, committee: object) -> None:
    with SessionStore.create(path) as store:
        with pytest.raises(ParameterError, match="committee: expected 32 to 32 bytes"):
            says(store, 1, committee)  # type: ignore[arg-type]  # that is the test
        with pytest.raises(ParameterError, match="context: expected bytes, found str"):
            says(store, 1, FIRST, context="round 1")  # type: ignore[arg-type]  # that is the test
        assert says(store, 1, FIRST) == "yes"


CALL: Final = st.tuples(
    st.sampled_from([ME, OTHER]),
    st.integers(1, 5),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from([None, 2]),
)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(CALL, max_size=25),
    st.lists(
        st.tuples(st.sampled_from([b"", b"round 1"]), st.sampled_from([b"", FIRST, SECOND])), min_size=6, max_size=6
    ),
    st.integers(0, 25),
)
def test_store_does_with_committees_as_the_record_in_memory(
    tmp_path_factory: pytest.TempPathFactory,
    asked: list[tuple[bytes, int, int, bool, int | None]],
    sessions: list[tuple[bytes, bytes]],
    reopened_at: int,
) -> None:
    """Each session has one context and one committee, as its id says."""
    path = tmp_path_factory.mktemp("store") / "sessions"
    store, memory = SessionStore.create(path), MemoryRecord()
    for index, (identity, number, step, vector, cap) in enumerate(asked):
        if index == reopened_at:
            store.close()
            store = SessionStore(path)
        context, committee = sessions[number]
        said = [
            says(record, number, committee, step=step, vector=vector, context=context, identity=identity, cap=cap)
            for record in (store, memory)
        ]
        assert said[0] == said[1]
        assert store.participations(identity) == memory.participations(identity)
    store.close()


@pytest.mark.parametrize("durable", [True, False])
def test_later_step_of_a_session_does_not_change_its_context_or_committee(path: Path, *, durable: bool) -> None:
    """A session id comes back at a later step with another context: what was sent under the first one still counts."""
    with SessionStore.create(path) as store:
        record: Record = store if durable else MemoryRecord()
        assert says(record, 1, FIRST) == "yes"
        says(record, 1, SECOND, step=1, vector=False, context=b"round 2")
        assert says(record, 2, SECOND) == "UnsafeSession"
