"""Committees, what their members bring, and what these remember of what they have opened."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from protocols import (
    Adversary,
    Committee,
    Keyholder,
    MemoryOpenings,
    PaillierSum,
    ParameterError,
    SessionReused,
    UnsafeOpening,
)
from protocols.replay import check_apart
from tests.conformance.cohorts import COMMITTEE, IDS, setting
from tests.support.committee_keys import key_shares, threshold_key

MALICIOUS: Final = Adversary.MALICIOUS
CURIOUS: Final = setting(PaillierSum(), IDS[:4], 3)
KEY, SHARES = threshold_key(1, 3, 2), key_shares(1, 3, 2)


# Committee.


@pytest.mark.parametrize(
    "members",
    [(), (1,), (1, 2), (1, 2, 3, 4), (1, 2, 2), [1, 2, 3], (1, 2, 3.0), (1, 2, True), (1, 2, "3"), (1, 2, None), None],
)
def test_committee_of_other_than_as_many_different_ids_as_shares_is_refused(members: object) -> None:
    with pytest.raises(ParameterError):
        Committee(key=KEY, members=members)  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize("key", [None, b"key", SHARES[0], KEY.public_key])
def test_committee_without_a_threshold_key_is_refused(key: object) -> None:
    with pytest.raises(ParameterError, match="ThresholdKey"):
        Committee(key=key, members=(1, 2, 3))  # type: ignore[arg-type]  # that is the test


def test_committees_members_hold_the_shares_in_their_order() -> None:
    committee = Committee(key=KEY, members=(9, 4, 7))
    assert [committee.index(member) for member in (9, 4, 7)] == [1, 2, 3]


@pytest.mark.parametrize("members", [(1, 2, -1), (1, 2, 2**32 - 1), (1, 2, 2**70)])
def test_session_with_a_committee_of_impossible_ids_is_refused(members: tuple[int, ...]) -> None:
    with pytest.raises(ParameterError, match="committee"):
        replace(CURIOUS.session, committee=Committee(key=KEY, members=members))


@pytest.mark.parametrize("committee", [KEY, COMMITTEE, "committee", 7])
def test_session_with_what_is_no_committee_is_refused(committee: object) -> None:
    with pytest.raises(ParameterError, match="Committee"):
        replace(CURIOUS.session, committee=committee)  # type: ignore[arg-type]  # that is the test


# Keyholder.


class RecordThatCannotBeCalled:
    """An object whose `record` is no method."""

    record = None


@pytest.mark.parametrize(
    "change",
    [
        {"share": None},
        {"share": SHARES[0].to_bytes()},
        {"share": KEY},
        {"openings": None},
        {"openings": object()},
        {"openings": RecordThatCannotBeCalled()},
        {"roster": {}},
        {"roster": {IDS[0]: bytes(32)}},
        {"minimum_contributors": 1},
        {"minimum_contributors": 0},
        {"minimum_contributors": -3},
        {"minimum_contributors": 3.0},
        {"minimum_contributors": True},
        {"minimum_contributors": None},
    ],
)
def test_keyholder_of_anything_else_is_refused(change: dict[str, object]) -> None:
    right: dict[str, Any] = {"share": SHARES[0], "openings": MemoryOpenings(), "minimum_contributors": 2}
    Keyholder(**right)
    with pytest.raises(ParameterError):
        Keyholder(**right | change)


def test_keyholder_shows_nothing_of_its_share() -> None:
    holder = Keyholder(share=SHARES[0], openings=MemoryOpenings(), minimum_contributors=2)
    shown = repr(holder)
    secret = SHARES[0].reveal()
    assert str(secret) not in shown
    assert f"{secret:x}" not in shown
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="secret"):
            attempt(holder)


def test_keyholders_of_different_shares_or_keys_have_different_fingerprints() -> None:
    keyed = [*SHARES, *key_shares(1, 3, 3), *key_shares(1, 5, 3)]
    holders = [Keyholder(share=share, openings=MemoryOpenings(), minimum_contributors=2) for share in keyed]
    assert len({holder.fingerprint for holder in holders}) == len(keyed)
    assert {len(holder.fingerprint) for holder in holders} == {32}
    # It must not depend on what a member may change its mind about.
    assert replace(holders[0], minimum_contributors=9).fingerprint == holders[0].fingerprint


# Openings.

Opening = Callable[[bytes, bytes, tuple[int, ...]], None]


def opening(record: MemoryOpenings, *, key: bytes = b"key", minimum: int = 2) -> Opening:
    def open_sum(session_id: bytes, context: bytes, contributors: tuple[int, ...]) -> None:
        record.record(key=key, session_id=session_id, context=context, contributors=contributors, minimum=minimum)

    return open_sum


@pytest.mark.parametrize(
    ("one", "other", "minimum", "apart"),
    [
        ((1, 2, 3), (1, 2, 3), 5, True),
        ((1, 2, 3), (3, 2, 1), 5, True),
        ((1, 2, 3), (1, 2), 2, False),
        ((1, 2), (1, 2, 3), 2, False),
        ((1, 2, 3), (1, 2, 4), 2, True),
        ((1, 2, 3), (1, 2, 4), 3, False),
        ((1, 2, 3), (4, 5, 6), 6, True),
        ((1, 2, 3), (4, 5, 6), 7, False),
        ((), (1,), 2, False),
    ],
)
def test_sets_are_apart_where_none_or_enough_clients_are_in_one_only(
    one: tuple[int, ...], other: tuple[int, ...], minimum: int, apart: bool
) -> None:
    if apart:
        check_apart(one, other, minimum)
        return
    with pytest.raises(UnsafeOpening, match=f"at least {minimum} clients, found a difference of"):
        check_apart(one, other, minimum)


def test_record_opens_one_sum_a_session_and_share() -> None:
    record = MemoryOpenings()
    first = opening(record)
    first(b"s", b"c", (1, 2, 3))
    for context, contributors in ((b"c", (1, 2, 3)), (b"c", (4, 5, 6)), (b"d", (1, 2, 3))):
        with pytest.raises(SessionReused):
            first(b"s", context, contributors)
    with pytest.raises(UnsafeOpening):  # whichever share opens it
        opening(record, key=b"another")(b"s", b"c", (1, 2))
    opening(record, key=b"another")(b"s", b"c", (1, 2, 3))
    first(b"t", b"c", (1, 2, 3))
    first(b"u", b"d", (1, 2))
    with pytest.raises(UnsafeOpening):
        first(b"v", b"c", (1, 2))
    first(b"v", b"c", (1, 4))  # what was refused has not been recorded


KEYS, SESSIONS, CONTEXTS = (b"k", b"l"), tuple(b"%d" % number for number in range(6)), (b"", b"c")
ATTEMPT = st.tuples(
    st.sampled_from(KEYS),
    st.sampled_from(SESSIONS),
    st.sampled_from(CONTEXTS),
    st.frozensets(st.integers(0, 6), min_size=2),
)


@budget(max_examples=300, deadline=None)
@given(attempts=st.lists(ATTEMPT, max_size=25), minimum=st.integers(2, 5))
def test_no_two_sums_that_a_record_lets_open_give_that_of_a_few(
    attempts: list[tuple[bytes, bytes, bytes, frozenset[int]]], minimum: int
) -> None:
    """Whatever is asked: none of a session and share twice, no two of a context that differ in some, but too few.

    And nothing is refused that these rules allow.
    """
    record = MemoryOpenings()
    opened: list[tuple[bytes, bytes, bytes, frozenset[int]]] = []
    for key, session_id, context, clients in attempts:
        reused = any(earlier[:2] == (key, session_id) for earlier in opened)
        near = any(
            earlier[2] == context and 1 <= len(earlier[3] ^ clients) < minimum  # with this share or another
            for earlier in opened
        )
        try:
            opening(record, key=key, minimum=minimum)(session_id, context, tuple(sorted(clients)))
        except SessionReused:
            assert reused
            continue
        except UnsafeOpening:
            assert near
            continue
        assert not reused
        assert not near
        opened.append((key, session_id, context, clients))


def test_sum_with_the_greater_minimum_counts_whichever_came_first() -> None:
    openings = MemoryOpenings()
    first = {"key": bytes(32), "session_id": b"a" * 16, "context": b"", "contributors": (1, 2, 3, 4), "minimum": 4}
    openings.record(**first)  # type: ignore[arg-type]  # a dict of mixed values
    with pytest.raises(UnsafeOpening, match="at least 4 clients, found a difference of"):
        openings.record(**first | {"session_id": b"b" * 16, "contributors": (1, 2, 3, 5), "minimum": 2})  # type: ignore[arg-type]  # a dict of mixed values
