"""The wrap of lattice pads: members reveal shares of its keys for the agreed contributors alone, and claim them."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pytest

from protocols.crypto.keystream import Words, add_mask
from protocols.crypto.secret import Secret
from protocols.errors import DamagedSum, RemoteError
from protocols.secure_sum import Finish
from protocols.seeds import PadKind, SeedSum, wrap
from protocols.seeds.derived import hash_of
from protocols.seeds.messages import Agreement, Certificate, Complaints, Proposal, SeedInput, SumShares
from protocols.seeds.party import CLAIMS, COMPLAINT, Reason, SeedParty
from protocols.seeds.protocol import STEPS
from protocols.testing import ProtocolRun, Scenario
from protocols.testing.repeatable import fixed_identity
from tests.support.seed_world import (
    CHECK,
    CLIENTS,
    CURIOUS,
    MALICIOUS,
    MASK,
    MEMBERS,
    OPEN,
    WilfulServer,
    derived_of,
    seed_scenario,
)

LATTICE: Final = PadKind.LATTICE
VICTIM: Final = CLIENTS[0]
ALL: Final = frozenset(CLIENTS)
FEWER: Final = ALL - {VICTIM}
SUM_BYTES: Final = 8 * 4096


def share(number: int) -> Secret:
    return Secret(hashlib.sha256(b"%d" % number).digest())


def test_wrap_is_the_keystream_under_the_exclusive_or_of_all_shares() -> None:
    shares = [share(number) for number in range(3)]
    padded = np.arange(2000, dtype=np.uint64)
    expected: Words = padded.copy()
    add_mask(expected, Secret(bytes(a ^ b ^ c for a, b, c in zip(*(each.reveal() for each in shares), strict=True))))
    wrap.add(padded, shares)
    assert np.array_equal(padded, expected)


def test_wraps_of_a_sum_come_off_with_the_shares_of_all_sets_in_the_same_order() -> None:
    vectors = [np.arange(2000, dtype=np.uint64) * np.uint64(7**place) for place in range(3)]
    total, bare = np.zeros(2000, dtype=np.uint64), sum(vectors[1:], vectors[0])
    shares = [[share(10 * client + number) for number in range(4)] for client in range(3)]
    for vector, own in zip(vectors, shares, strict=True):
        wrapped = vector.copy()
        wrap.add(wrapped, own)
        total += wrapped
    joined = [b"".join(own[number].reveal() for own in shares) for number in range(4)]
    assert np.array_equal(wrap.removed(total, joined, (1, 1, 1)), bare)
    swapped = [joined[0][32:64] + joined[0][:32] + joined[0][64:], *joined[1:]]
    assert not np.array_equal(wrap.removed(total, swapped, (1, 1, 1)), bare)


# Who contributes.


def shares_of(server: WilfulServer, member: int, client: int) -> dict[int, bytes]:
    """Return a client's shares of its wrap's key for a member's sets, which the member finds in its box."""
    machine, derived = server.member(member), derived_of(server.scenario)
    seeds = machine._party.state.seeds[client].reveal()
    return {
        number: derived.wrap_key(Secret(seeds[32 * at : 32 * at + 32]), client=client, number=number).reveal()
        for at, number in enumerate(derived.sets.of(MEMBERS.index(member)))
    }


def agree_and_keep(party: SeedParty, proposal: Proposal) -> Agreement:
    """Sign, and keep the seeds of all clients."""
    seeds = dict(party.state.seeds)
    agreement = SeedParty.agree(party, proposal)
    party.state.seeds = seeds
    return agreement


def open_for_all(party: SeedParty, certificate: Certificate) -> SumShares:
    """Reveal the shares of the wraps of all clients whose entries were accepted, after what is right."""
    reply, derived, place = SeedParty.open_sum(party, certificate), party._derived, party._as_member()[1].index - 1
    more = [
        derived.wrap_key(Secret(seeds.reveal()[32 * at : 32 * at + 32]), client=client, number=number).reveal()
        for client, seeds in sorted(party.state.seeds.items())
        for at, number in enumerate(derived.sets.of(place))
    ]
    return SumShares(reply.claims, reply.signature, memoryview(bytes(reply.sums) + b"".join(more)))


def answering(answers: Mapping[str, Callable[..., Any]]) -> Any:
    """Return the table of steps with other answers."""
    rows: tuple[Any, ...] = STEPS
    return tuple(replace(row, answer=answers.get(row.name, row.answer)) for row in rows)


