"""Attacks with weights and batches: each succeeds against a variant of `SeedSum` without one rule, and fails otherwise.

The variants are made here, and exist nowhere else. `WilfulServer` is a malicious server that has every client's message
and asks members for what it likes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest

from protocols.errors import ProtocolError, RemoteError, SessionReused, UnsafeOpening
from protocols.machine import Client
from protocols.replay import MemoryOpenings, Opened, OpeningRecord, check_apart
from protocols.seeds import SeedSum
from protocols.seeds import party as party_module
from protocols.seeds.derived import Derived
from protocols.seeds.party import SeedParty
from protocols.session import Session
from protocols.testing import Scenario
from tests.support.seed_world import MALICIOUS, MEMBERS, WilfulServer, seed_scenario

CLIENTS: Final = (3, 0, 7, 2**32 - 2, 5, 11, 12)
VICTIM: Final = CLIENTS[0]
ONE, OTHER = frozenset(CLIENTS[1:4]), frozenset(CLIENTS[4:])
WHOLE: Final = ONE | OTHER | {VICTIM}


def sums_of(
    server: WilfulServer,
    contributors: Collection[int],
    machines: Mapping[int, Client],
    weights: Mapping[int, int] | None = None,
) -> list[int]:
    """Return the sum that these machines agree to and open."""
    signatures = {member: server.agreement(machine, contributors, weights) for member, machine in machines.items()}
    shares = {member: server.shares(machine, signatures) for member, machine in machines.items()}
    return server.total(contributors, shares, weights)


def minus(one: list[int], *others: list[int], modulus: int = 2**16) -> list[int]:
    return [(first - sum(rest)) % modulus for first, *rest in zip(one, *others, strict=True)]


def records() -> dict[int, MemoryOpenings]:
    return {member: MemoryOpenings() for member in MEMBERS[:4]}


# Weights.


class _Weightless(Derived):
    """A root over contributors and entries, without the weights."""

    def root(self, contributors: Any, weights: Any, entries: Any) -> bytes:
        return super().root(contributors, (1,) * len(weights), entries)


@dataclass(frozen=True, kw_only=True)
class WeightsOutside(SeedSum):
    """The protocol in which members sign who contributes, and not how often."""

    def _derived(self, session: Session) -> Derived:
        return _Weightless(
            session=session, digest=self.digest(session), pads=self.pads_of(session, self.digest(session))
        )


@pytest.mark.parametrize("kind", [WeightsOutside, SeedSum])
def test_members_that_were_told_different_weights_sign_different_roots(kind: type[SeedSum]) -> None:
    """The server tells each of two members other weights of the same contributors. One more member is corrupt.

    If weights are outside the root, all sign the same root, and each group opens a sum of its own. The difference of
    the two sums is that of a part of the clients. If weights are inside, both would answer no certificate that exists.
    """
    scenario = seed_scenario(
        4, 1, clients=CLIENTS[:-1], threshold=3, weights=(1, 2), protocol=kind(adversary=MALICIOUS)
    )
    few = set(CLIENTS[:3])
    plain = dict.fromkeys(CLIENTS[:-1], 1)
    tilted = {client: 2 if client in few else 1 for client in plain}
    server = WilfulServer(scenario)
    first, second, corrupt, again = (server.member(member) for member in (*MEMBERS[:3], MEMBERS[2]))
    told = ({MEMBERS[0]: (first, plain), MEMBERS[2]: (corrupt, plain)}, {MEMBERS[1]: (second, tilted)})
    signatures = {
        member: server.agreement(machine, plain, weights)
        for group in told
        for member, (machine, weights) in group.items()
    }
    if kind is SeedSum:
        for machine in (first, second):
            with pytest.raises(RemoteError):
                server.shares(machine, signatures)
        return
    server.agreement(again, tilted, tilted)
    sums = []
    for honest, machines, weights in (
        (MEMBERS[0], (first, corrupt), plain),
        (MEMBERS[1], (second, again), tilted),
    ):
        shown = {
            member: server.shares(machine, signatures)
            for member, machine in zip((honest, MEMBERS[2]), machines, strict=True)
        }
        sums.append(server.total(plain, shown, weights))
    expected = [sum(column) % 2**16 for column in zip(*(server.inputs[each].tolist() for each in few), strict=True)]
    assert minus(sums[1], sums[0]) == expected


@pytest.mark.parametrize("ruled", [False, True])
def test_weight_of_one_client_alone_does_not_show_its_vector(ruled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server gives three clients the weight 128, and the victim 1. The sum modulo 128 is the victim's vector.

    Without the rule that each weight occurs as often as the threshold says, four contributors are enough for the sum.
    """
    scenario = seed_scenario(4, 1, clients=CLIENTS[:4], threshold=3, weights=(1, 128))
    server = WilfulServer(scenario)
    weights = {**dict.fromkeys(CLIENTS[1:4], 128), VICTIM: 1}
    machines = {member: server.member(member) for member in MEMBERS[:3]}
    if ruled:
        with pytest.raises(RemoteError, match="found weight 1 1 times"):
            sums_of(server, CLIENTS[:4], machines, weights)
        return
    monkeypatch.setattr(party_module, "rare_weights", lambda *_: "")
    total = sums_of(server, CLIENTS[:4], machines, weights)
    assert [each % 128 for each in total] == [int(each) % 128 for each in server.inputs[VICTIM]]


