"""Each rule of a committee member of `SeedSum`, and what a client hands in."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from protocols.crypto import hpke
from protocols.crypto.secret import Secret
from protocols.errors import (
    MalformedMessage,
    NotSigned,
    OrderError,
    ParameterError,
    RemoteError,
    SessionReused,
    UnsafeOpening,
    UnsafeSession,
)
from protocols.frames import HEADER_BYTES
from protocols.identity import Signatures
from protocols.machine import Client
from protocols.pieces import ArrayReader
from protocols.replay import MemoryOpenings, Opened
from protocols.seeds.derived import hash_of
from protocols.seeds.messages import Certificate, Complaints, Entries, Proposal, SumShares
from protocols.seeds.party import AGREEMENT, CLAIMS, COMPLAINT, ENTRY, Reason, SeedParty
from protocols.session import Participant
from protocols.terms import Keyholder
from protocols.testing import SNAPSHOT_KEY, ProtocolRun, Scenario
from protocols.testing.repeatable import fixed_identity, repeatable_entropy
from tests.support import committee_keys
from tests.support.seed_members import issued
from tests.support.seed_world import (
    AGREE,
    CHECK,
    CLIENTS,
    CURIOUS,
    MALICIOUS,
    MEMBERS,
    OPEN,
    WilfulServer,
    derived_of,
    seed_scenario,
)

SCENARIO: Final = seed_scenario(4, 1)
CODEC: Final = SCENARIO.codec
DERIVED: Final = derived_of(SCENARIO)
FIRST: Final = MEMBERS[0]
IN_ORDER: Final = tuple(sorted(CLIENTS))


@pytest.fixture(scope="module")
def server() -> WilfulServer:
    return WilfulServer(SCENARIO)


def fresh(member: int = FIRST, scenario: Scenario = SCENARIO, openings: Any = None) -> Client:
    """Return a member's machine that has answered nothing."""
    return scenario.client(member, None, repeatable_entropy(b"fresh"), openings=openings or MemoryOpenings())


def signed(purpose: bytes, payload: bytes, place: int = 0) -> bytes:
    """Return a member's signature in the session."""
    return DERIVED.member_signatures.sign(
        fixed_identity(place), client=MEMBERS[place], purpose=purpose, payload=payload
    )


# The client.


@pytest.mark.parametrize("adversary", [MALICIOUS, CURIOUS])
def test_client_hands_in_boxes_that_open_to_seeds_of_its_hashes_and_a_signed_entry(adversary: Any) -> None:
    scenario = seed_scenario(4, 2, adversary)
    server, derived = WilfulServer(scenario), derived_of(scenario)
    for client, message in server.messages.items():
        hashes, boxes, signature = derived.split_sealed(memoryview(message.sealed))
        seeds = dict[int, bytes]()
        for place, box in enumerate(boxes):
            info = derived.box_info(hashes, client=client, member=place)
            opened = issued(place)[1].key.open(info, box)
            for at, number in enumerate(derived.sets.of(place)):
                seed = opened[32 * at : 32 * at + 32]
                assert seeds.setdefault(number, seed) == seed  # All members of a set have the same one.
                hashed = derived.seed_hash(Secret(seed), client=client, number=number)
                assert hashed == hashes[32 * number : 32 * number + 32]
        assert len(set(seeds.values())) == derived.sets.count
        padded_hash = derived.padded_hash(message.padded)
        entry = derived.entry(client, padded_hash, hashes, b"".join(map(hash_of, boxes)))
        derived.signatures.check(signature, client=client, purpose=ENTRY, payload=entry)
        assert bool(signature) is (adversary is MALICIOUS)


# Entries.


def entry_fields(server: WilfulServer, client: int) -> dict[str, Any]:
    """Return the parts of a client's entry for the first member."""
    request = CODEC.decode(CHECK, Entries, server.entries[FIRST])
    place = request.clients.index(client)
    data = request.entries[place * DERIVED.entry_bytes : (place + 1) * DERIVED.entry_bytes]
    found = DERIVED.split_entry(data)
    return {name: getattr(found, name) for name in type(found).__slots__}