@dataclass(frozen=True, kw_only=True)
class RevealsAll(SeedSum):
    """The protocol in which members reveal the shares of clients that are no contributors too."""

    steps = answering({"agree": agree_and_keep, "open_sum": open_for_all})


@pytest.mark.parametrize("kind", [RevealsAll, SeedSum])
def test_wrap_of_a_client_that_is_no_contributor_stays_on(kind: type[SeedSum]) -> None:
    """The server leaves out the victim, and collects all that members reveal, to take off the victim's wrap.

    If members reveal shares of every client, the server has all shares of the victim's key. By the rule, it has none.
    """
    server = WilfulServer(seed_scenario(4, 1, protocol=kind(adversary=MALICIOUS, pads=LATTICE)))
    secret = {number: key for member in MEMBERS[:4] for number, key in shares_of(server, member, VICTIM).items()}
    machines = {member: server.member(member) for member in MEMBERS[:4]}
    signatures = {member: server.agreement(machine, FEWER) for member, machine in machines.items()}
    revealed = b"".join(bytes(server.shares(machine, signatures).sums) for machine in machines.values())
    found = {number for number, key in secret.items() if key in revealed}
    assert found == (set(range(4)) if kind is RevealsAll else set())
    contributors = shares_of(server, MEMBERS[0], CLIENTS[1])
    assert all(key in revealed for key in contributors.values())


def test_wrap_of_a_client_that_members_complained_of_is_never_revealed() -> None:
    """A member refuses one client of the twenty. Its shares are in no reply, and the sum is that of the others."""
    scenario = seed_scenario(4, 1, pads=LATTICE, clients=tuple(range(20)), threshold=4)
    derived, run = derived_of(scenario), ProtocolRun(scenario).to_step(CHECK)
    refused, replies = 5, run.replies()
    entry = run.server._party.state.entries[refused]
    signature = derived.member_signatures.sign(
        fixed_identity(0), client=MEMBERS[0], purpose=COMPLAINT, payload=entry + bytes([Reason.DOES_NOT_OPEN])
    )
    complaint = Complaints((refused,), memoryview(bytes([Reason.DOES_NOT_OPEN])), memoryview(signature))
    secret = [
        derived.wrap_key(Secret(seeds[32 * at : 32 * at + 32]), client=refused, number=number).reveal()
        for member in MEMBERS[:4]
        for seeds in (run.clients[member]._party.state.seeds[refused].reveal(),)
        for at, number in enumerate(derived.sets.of(MEMBERS.index(member)))
    ]
    run.deliver(replies | {MEMBERS[0]: scenario.codec.encode(CHECK, complaint)})
    revealed = b""
    while not isinstance(run.progress, Finish):
        replies = run.replies()
        revealed += b"".join(replies.values())
        run.deliver(replies)
    assert run.is_exact(run.progress)
    assert run.progress.contributors == tuple(client for client in range(20) if client != refused)
    assert len(secret) == 12
    assert not any(key in revealed for key in secret)


# Lies about what opens a set.


def flipped_at(place: int) -> Callable[[bytes], bytes]:
    return lambda opening: opening[:place] + bytes([opening[place] ^ 1]) + opening[place + 1 :]


def finished(scenario: Scenario, liar: int, sets: Collection[int], lie: Callable[[bytes], bytes]) -> ProtocolRun:
    """Finish a sum in which one member claims, signs and sends changed openings of these sets."""
    run, derived = ProtocolRun(scenario).to_step(OPEN), derived_of(scenario)
    party, place = run.clients[liar]._party, MEMBERS.index(liar)
    while not isinstance(run.progress, Finish):
        for member, request in run.requests.items():
            reply = run.clients[member].handle(request)
            if member == liar:
                asked = scenario.codec.decode(OPEN, Certificate, request).sets
                openings = {
                    number: derived.pads.opening(party._set_keys(at, number), party.state.weights)
                    for at, number in enumerate(derived.sets.of(place))
                }
                openings |= {number: lie(openings[number]) for number in sets}
                root = party.state.root
                claims = b"".join(derived.claim(root, number, opening) for number, opening in openings.items())
                signature = derived.member_signatures.sign(
                    fixed_identity(place), client=liar, purpose=CLAIMS, payload=root + hash_of(claims)
                )
                sums = b"".join(openings[number] for number in asked)
                reply = scenario.codec.encode(
                    OPEN, SumShares(memoryview(claims), memoryview(signature), memoryview(sums))
                )
            run.server.receive(member, reply)
        run.progress = run.server.advance()
    return run


