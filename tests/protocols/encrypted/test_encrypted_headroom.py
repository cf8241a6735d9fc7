"""Payloads of both protocols, without encryption: sums are exact at the extremes, with headroom and without."""

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols import Committee, OneShot, PaillierSum, Session
from protocols.crypto.keystream import word_dtype
from protocols.encrypted.protocol import EncryptedSum
from protocols.errors import ParameterError
from tests.support.committee_keys import threshold_key

CLIENTS = 7
KINDS = pytest.mark.parametrize("kind", [OneShot, PaillierSum], ids=lambda kind: kind.name)
MODULI = (2**8, 2**24, 2**31 - 1, 65_521, 3)
LARGE = (2**45 - 55, 2**46 - 21, 2**61 - 1, 2**62 - 57, 2**62)


def session(modulus: int, length: int = 5, clients: int = CLIENTS) -> Session:
    return Session(
        session_id=bytes(16),
        clients=tuple(range(clients)),
        threshold=2,
        length=length,
        modulus=modulus,
        committee=Committee(key=threshold_key(), members=(2**30, 2**30 + 1, 2**30 + 2)),
    )


def opened(
    protocol: EncryptedSum, modulus: int, rows: "np.ndarray[Any, np.dtype[np.int64]]", *, clients: int = CLIENTS
) -> list[int]:
    """What the server gets of these signed vectors, as signed numbers."""
    agreed = session(modulus, rows.shape[1], clients)
    payload = protocol.payload(agreed)
    total = payload.nothing()
    sums = [0] * payload.messages
    for row in rows:
        vector = np.array([entry % modulus for entry in row.tolist()], dtype=word_dtype(modulus))
        payload.check(vector)
        padded, messages = payload.wrap(vector, os.urandom)
        payload.add(total, padded)
        sums = [one + other for one, other in zip(sums, messages, strict=True)]
    message_modulus = int(threshold_key().public_key.message_modulus)
    result = payload.unwrap(total, [each % message_modulus for each in sums], len(rows))
    return [entry - modulus if 2 * entry >= modulus else entry for entry in result.tolist()]


@KINDS
@pytest.mark.parametrize("modulus", MODULI)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_sums_with_headroom_are_exact_to_both_ends(kind: type[EncryptedSum], modulus: int, data: st.DataObject) -> None:
    low, high = -(modulus // 2), (modulus - 1) // 2
    entries = data.draw(st.lists(st.sampled_from([low, -1, 0, 1, high]), min_size=5, max_size=5))
    count = data.draw(st.integers(1, CLIENTS))
    rows = np.zeros((count, 5), dtype=np.int64)
    for column, goal in enumerate(entries):
        rows[data.draw(st.integers(0, count - 1)), column] = goal
        if count > 1:  # two that cancel each other, as far from 0 as one can be
            one, other = data.draw(st.permutations(range(count)))[:2]
            if not rows[one, column] and not rows[other, column]:
                rows[one, column], rows[other, column] = high, -high
    assert opened(kind(headroom=True), modulus, rows) == entries


@KINDS
@pytest.mark.parametrize("modulus", MODULI)
@pytest.mark.parametrize("extreme", [-1, 1])
def test_sums_without_headroom_are_exact_for_any_entries(kind: type[EncryptedSum], modulus: int, extreme: int) -> None:
    """All clients the largest, or the smallest: modulo m, that is all that is asked for."""
    entry = -(modulus // 2) if extreme < 0 else (modulus - 1) // 2
    rows = np.full((CLIENTS, 4), entry, dtype=np.int64)
    assert [each % modulus for each in opened(kind(), modulus, rows)] == [CLIENTS * entry % modulus] * 4


@KINDS
@pytest.mark.parametrize("modulus", LARGE)
@pytest.mark.parametrize("clients", [8, 16, 40, 2**20])
def test_sums_with_headroom_are_exact_where_stored_ones_outgrow_a_word(
    kind: type[EncryptedSum], modulus: int, clients: int
) -> None:
    """A few of the session's clients contribute, and reach both ends; or there is no room, and the error says so."""
    protocol = kind(headroom=True)
    try:
        protocol.validate(session(modulus, clients=clients))
    except ParameterError:
        assert kind is OneShot  # whose words also hold errors
        assert modulus > 2**40
        return
    low, high = -(modulus // 2), (modulus - 1) // 2
    rows = np.zeros((40 if clients >= 40 else clients, 4), dtype=np.int64)
    rows[0], rows[-1] = (low, high, -1, 0), (0, 0, 0, 1000)
    rows[1:5, 0] = (high, -high, high, -high)
    assert opened(protocol, modulus, rows, clients=clients) == [sum(column) for column in rows.T.tolist()]


@KINDS
def test_a_bound_on_entries_is_used_where_it_is_the_shorter(kind: type[EncryptedSum]) -> None:
    agreed = session(2**32, 10_000)
    bounded, both = kind(value_bits=8).payload(agreed), kind(value_bits=8, headroom=True).payload(agreed)
    assert (both.padded_bytes, both.messages) == (bounded.padded_bytes, bounded.messages)
    assert kind(value_bits=8).with_headroom() == kind(headroom=True)


@KINDS
def test_headroom_makes_messages_shorter(kind: type[EncryptedSum]) -> None:
    agreed = session(2**26, 10_000)
    wide, narrow = (kind(headroom=headroom).payload(agreed) for headroom in (False, True))
    assert narrow.padded_bytes + narrow.messages * 512 < 0.95 * (wide.padded_bytes + wide.messages * 512)


@KINDS
def test_sums_with_headroom_of_a_modulus_that_fills_the_word_are_refused(kind: type[EncryptedSum]) -> None:
    with pytest.raises(ParameterError):
        kind(headroom=True).validate(session(2**64))