class _IdsOfRecord(MemoryOpenings):
    """A record that compares who contributed, and not how often."""

    def record(self, **fields: Any) -> None:
        super().record(**{**fields, "weights": ()})


@pytest.mark.parametrize("kind", [_IdsOfRecord, MemoryOpenings])
def test_same_clients_with_other_weights_are_another_sum_to_the_record(kind: type[MemoryOpenings]) -> None:
    """Two sessions of one context have the same contributors; in the second, the victim and two others count twice.

    A record of ids takes them for one sum. Their difference is the sum of three clients of six. With more weightings, a
    server could solve for single vectors.
    """
    held = {member: kind() for member in MEMBERS[:3]}
    clients, few = CLIENTS[:6], set(CLIENTS[:3])
    sums = []
    for number, weights in enumerate((dict.fromkeys(clients, 1), {each: 1 + (each in few) for each in clients})):
        scenario = seed_scenario(
            4, 1, clients=clients, threshold=3, weights=(1, 2), session_id=b"weighted session %d" % number
        )
        server = WilfulServer(scenario)
        machines = {member: server.member(member, record) for member, record in held.items()}
        if number and kind is MemoryOpenings:
            with pytest.raises(UnsafeOpening, match="6 clients in common"):
                sums_of(server, clients, machines, weights)
            return
        sums.append(sums_of(server, clients, machines, weights))
    expected = [sum(column) % 2**16 for column in zip(*(server.inputs[each].tolist() for each in few), strict=True)]
    assert minus(sums[1], sums[0]) == expected


# Batches.


def pairs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have records compare sets as those of other protocols: each two differ in enough clients."""
    monkeypatch.setattr(
        Opened,
        "check",
        lambda one, other: check_apart(one.contributors, other.contributors, max(one.minimum, other.minimum)),
    )


def one_context(sets: Collection[frozenset[int]], held: Mapping[int, OpeningRecord]) -> list[list[int]]:
    """Open these sets in sessions of one context each, and return the sums; raise what a member raises."""
    sums = []
    for number, contributors in enumerate(sets):
        server = WilfulServer(seed_scenario(4, 1, clients=CLIENTS, session_id=b"session %d of three" % number))
        sums.append(
            sums_of(server, contributors, {member: server.member(member, held[member]) for member in MEMBERS[:3]})
        )
    return sums


def test_two_sets_and_all_of_them_with_one_more_client_are_not_opened_under_one_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A, B, and A with B and the victim: each two differ in at least three clients, the minimum of all sessions.

    If each pair is compared by the number of clients in which it differs, X(A, B, v) - X(A) - X(B) is the victim's
    vector. The rule is that sets are the same or disjoint.
    """
    inputs = WilfulServer(seed_scenario(4, 1, clients=CLIENTS)).inputs
    sets = (ONE, OTHER, WHOLE)
    with pytest.raises(UnsafeOpening, match="3 clients in common"):
        one_context(sets, records())
    pairs_alone(monkeypatch)
    first, second, both = one_context(sets, records())
    assert minus(both, first, second) == inputs[VICTIM].tolist()