def complaints_of(fields: Mapping[str, Any], client: int) -> tuple[Complaints, bytes]:
    """Show the first member one entry, and return what it says with the hash E of what it was shown."""
    request = Entries((client,), memoryview(b"".join(fields.values())))
    reply = fresh().handle(CODEC.encode(CHECK, request))
    hashed = DERIVED.entry(client, fields["padded_hash"], fields["seed_hashes"], fields["box_hashes"])
    return CODEC.decode(CHECK, Complaints, reply), hashed


def flipped(data: bytes, at: int = 0) -> bytes:
    """Return the bytes with one bit of one byte changed."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def resigned(fields: dict[str, Any], client: int) -> dict[str, Any]:
    """Return the entry as its client, who is corrupt, signs it."""
    hashed = DERIVED.entry(client, fields["padded_hash"], fields["seed_hashes"], fields["box_hashes"])
    own = fixed_identity(client)
    return fields | {"signature": DERIVED.signatures.sign(own, client=client, purpose=ENTRY, payload=hashed)}


def with_box(fields: dict[str, Any], box: bytes) -> dict[str, Any]:
    """Return the entry with another box for the first member, and its hash."""
    return fields | {"box": box, "box_hashes": hash_of(box) + fields["box_hashes"][32:]}


def test_entry_that_is_right_is_accepted_without_a_complaint(server: WilfulServer) -> None:
    found, _ = complaints_of(entry_fields(server, CLIENTS[0]), CLIENTS[0])
    assert (found.clients, bytes(found.reasons), bytes(found.signatures)) == ((), b"", b"")


@pytest.mark.parametrize("name", ["padded_hash", "seed_hashes", "box_hashes", "box", "signature"])
def test_entry_that_was_changed_on_its_way_is_not_as_signed(server: WilfulServer, name: str) -> None:
    """The server changes a part of an honest client's entry: the member must blame nobody (NOT_AS_SIGNED)."""
    fields = entry_fields(server, CLIENTS[0])
    found, hashed = complaints_of(fields | {name: flipped(fields[name])}, CLIENTS[0])
    assert (found.clients, list(found.reasons)) == ((CLIENTS[0],), [Reason.NOT_AS_SIGNED])
    assert bytes(found.signatures) == signed(COMPLAINT, hashed + bytes([Reason.NOT_AS_SIGNED]))


def test_entry_of_another_client_is_not_as_signed(server: WilfulServer) -> None:
    """The server shows one client's entry as that of another one."""
    found, _ = complaints_of(entry_fields(server, CLIENTS[0]), CLIENTS[1])
    assert list(found.reasons) == [Reason.NOT_AS_SIGNED]


def test_client_that_signs_a_box_which_does_not_open_is_refused(server: WilfulServer) -> None:
    fields = entry_fields(server, CLIENTS[0])
    found, hashed = complaints_of(
        resigned(with_box(fields, flipped(fields["box"], len(fields["box"]) - 1)), CLIENTS[0]), CLIENTS[0]
    )
    assert list(found.reasons) == [Reason.DOES_NOT_OPEN]
    assert bytes(found.signatures) == signed(COMPLAINT, hashed + bytes([Reason.DOES_NOT_OPEN]))


def test_client_that_signs_other_hashes_of_its_seeds_is_refused(server: WilfulServer) -> None:
    """Hashes are part of the box's info, so a box for other hashes does not open; sealed anew, the seed differs."""
    fields, client = entry_fields(server, CLIENTS[0]), CLIENTS[0]
    own = DERIVED.sets.of(0)
    opened = issued(0)[1].key.open(DERIVED.box_info(fields["seed_hashes"], client=client, member=0), fields["box"])
    for number in range(DERIVED.sets.count):
        hashes = flipped(fields["seed_hashes"], 32 * number)
        moved = resigned(fields | {"seed_hashes": hashes}, client)
        assert list(complaints_of(moved, client)[0].reasons) == [Reason.DOES_NOT_OPEN]
        box = sealed_for(0, DERIVED.box_info(hashes, client=client, member=0), opened)
        again = resigned(with_box(fields | {"seed_hashes": hashes}, box), client)
        expected = [Reason.SEED_DIFFERS] if number in own else []
        assert list(complaints_of(again, client)[0].reasons) == expected


