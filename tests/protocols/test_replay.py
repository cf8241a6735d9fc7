"""The rule about two sums of one context: what stands for a client in a record, and what follows from the records."""

import hashlib
from itertools import combinations
from typing import Final

import pytest

from protocols.errors import UnsafeOpening
from protocols.replay import MemoryOpenings, client_key
from protocols.session import MAX_CLIENT_ID

CLIENTS: Final = range(5)


def test_key_of_a_client_is_a_hash_of_its_identity_or_its_id() -> None:
    """It is in no message, but openings are recorded under it, so it must stay what it is."""
    identity = bytes(range(32))
    assert client_key(7, identity) == hashlib.sha256(b"secagg client v1" + identity).digest()
    assert client_key(7, None) == hashlib.sha256(b"secagg client v1\x00\x00\x00\x07").digest()
    assert client_key(8, identity) == client_key(7, identity)
    keys = {client_key(client, None) for client in (0, 1, 256, MAX_CLIENT_ID)} | {client_key(7, identity)}
    assert len(keys) == 5
    assert all(len(key) == 32 for key in keys)


def opens(record: MemoryOpenings, session_id: bytes, contributors: tuple[int, ...], minimum: int) -> bool:
    try:
        record.record(
            key=client_key(0, None), session_id=session_id, context=b"", contributors=contributors, minimum=minimum
        )
    except UnsafeOpening:
        return False
    return True


def both_open(
    first: tuple[int, ...], second: tuple[int, ...], replying: tuple[set[int], set[int]], corrupt: set[int], least: int
) -> bool:
    """Return whether two sums open by these replies, of which honest clients' records must allow each."""
    records = {client: MemoryOpenings() for client in CLIENTS}
    return all(
        client in corrupt or opens(records[client], session_id, contributors, least)
        for session_id, contributors, clients in ((b"1", first, replying[0]), (b"2", second, replying[1]))
        for client in clients
    )


@pytest.mark.parametrize(("least", "corrupt"), [(3, 0), (3, 1), (4, 2), (4, 3)])
def test_two_sums_that_honest_clients_let_open_are_equal_or_differ_in_many(least: int, corrupt: int) -> None:
    """Every pair of sets of contributors, every group of clients that replies, and every group of corrupt ones.

    If twice the number of replies exceeds the number of contributors of either sum plus that of corrupt clients, the
    contributors are the same or differ in at least the threshold. Otherwise there are pairs that differ in fewer.
    """
    within, beyond = 0, 0
    sets = [each for size in range(least, 6) for each in combinations(CLIENTS, size)]
    for first, second in combinations(sets, 2):
        apart, union = len(set(first) ^ set(second)), len(set(first) | set(second))
        if apart >= least:
            continue
        opened = any(
            both_open(first, second, (set(one), set(other)), set(bad), least)
            for one in combinations(first, least)
            for other in combinations(second, least)
            for bad in combinations(CLIENTS, corrupt)
        )
        if 2 * least > union + corrupt:
            assert not opened
            within += 1
        else:
            beyond += opened
    assert within + beyond
    assert bool(beyond) == (2 * least <= len(CLIENTS) + corrupt)