def test_two_batches_and_a_session_of_all_clients_are_not_opened_under_one_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The two sets are batches of one session. The set with the victim is that of another session, before or after."""

    def attack(held: Mapping[int, OpeningRecord]) -> list[list[int]]:
        server = WilfulServer(batched())
        machines = {member: server.member(member, held[member]) for member in MEMBERS[:3]}
        sums = [sums_of(server, ONE, machines)]
        machines = {member: server.member(member, held[member]) for member in MEMBERS[:3]}
        sums.append(sums_of(server, OTHER, machines))
        return [*sums, *one_context([WHOLE], held)]

    with pytest.raises(UnsafeOpening):
        attack(records())
    held = records()
    one_context([WHOLE], held)
    with pytest.raises(UnsafeOpening):
        attack(held)
    pairs_alone(monkeypatch)
    inputs = WilfulServer(batched()).inputs
    first, second, both = attack(records())
    assert minus(both, first, second) == inputs[VICTIM].tolist()


def batched() -> Scenario:
    return seed_scenario(4, 1, clients=CLIENTS, batches=True)


class _AnyBatch(MemoryOpenings):
    """A record of sessions with batches that compares nothing within a session."""

    def __init__(self) -> None:
        super().__init__()
        self.roots = set[bytes]()

    def record(self, **fields: Any) -> None:
        self.roots.add(fields["root"])


@pytest.mark.parametrize("kind", [_AnyBatch, MemoryOpenings])
def test_batches_with_clients_in_common_are_not_opened(kind: type[MemoryOpenings]) -> None:
    """The second batch is the first one and the victim; the members begin anew from their records in between.

    Without the rule that batches are disjoint, the difference of the sums is the victim's vector.
    """
    server, held = WilfulServer(batched()), {member: kind() for member in MEMBERS[:3]}
    sums = list[list[int]]()
    for contributors in (ONE, ONE | {VICTIM}):
        machines = {member: server.member(member, record) for member, record in held.items()}
        if sums and kind is MemoryOpenings:
            with pytest.raises(UnsafeOpening, match="3 clients in common"):
                sums_of(server, contributors, machines)
            return
        sums.append(sums_of(server, contributors, machines))
    assert minus(sums[1], sums[0]) == server.inputs[VICTIM].tolist()


def test_second_sum_of_a_session_without_batches_is_not_opened_even_of_other_clients() -> None:
    """The server proposes other clients in a session that has one sum. Members must refuse (`SessionReused`)."""
    server, held = WilfulServer(seed_scenario(4, 1, clients=CLIENTS)), records()
    sums_of(server, ONE, {member: server.member(member, held[member]) for member in MEMBERS[:3]})
    for member in MEMBERS[:3]:
        with pytest.raises(SessionReused):
            server.agreement(server.member(member, held[member]), OTHER)


def test_certificate_of_one_batch_opens_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server shows members that have signed the second batch the signatures over the first one."""
    server, held = WilfulServer(batched()), records()
    signatures = {member: server.agreement(server.member(member, held[member]), ONE) for member in MEMBERS[:3]}
    for member in MEMBERS[:3]:
        machine = server.member(member, held[member])
        server.agreement(machine, OTHER)
        with pytest.raises(ProtocolError):
            server.shares(machine, signatures)
    monkeypatch.setattr(SeedParty, "_check_certificate", lambda *_: None)
    machine = server.member(MEMBERS[3], held[MEMBERS[3]])
    server.agreement(machine, OTHER)
    assert server.shares(machine, signatures).sums
