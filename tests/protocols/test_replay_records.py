"""The rule about two sums of one context: what stands for a client in a record, and what follows from the records."""

import hashlib
from dataclasses import replace
from itertools import combinations, product
from typing import Final

import pytest

from protocols import Adversary, LightSecAgg, OneShot, PlainSum, Roster, SecAgg, SecAggPlus, SecureSum, Session
from protocols.errors import UnsafeOpening
from protocols.replay import MemoryOpenings, are_kept_apart, client_key
from protocols.session import MAX_CLIENT_ID
from protocols.testing import fixed_identity
from tests.conformance.cohorts import committee_of

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


def least_honest_difference(clients: int, repliers: int, corrupt: int) -> int:
    """Return the least number of honest clients in which two sums of sessions of some size can differ, if it is small.

    All pairs of sets are tried, by the numbers of honest and corrupt clients that are in one set only, the other only,
    and both. Both sums open if those who reply can be chosen so that only corrupt clients reply for both.
    """
    found = clients
    numbers = product(range(3), range(corrupt + 1), range(3), range(corrupt + 1), range(clients + 1), repeat=1)
    for one, bad_one, other, bad_other, both in numbers:
        bad_both = corrupt - bad_one - bad_other
        first, second = one + bad_one, other + bad_other
        if bad_both < 0 or max(first, second) + both + bad_both > clients or not one + other:
            continue
        lacking = [max(0, repliers - alone - bad_both) for alone in (first, second)]
        if sum(lacking) <= both:
            found = min(found, one + other)
    return found


@pytest.mark.parametrize("clients", [4, 7, 10])
def test_sums_are_kept_apart_in_two_honest_clients_whatever_clients_are_invited(clients: int) -> None:
    """With one reply fewer, two sums can differ in one honest client, which is what the condition is for."""
    for corrupt in range(clients - 2):
        least = next(each for each in range(clients + 2) if are_kept_apart(each, clients=clients, corrupt=corrupt))
        assert least_honest_difference(clients, least, corrupt) >= 2
        assert least_honest_difference(clients, least - 1, corrupt) == 1


def test_corrupt_contributors_need_no_holders() -> None:
    """Two sums that differ in one honest client open, although 2 t s / (k + 1) is more than n + c."""
    protocol = SecAggPlus(neighbours=2, share_threshold=2, adversary=Adversary.MALICIOUS)
    clients, corrupt = 8, 3
    whole = session_of(SecAggPlus, Adversary.MALICIOUS, 8)
    assert whole.roster is not None
    session = replace(whole, clients=tuple(range(clients)), roster=whole.roster.of(range(clients)))
    assert are_kept_apart(-(-8 * 2 // 3), clients=clients, corrupt=corrupt)
    found = protocol.least_repliers(session, corrupt)
    assert found == 4
    assert not are_kept_apart(found, clients=clients, corrupt=corrupt)


def session_of(protocol: type[SecureSum], adversary: Adversary, threshold: int) -> Session:
    clients = range(100)
    malicious = adversary is Adversary.MALICIOUS
    return Session(
        session_id=bytes(16),
        clients=tuple(clients),
        threshold=threshold,
        length=1,
        modulus=protocol.modulus(16),
        roster=Roster({client: fixed_identity(client).public for client in clients}) if malicious else None,
        committee=committee_of((107, 108, 109)) if protocol.needs_committee else None,
    )


@pytest.mark.parametrize("kind", [SecAgg, SecAggPlus, LightSecAgg, OneShot, PlainSum])
def test_sums_open_with_the_replies_of_the_threshold_or_of_the_committee(kind: type[SecureSum]) -> None:
    protocol, threshold = kind.suggest(clients=100, adversarial=0.05, dropout=0.2)
    session = session_of(kind, Adversary.CURIOUS, threshold)
    assert protocol.least_repliers(session, 5) == (None if kind in (OneShot, PlainSum) else threshold)


@pytest.mark.parametrize(("dropout", "kept_apart"), [(0.05, True), (0.4, False)])
def test_malicious_server_opens_sums_of_a_sparse_graph_with_fewer_replies(dropout: float, *, kept_apart: bool) -> None:
    """Every contributor needs `share_threshold` holders, of degree + 1 for whom each reply counts."""
    protocol, threshold = SecAggPlus.suggest(
        clients=100, adversarial=0.01, dropout=dropout, adversary=Adversary.MALICIOUS
    )
    session = session_of(SecAggPlus, Adversary.MALICIOUS, threshold)
    found = protocol.least_repliers(session, 1)
    assert protocol.neighbours < 99
    assert protocol.share_threshold * (threshold - 1) <= found * (protocol.neighbours + 1)
    assert protocol.share_threshold <= found < threshold
    assert are_kept_apart(found, clients=100, corrupt=1) is kept_apart
    complete, majority = SecAgg.suggest(clients=100, adversarial=0.01, dropout=0.4, adversary=Adversary.MALICIOUS)
    assert complete.least_repliers(session_of(SecAgg, Adversary.MALICIOUS, majority), 1) == majority