LIES: Final = pytest.mark.parametrize(
    "at", [8 * 17, SUM_BYTES, SUM_BYTES + 32 * len(CLIENTS) - 1], ids=["sum", "first", "last"]
)


@LIES
@pytest.mark.parametrize("liar", range(4))
def test_liar_in_a_sum_of_keys_or_in_a_share_of_a_wrap_is_named_and_the_sum_is_exact(liar: int, at: int) -> None:
    scenario = seed_scenario(4, 1, pads=LATTICE)
    sets = derived_of(scenario).sets.of(liar)
    run = finished(scenario, MEMBERS[liar], sets, flipped_at(at))
    assert isinstance(run.progress, Finish)
    assert run.is_exact(run.progress)
    assert (run.progress.verified, run.progress.culprits) == (True, frozenset({MEMBERS[liar]}))


@LIES
def test_liar_of_a_small_committee_is_noticed_and_not_named(at: int) -> None:
    """Nothing decides what two members claim. But a wrong key of mask or wrap leaves no vector, and that is seen."""
    scenario = seed_scenario(2, 1, pads=LATTICE)
    with pytest.raises(RemoteError, match="a contributor or a committee member broke the rules") as caught:
        finished(scenario, MEMBERS[0], derived_of(scenario).sets.of(0), flipped_at(at))
    assert isinstance(caught.value.__context__, DamagedSum)
    assert caught.value.culprits == frozenset()


def test_client_whose_padded_vector_is_no_encryption_ends_the_sum_with_an_error_that_drivers_expect() -> None:
    """A client hands in random bytes as its padded vector. The server must refuse the sum, as misbehaviour of others.

    Drivers end a round on such an error, and on no other. Any other error would end the whole run.
    """
    run = ProtocolRun(seed_scenario(4, 1, CURIOUS, pads=LATTICE))
    replies = run.replies()
    sent = run.scenario.codec.decode(MASK, SeedInput, replies[VICTIM])
    garbage = hashlib.shake_256(b"garbage").digest(len(sent.padded))
    replies[VICTIM] = run.scenario.codec.encode(MASK, SeedInput(memoryview(garbage), sent.sealed))
    run.deliver(replies)
    with pytest.raises(RemoteError, match="a contributor broke the rules; nothing shows which one") as caught:
        run.finish()
    assert caught.value.culprits == frozenset()
    assert run.server.step is None


def test_opening_beyond_what_the_contributors_keys_can_be_names_its_member() -> None:
    """The sum of five keys is at most 635. The top byte of a coefficient makes it larger: the server must refuse it."""
    scenario = seed_scenario(4, 1, pads=LATTICE)
    with pytest.raises(RemoteError, match="expected entries within 635") as caught:
        finished(scenario, MEMBERS[0], derived_of(scenario).sets.of(0), flipped_at(8 * 17 + 6))
    assert caught.value.culprits == {MEMBERS[0]}


def test_claim_covers_the_sum_of_keys_and_each_share() -> None:
    """The member's claim is a hash of exactly what it sends: no part of the opening may be changed under it."""
    server = WilfulServer(seed_scenario(4, 1, pads=LATTICE))
    derived, machine = derived_of(server.scenario), server.member(MEMBERS[0])
    signatures = {member: server.agreement(server.member(member), ALL) for member in MEMBERS[1:4]}
    signatures[MEMBERS[0]] = server.agreement(machine, ALL)
    reply = server.shares(machine, signatures)
    size, root = SUM_BYTES + 32 * len(CLIENTS), machine._party.state.root
    for place, number in enumerate(derived.sets.of(0)):
        opening = bytes(reply.sums[size * place : size * (place + 1)])
        claim = bytes(reply.claims[32 * place : 32 * place + 32])
        statement = b"secagg seeds claim v1" + derived.digest + root + number.to_bytes(2, "big")
        assert claim == hashlib.sha256(statement + opening).digest()
        for client, at in zip(sorted(CLIENTS), range(SUM_BYTES, size, 32), strict=True):
            assert opening[at : at + 32] == shares_of(server, MEMBERS[0], client)[number]


def test_shares_of_wraps_are_revealed_only_against_a_malicious_server() -> None:
    sizes = [
        derived_of(seed_scenario(4, 1, adversary, pads=LATTICE)).pads.opening_bytes(5)
        for adversary in (MALICIOUS, CURIOUS)
    ]
    assert sizes == [SUM_BYTES + 5 * 32, SUM_BYTES]