def sealed_for(place: int, info: bytes, plaintext: bytes) -> bytes:
    """Return a box for a member's key."""
    return hpke.seal(issued(place)[0].public_key, info=info, plaintext=plaintext)


@pytest.mark.parametrize("kind", ["another member", "another client", "another session"])
def test_box_that_was_sealed_for_another_use_does_not_open(server: WilfulServer, kind: str) -> None:
    """A corrupt client signs a box with the right seeds, which are sealed for another member, client or session."""
    fields, client = entry_fields(server, CLIENTS[0]), CLIENTS[0]
    hashes = fields["seed_hashes"]
    opened = issued(0)[1].key.open(DERIVED.box_info(hashes, client=client, member=0), fields["box"])
    other = derived_of(seed_scenario(4, 1, session_id=b"another session of seeds"))
    info = {
        "another member": DERIVED.box_info(hashes, client=client, member=1),
        "another client": DERIVED.box_info(hashes, client=CLIENTS[1], member=0),
        "another session": other.box_info(hashes, client=client, member=0),
    }[kind]
    found, _ = complaints_of(resigned(with_box(fields, sealed_for(0, info, opened)), client), client)
    assert list(found.reasons) == [Reason.DOES_NOT_OPEN]


@pytest.mark.parametrize("clients", [(0, 0), (3, 0), (0, 1), (0, 2**32 - 1)])
def test_entries_of_clients_out_of_order_repeated_or_unknown_are_refused(clients: tuple[int, ...]) -> None:
    request = Entries(clients, memoryview(bytes(DERIVED.entry_bytes * len(clients))))
    with pytest.raises(RemoteError, match="clients of the session in ascending order"):
        fresh().handle(CODEC.encode(CHECK, request))


def test_entries_of_another_length_are_refused() -> None:
    for size in (0, DERIVED.entry_bytes - 1, DERIVED.entry_bytes + 1):
        with pytest.raises(MalformedMessage, match=f"expected {DERIVED.entry_bytes} bytes, found {size}"):
            fresh().handle(CODEC.encode(CHECK, Entries((0,), memoryview(bytes(size)))))


# The proposal.


@pytest.mark.parametrize(
    ("contributors", "weights", "text"),
    [
        ((0, 3), (1, 1), "expected at least 3, found 2"),
        ((), (), "expected at least 3, found 0"),
        ((3, 0, 5), (1, 1, 1), "ascending order"),
        ((0, 0, 3), (1, 1, 1), "ascending order"),
        ((0, 3, 6), (1, 1, 1), "clients of the session"),
        ((0, 3, 5), (1, 1, 2), "expected 1 for each contributor"),
        ((0, 3, 5), (1, 1), "expected 1 for each contributor"),
        ((0, 3, 5), (1, 1, 1, 1), "expected 1 for each contributor"),
        ((0, 3, 5), (1, 1, 0), "expected 1 for each contributor"),
        ((0, 3, 5), (1, 1, -1), "expected 1 for each contributor"),
    ],
)
def test_proposal_against_the_rules_is_not_signed_and_not_recorded(
    server: WilfulServer, contributors: tuple[int, ...], weights: tuple[int, ...], text: str
) -> None:
    record = MemoryOpenings()
    machine = server.member(FIRST, record)
    with pytest.raises(RemoteError, match=text):
        machine.handle(CODEC.encode(AGREE, Proposal(contributors, weights)))
    assert vars(record) == vars(MemoryOpenings())
    assert machine.closed


def test_contributor_whose_entry_was_not_accepted_is_not_signed_for(server: WilfulServer) -> None:
    """The server proposes a client of whom the member has complained, and one that it was never shown."""
    shown = CODEC.decode(CHECK, Entries, server.entries[FIRST])
    size = DERIVED.entry_bytes
    damaged = bytearray(shown.entries)
    damaged[0] ^= 1
    for request in (
        Entries(shown.clients, memoryview(bytes(damaged))),
        Entries(shown.clients[1:], shown.entries[size:]),
    ):
        machine = fresh()
        machine.handle(CODEC.encode(CHECK, request))
        with pytest.raises(RemoteError, match=rf"found 1 others, client {IN_ORDER[0]} among them"):
            machine.handle(CODEC.encode(AGREE, Proposal(IN_ORDER, (1,) * 5)))


def test_members_own_minimum_counts_beside_the_sessions_threshold() -> None:
    scenario = seed_scenario(4, 1, threshold=4)
    server, record = WilfulServer(scenario), MemoryOpenings()
    own = scenario.keyholder(FIRST, record)
    assert own is not None
    machine = Client(
        scenario.protocol,
        scenario.session,
        FIRST,
        None,
        entropy=repeatable_entropy(b"own"),
        keyholder=replace(own, minimum_contributors=2),
        clock=scenario.clock,
    )
    machine.handle(server.entries[FIRST])
    with pytest.raises(RemoteError, match="expected at least 4, found 3"):
        server.agreement(machine, IN_ORDER[:3])


def test_agreement_is_a_signature_over_the_root_and_the_record_has_the_root(server: WilfulServer) -> None:
    record = MemoryOpenings()
    signature = server.agreement(server.member(FIRST, record), IN_ORDER)
    entries = []
    for client in IN_ORDER:
        parts = entry_fields(server, client)
        entries.append(DERIVED.entry(client, parts["padded_hash"], parts["seed_hashes"], parts["box_hashes"]))
    root = DERIVED.root(IN_ORDER, (1,) * 5, entries)
    assert signature == signed(AGREEMENT, root)
    share = SCENARIO.key_shares[FIRST]
    opened = Opened(contributors=IN_ORDER, weights=(), minimum=3, rooted=True)
    assert record._sessions == {(share.record_key, SCENARIO.session.session_id): {root: opened}}
    assert record._contexts == {b"round 1": [opened]}


def test_member_signs_one_root_of_a_session_also_after_a_restart(server: WilfulServer) -> None:
    """A member that starts again, from a snapshot or anew, signs the same root again and no other (SessionReused)."""
    record = MemoryOpenings()
    machine = server.member(FIRST, record)
    kept = machine.snapshot(SNAPSHOT_KEY)
    signature = server.agreement(machine, IN_ORDER)

    def again() -> list[Client]:
        restored = SCENARIO.restored(FIRST, kept, repeatable_entropy(b"again"), openings=record)
        return [restored, server.member(FIRST, record)]

    for machine in again():
        assert server.agreement(machine, IN_ORDER) == signature
    for machine in again():
        with pytest.raises(SessionReused):
            server.agreement(machine, IN_ORDER[:4])


def test_same_session_id_in_another_session_is_not_signed_again(server: WilfulServer) -> None:
    """The server uses a session id again, with another context, length or epoch: the member must refuse."""
    record = MemoryOpenings()
    server.agreement(server.member(FIRST, record), IN_ORDER)
    for other in (
        seed_scenario(4, 1, context=b"round 2"),
        seed_scenario(4, 1, length=6),
        seed_scenario(4, 1, epoch=1),
        seed_scenario(5, 1),
    ):
        later = WilfulServer(other)
        with pytest.raises(SessionReused):
            later.agreement(later.member(FIRST, record), IN_ORDER)


def test_set_that_differs_in_few_clients_is_not_signed_under_one_context(server: WilfulServer) -> None:
    record = MemoryOpenings()
    server.agreement(server.member(FIRST, record), IN_ORDER)
    other = WilfulServer(seed_scenario(4, 1, session_id=b"another session of seeds"))
    for contributors in (IN_ORDER[:4], IN_ORDER[:3]):
        with pytest.raises(UnsafeOpening):
            other.agreement(other.member(FIRST, record), contributors)
    other.agreement(other.member(FIRST, record), IN_ORDER)
    new = WilfulServer(seed_scenario(4, 1, session_id=b"a session of new inputs", context=b"round 2"))
    new.agreement(new.member(FIRST, record), IN_ORDER[:4])


@pytest.mark.parametrize("error", [OSError("the disk is full"), UnsafeOpening("no"), SessionReused("no")])
def test_nothing_is_signed_if_the_record_cannot_be_made(
    server: WilfulServer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Failing:
        def record(self, **_: Any) -> None:
            raise error

    machine, made = server.member(FIRST, Failing()), []
    monkeypatch.setattr(Signatures, "sign", lambda *_args, **fields: made.append(fields))
    with pytest.raises(type(error)):
        server.agreement(machine, IN_ORDER)
    assert not made
    assert machine.closed


# The certificate.


def certified(server: WilfulServer, openings: Any = None) -> tuple[Client, dict[int, bytes]]:
    """Return the first member's machine after it has signed, and all members' signatures."""
    machines = {member: server.member(member) for member in MEMBERS[1:4]}
    machines[FIRST] = server.member(FIRST, openings)
    signatures = {member: server.agreement(machine, IN_ORDER) for member, machine in machines.items()}
    return machines[FIRST], signatures


def opened(machine: Client, signers: tuple[int, ...], joined: bytes, sets: tuple[int, ...]) -> SumShares:
    reply = machine.handle(CODEC.encode(OPEN, Certificate(signers, memoryview(joined), sets)))
    return CODEC.decode(OPEN, SumShares, reply)


def test_members_claims_are_signed_and_the_sums_asked_for_have_their_claims(server: WilfulServer) -> None:
    machine, signatures = certified(server)
    joined = b"".join(signatures[member] for member in MEMBERS[:3])
    for sets in ((), (1,), (0, 2), (0, 1, 2)):
        found = opened(machine, MEMBERS[:3], joined, sets)
        claims, sums = bytes(found.claims), bytes(found.sums)
        root = machine._party.state.root
        assert bytes(found.signature) == signed(CLAIMS, root + hash_of(claims))
        assert DERIVED.sets.of(0) == (0, 1, 2)
        size = DERIVED.pads.padded_bytes
        assert len(sums) == size * len(sets)
        for place, number in enumerate(sets):
            claim = DERIVED.claim(root, number, sums[place * size : (place + 1) * size])
            assert claim == claims[32 * number : 32 * number + 32]


def test_certificate_of_fewer_than_the_quorum_or_of_others_opens_nothing(server: WilfulServer) -> None:
    """The server shows too few signatures, one twice, one of another member, of a client, or over another root."""
    other = {member: server.agreement(server.member(member), IN_ORDER[:4]) for member in MEMBERS[:4]}
    one, two, three, four = MEMBERS[:4]
    _, right = certified(server)
    attempts: list[tuple[tuple[int, ...], list[bytes], type[Exception], str]] = [
        ((one, two), [right[one], right[two]], RemoteError, "at least the quorum of 3, found 2"),
        ((), [], RemoteError, "at least the quorum of 3, found 0"),
        ((one, two, two), [right[one], right[two], right[two]], RemoteError, "ascending order"),
        ((two, one, three), [right[two], right[one], right[three]], RemoteError, "ascending order"),
        ((0, one, two), [right[one], right[one], right[two]], RemoteError, "committee members"),
        ((one, two, three), [right[one], right[two], right[two]], NotSigned, f"client {three}"),
        ((one, two, three), [right[one], right[two], other[three]], NotSigned, f"client {three}"),
        ((one, two, three), [other[one], other[two], other[three]], NotSigned, f"client {one}"),
        ((one, two, three, four), [right[one], right[two], right[three], bytes(64)], NotSigned, f"client {four}"),
        ((one, two, three), [right[one], right[two]], MalformedMessage, "expected 192 bytes, found 128"),
    ]
    for signers, signatures, kind, text in attempts:
        machine, _ = certified(server)
        with pytest.raises(kind, match=text):
            opened(machine, signers, b"".join(signatures), (0,))
        assert machine.closed


def test_agreement_of_another_session_is_no_part_of_a_certificate(server: WilfulServer) -> None:
    other = WilfulServer(seed_scenario(4, 1, session_id=b"another session of seeds"))
    machine, right = certified(server)
    foreign = other.agreement(other.member(MEMBERS[2]), IN_ORDER)
    with pytest.raises(NotSigned):
        opened(machine, MEMBERS[:3], right[MEMBERS[0]] + right[MEMBERS[1]] + foreign, (0,))


def test_member_that_has_signed_nothing_opens_nothing(server: WilfulServer) -> None:
    """A quorum of others has signed. A member whose own state has no root must not answer."""
    _, right = certified(server)
    machine = server.member(FIRST)
    signers = MEMBERS[1:4]
    data = CODEC.encode(OPEN, Certificate(signers, memoryview(b"".join(right[each] for each in signers)), (0,)))
    with pytest.raises(RemoteError):
        machine.handle(data)
    own = SCENARIO.keyholder(FIRST)
    assert own is not None
    participant = fresh()._party
    with pytest.raises(RemoteError, match="found it has signed none"):
        SeedParty.open_sum(participant, Certificate(signers, memoryview(bytes(192)), (0,)))


@pytest.mark.parametrize("sets", [(3,), (0, 0), (1, 0), (-1,), (0, 4)])
def test_sums_of_other_sets_are_refused(server: WilfulServer, sets: tuple[int, ...]) -> None:
    machine, right = certified(server)
    with pytest.raises(RemoteError, match="numbers of this member's sets in ascending order"):
        opened(machine, MEMBERS[:3], b"".join(right[member] for member in MEMBERS[:3]), sets)


def test_member_answers_the_same_certificate_again_also_after_a_restart(server: WilfulServer) -> None:
    machine, right = certified(server)
    kept = machine.snapshot(SNAPSHOT_KEY)
    joined = b"".join(right[member] for member in MEMBERS[:3])
    first = opened(machine, MEMBERS[:3], joined, (0,))
    assert opened(machine, MEMBERS[:3], joined, (0,)) == first
    restored = SCENARIO.restored(FIRST, kept, repeatable_entropy(b"again"), openings=MemoryOpenings())
    assert opened(restored, MEMBERS[:3], joined, (0,)) == first
    assert opened(machine, MEMBERS[:3], joined, (0, 1)).claims == first.claims


def test_member_that_is_asked_again_computes_only_what_it_is_asked_for(
    server: WilfulServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, right = certified(server)
    joined, made = b"".join(right[member] for member in MEMBERS[:3]), list[int]()
    real = SeedParty._set_keys

    def counted(self: SeedParty, place: int, number: int) -> Any:
        made.append(number)
        return real(self, place, number)

    monkeypatch.setattr(SeedParty, "_set_keys", counted)
    first = opened(machine, MEMBERS[:3], joined, (0,))
    assert made == [0, 1, 2]
    for sets in ((), (1,), (0, 2)):
        made.clear()
        assert opened(machine, MEMBERS[:3], joined, sets).claims == first.claims
        assert made == list(sets)


def test_member_that_is_asked_again_in_frames_claims_what_it_has_claimed(
    server: WilfulServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sums of the pads are made once to be claimed, and once more for each request that asks for them."""
    machine, right = certified(server)
    joined, made = b"".join(right[member] for member in MEMBERS[:3]), list[int]()
    real = SeedParty._set_keys

    def counted(self: SeedParty, place: int, number: int) -> Any:
        made.append(number)
        return real(self, place, number)

    monkeypatch.setattr(SeedParty, "_set_keys", counted)
    claims = list[bytes]()
    for sets, again in (((0,), [0, 1, 2, 0]), ((), []), ((1,), [1]), ((0, 2), [0, 2])):
        made.clear()
        request = CODEC.encode(OPEN, Certificate(MEMBERS[:3], memoryview(joined), sets))
        reply = b"".join(frame[HEADER_BYTES:] for frame in machine.frames(request))
        assert made == again
        claims.append(bytes(CODEC.decode(OPEN, SumShares, reply).claims))
        assert machine.handle(request) == reply
    assert len(set(claims)) == 1


def test_closed_member_holds_no_secret_and_answers_nothing(server: WilfulServer) -> None:
    """Its last step repeats, so it would hold the seeds until its process ends. `close` must drop them."""
    machine, right = certified(server)
    joined = b"".join(right[member] for member in MEMBERS[:3])
    opened(machine, MEMBERS[:3], joined, (0,))
    party = machine._party
    assert party.state.seeds
    machine.close()
    machine.close()
    assert machine.closed
    assert not vars(party)
    with pytest.raises(OrderError, match="this client has closed"):
        opened(machine, MEMBERS[:3], joined, (0,))
    with pytest.raises(OrderError):
        machine.snapshot(SNAPSHOT_KEY)


def test_member_that_is_a_client_without_a_part_forgets_its_vector_in_its_first_step() -> None:
    """The server does not ask it for its vector, or its reply was lost on the way: the member goes on without it."""
    run = ProtocolRun(seed_scenario(4, 1, clients=(*CLIENTS[:3], FIRST)))
    run.deliver({client: run.clients[client].handle(run.requests[client]) for client in CLIENTS[:3]})
    machine, both = run.clients[FIRST], FIRST
    assert machine._party.state.vector.size
    machine.handle(run.requests[both])
    assert not machine._party.state.vector.size


def test_member_that_is_a_client_without_a_part_forgets_where_its_vector_is() -> None:
    scenario = seed_scenario(4, 1, clients=(*CLIENTS[:3], FIRST))
    run, read = ProtocolRun(scenario), ArrayReader(np.zeros(scenario.session.length, dtype=np.uint16))
    run.deliver({client: run.clients[client].handle(run.requests[client]) for client in CLIENTS[:3]})
    machine = Client(
        scenario.protocol,
        scenario.session,
        FIRST,
        read,
        entropy=repeatable_entropy(b"reader"),
        terms=scenario.terms(FIRST),
        keyholder=scenario.keyholder(FIRST),
        clock=scenario.clock,
    )
    with pytest.raises(OrderError, match="Take a snapshot after it has sent it"):
        machine.snapshot(SNAPSHOT_KEY)
    machine.handle(run.requests[FIRST])
    assert machine._party._reader is None
    assert machine.snapshot(SNAPSHOT_KEY)


def test_member_keeps_only_the_contributors_seeds_once_it_has_signed(server: WilfulServer) -> None:
    machine = server.member(FIRST)
    assert set(machine._party.state.seeds) == set(CLIENTS)
    server.agreement(machine, IN_ORDER[:3])
    assert set(machine._party.state.seeds) == set(IN_ORDER[:3])


# Who is a member.


def test_client_that_is_no_member_answers_nothing_of_a_member(server: WilfulServer) -> None:
    run = ProtocolRun(SCENARIO)
    party: Any = run.clients[CLIENTS[0]]._party
    for answer, request in (
        (party.agree, Proposal(IN_ORDER, (1,) * 5)),
        (party.open_sum, Certificate((), memoryview(b""), ())),
    ):
        with pytest.raises(OrderError, match="is not a member of the committee"):
            answer(request)


def test_share_of_another_kind_of_committee_is_refused() -> None:
    own = SCENARIO.keyholder(FIRST)
    assert own is not None
    wrong = Keyholder(
        share=committee_keys.key_shares()[0], openings=MemoryOpenings(), minimum_contributors=3, roster=own.roster
    )
    with pytest.raises(UnsafeSession, match="another key"):
        Client(
            SCENARIO.protocol,
            SCENARIO.session,
            FIRST,
            None,
            entropy=bytes,
            keyholder=wrong,
            clock=SCENARIO.clock,
        )
    participant = Participant(
        client=FIRST,
        vector=np.empty(0, dtype=np.uint16),
        attached=(),
        terms=None,
        keyholder=wrong,
        entropy=bytes,
    )
    with pytest.raises(ParameterError, match="expected a MemberShare of a SeedCommittee, found KeyShare"):
        SeedParty(DERIVED, participant)
