"""Attacks on `SeedSum`: each succeeds against a variant that lacks one rule, and fails against the protocol.

The variants are made here, and exist nowhere else. `WilfulServer` is a malicious server that has every client's message
and asks members for what it likes. A corrupt member has as many machines as it likes, each with a record of its own.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import pytest

from protocols import packing
from protocols.cohort import Adversary
from protocols.crypto import hpke
from protocols.crypto.keystream import add_mask, word_dtype
from protocols.crypto.secret import Secret
from protocols.errors import (
    ParameterError,
    ProtocolError,
    RemoteError,
    SessionReused,
    TooFewSurvivors,
    UnsafeOpening,
    UnsafeSession,
)
from protocols.identity import Signatures
from protocols.machine import Client
from protocols.replay import MemoryOpenings, MemoryRecord
from protocols.secure_sum import Finish
from protocols.seeds import MemberShare, SeedCommittee, SeedSum, claims
from protocols.seeds import server as server_module
from protocols.seeds.derived import Derived, hash_of
from protocols.seeds.messages import Agreement, Certificate, Proposal, SeedInput, SumShares
from protocols.seeds.party import AGREEMENT, CLAIMS, ENTRY, SeedParty
from protocols.seeds.protocol import STEPS
from protocols.seeds.sets import SeedSets, quorum
from protocols.session import Participant, Session
from protocols.testing import ProtocolRun, Scenario
from protocols.testing.repeatable import fixed_identity, repeatable_entropy
from tests.support.seed_members import certificates, issued
from tests.support.seed_world import (
    AGREE,
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

VICTIM: Final = CLIENTS[0]
ALL: Final = frozenset(CLIENTS)
FEWER: Final = ALL - {VICTIM}


def minus(one: list[int], other: list[int], modulus: int = 2**16) -> list[int]:
    return [(first - second) % modulus for first, second in zip(one, other, strict=True)]


def answering(**answers: Callable[[SeedParty, Any], Any]) -> Any:
    """Return the table of steps with other answers of the members."""
    rows: tuple[Any, ...] = STEPS
    return tuple(replace(row, answer=answers.get(row.name, row.answer)) for row in rows)


def sum_with(server: WilfulServer, contributors: Collection[int], by: Collection[int]) -> list[int] | None:
    """Have these members agree to contributors and open them; return the sum, or None if a member refuses."""
    try:
        machines = {member: server.member(member) for member in by}
        return opened(server, contributors, machines)
    except ProtocolError:
        return None


def opened(server: WilfulServer, contributors: Collection[int], machines: Mapping[int, Client]) -> list[int]:
    """Return the sum that these machines agree to and open."""
    signatures = {member: server.agreement(machine, contributors) for member, machine in machines.items()}
    shares = {member: server.shares(machine, signatures) for member, machine in machines.items()}
    return server.total(contributors, shares)


# Two sets of contributors without the round in which members agree.


class _NoRoundParty(SeedParty):
    """A member that opens what it alone has signed."""

    def _check_certificate(self, certificate: Certificate) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class NoRound(SeedSum):
    """The protocol without the certificate."""

    def client_party(self, session: Session, participant: Participant) -> SeedParty:
        """Return a member that does not check it."""
        return _NoRoundParty(self._derived(session), participant)


def two_sums(protocol: SeedSum, one: Collection[int], other: Collection[int], members: int = 4) -> list[int] | None:
    """Ask some members for all clients, and others for all but the victim; return the difference of the sums."""
    server = WilfulServer(seed_scenario(members, 1, protocol=protocol))
    whole, fewer = sum_with(server, ALL, one), sum_with(server, FEWER, other)
    return None if whole is None or fewer is None else minus(whole, fewer)


@pytest.mark.parametrize(
    ("members", "one", "other"),
    [(3, MEMBERS[0:3:2], MEMBERS[1:3]), (4, MEMBERS[:2], MEMBERS[2:4])],
    ids=["one-corrupt-member", "no-corrupt-member"],
)
def test_two_sets_are_not_opened_by_two_groups_of_members(
    members: int, one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    """The server asks two groups for two sums. With three members, the third one is corrupt and is in both groups.

    Without the round both sums open: the difference is the victim's vector. With it, no group reaches the quorum.
    """
    inputs = seed_scenario(members, 1).inputs()
    assert two_sums(NoRound(adversary=MALICIOUS), one, other, members) == inputs[VICTIM].tolist()
    assert two_sums(SeedSum(adversary=MALICIOUS), one, other, members) is None


def test_two_sets_and_their_union_are_not_opened_by_three_pairs_of_honest_members() -> None:
    """S1 and S2 have one client in common. X(S1) + X(S2) - X(S1 and S2 together) is the vector of that client."""
    first, second = frozenset({VICTIM, *CLIENTS[1:3]}), frozenset({VICTIM, *CLIENTS[3:5]})
    pairs = (MEMBERS[0:2], MEMBERS[2:4], MEMBERS[4:6])
    for protocol, succeeds in ((NoRound(adversary=MALICIOUS), True), (SeedSum(adversary=MALICIOUS), False)):
        server = WilfulServer(seed_scenario(6, 1, protocol=protocol))
        one, two, both = (
            sum_with(server, each, pair) for each, pair in zip((first, second, first | second), pairs, strict=True)
        )
        if not succeeds:
            assert (one, two, both) == (None, None, None)
            continue
        assert one is not None
        assert two is not None
        assert both is not None
        assert minus([a + b for a, b in zip(one, two, strict=True)], both) == server.inputs[VICTIM].tolist()


# Quorums that are too small.


@pytest.mark.parametrize(
    ("members", "agreeing", "what"),
    [(5, 3, "t + 1"), (4, 3, "(m + t) / 2"), (6, 4, "(m + t) / 2")],
)
def test_two_quorums_with_corrupt_members_alone_in_common_open_two_sums(members: int, agreeing: int, what: str) -> None:
    """Two members are corrupt and sign both sets; the honest ones are split between the two sets.

    With q = t + 1, or 2q = m + t, both sets are certified. There is no committee with such a quorum, and with the
    least one there are too few honest members for two certificates.
    """
    assert agreeing == (3 if what == "t + 1" else (members + 2) // 2)
    corrupt, honest = MEMBERS[members - 2 : members], MEMBERS[: members - 2]
    needed = agreeing - 2
    one, other = honest[:needed], honest[-needed:]
    assert not set(one) & set(other)
    weak = WilfulServer(seed_scenario(members, 2, agreeing=agreeing, threshold=4))
    whole, fewer = sum_with(weak, ALL, {*one, *corrupt}), sum_with(weak, FEWER, {*other, *corrupt})
    assert whole is not None
    assert fewer is not None
    assert minus(whole, fewer) == weak.inputs[VICTIM].tolist()
    with pytest.raises(ParameterError, match="quorum: expected from"):
        SeedCommittee(certificates=certificates(members), colluding=2, quorum=agreeing)
    strong = WilfulServer(seed_scenario(members, 2, threshold=4))
    for size in range(len(honest) + 1):
        sums = [
            sum_with(strong, ALL, {*honest[:size], *corrupt}),
            sum_with(strong, FEWER, {*honest[size:], *corrupt}),
        ]
        assert None in sums


@pytest.mark.parametrize("adversary", [CURIOUS, MALICIOUS])
def test_two_sessions_of_one_context_are_not_opened_by_quorums_that_share_the_corrupt(
    adversary: Adversary,
) -> None:
    """A corrupt member answers in two sessions of one context, and two honest ones in one session each.

    Server and honest members follow the protocol; each honest member is away once. With q = floor(m / 2) + 1, no honest
    member sees both sets, so the record under the context compares nothing: the difference of the sums is the victim's
    vector. The least quorum must stop it with either server.
    """
    first, second, corrupt = MEMBERS[:3]
    sums = dict[int, list[list[int] | None]]()
    for agreeing in (2, quorum(3, 1)):
        sums[agreeing] = []
        records = {first: MemoryOpenings(), second: MemoryOpenings()}
        for session_id, contributors, honest in (
            (b"the first session", ALL, first),
            (b"the second session", FEWER, second),
        ):
            scenario = seed_scenario(3, 1, adversary, agreeing=agreeing, session_id=session_id)
            server = WilfulServer(scenario)
            machines = {member: server.member(member, records.get(member)) for member in (honest, corrupt)}
            try:
                sums[agreeing].append(opened(server, contributors, machines))
            except ProtocolError:
                sums[agreeing].append(None)
    whole, fewer = sums[2]
    assert whole is not None
    assert fewer is not None
    assert minus(whole, fewer) == seed_scenario(3, 1, adversary).inputs()[VICTIM].tolist()
    assert sums[quorum(3, 1)] == [None, None]


# The record and the signature.


def signature_first(party: SeedParty, proposal: Proposal) -> Agreement:
    """Sign before the record is made."""
    derived = party._derived
    entries = (party.state.entries[client] for client in proposal.contributors)
    root = derived.root(proposal.contributors, proposal.weights, entries)
    party._sign(AGREEMENT, root)
    return SeedParty.agree(party, proposal)


@dataclass(frozen=True, kw_only=True)
class SignsFirst(SeedSum):
    """The protocol in which the record comes after the signature."""

    steps = answering(agree=signature_first)


class _CrashError(Exception):
    """The power is cut."""


class CrashingRecord:
    """A record whose process ends once, right before the record is on the disk."""

    def __init__(self) -> None:
        self.kept = MemoryOpenings()
        self.crashed = False

    def record(self, **fields: Any) -> None:
        """See `OpeningRecord.record`."""
        if not self.crashed:
            self.crashed = True
            raise _CrashError
        self.kept.record(**fields)


@pytest.mark.parametrize("kind", [SignsFirst, SeedSum])
def test_member_that_crashes_between_signature_and_record_signs_no_second_set(
    kind: type[SeedSum], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One member crashes when it is asked, is started again and asked for another set; one more member is corrupt.

    What it signs is taken to be sent at once. If it signs first, it has signed two sets and remembers one.
    """
    server = WilfulServer(seed_scenario(4, 1, protocol=kind(adversary=MALICIOUS)))
    sent, sign = list[bytes](), Signatures.sign

    def sending(self: Signatures, identity: Any, **fields: Any) -> bytes:
        signature = sign(self, identity, **fields)
        if fields["purpose"] == AGREEMENT:
            sent.append(signature)
        return signature

    crashing, one, other, corrupt = MEMBERS[:4]
    record = CrashingRecord()
    with monkeypatch.context() as patch:
        patch.setattr(Signatures, "sign", sending)
        with pytest.raises(_CrashError):
            server.agreement(server.member(crashing, record), ALL)
    again = server.member(crashing, record)
    if kind is SeedSum:
        assert not sent
        assert sum_with(server, ALL, {one, corrupt}) is None
        return
    sums = []
    for contributors, honest, signatures in (
        (ALL, one, {crashing: sent[0]}),
        (FEWER, other, {crashing: server.agreement(again, FEWER)}),
    ):
        machines = {member: server.member(member) for member in (honest, corrupt)}
        signatures |= {member: server.agreement(machine, contributors) for member, machine in machines.items()}
        shares = {member: server.shares(machine, signatures) for member, machine in machines.items()}
        sums.append(server.total(contributors, shares))
    assert minus(sums[0], sums[1]) == server.inputs[VICTIM].tolist()


# What the record is compared with, and when.


def agree_without_context(party: SeedParty, proposal: Proposal) -> Agreement:
    """Sign one set a session, and compare nothing under the context."""
    keyholder, _ = party._as_member()
    real = keyholder.openings

    class Blind:
        def record(self, **fields: Any) -> None:
            real.record(**fields | {"context": b"of session " + fields["session_id"]})

    object.__setattr__(keyholder, "openings", Blind())
    try:
        return SeedParty.agree(party, proposal)
    finally:
        object.__setattr__(keyholder, "openings", real)


def open_and_record(party: SeedParty, certificate: Certificate) -> SumShares:
    """Compare under the context when the sum is opened."""
    keyholder, _ = party._as_member()
    session = party._derived.session
    keyholder.openings.record(
        key=hash_of(keyholder.fingerprint),
        session_id=session.session_id,
        context=session.context,
        contributors=party.state.contributors,
        minimum=session.threshold,
        root=party.state.root,
    )
    return SeedParty.open_sum(party, certificate)


@dataclass(frozen=True, kw_only=True)
class RecordsAtOpening(SeedSum):
    """The protocol in which contexts are recorded when a sum is opened."""

    steps = answering(agree=agree_without_context, open_sum=open_and_record)


@pytest.mark.parametrize("kind", [RecordsAtOpening, SeedSum])
def test_two_sessions_of_one_context_are_not_opened_by_two_honest_members(kind: type[SeedSum]) -> None:
    """All members sign both sets. One honest member opens the first, another one the second; a third is corrupt.

    If members compare when they open, neither of them has seen the other sum. If they compare when they sign, the
    second set has no quorum.
    """
    records = {member: MemoryOpenings() for member in MEMBERS[:3]}
    sums = []
    for session_id, contributors, opener in (
        (b"the first session", ALL, MEMBERS[0]),
        (b"the second session", FEWER, MEMBERS[1]),
    ):
        server = WilfulServer(seed_scenario(4, 1, protocol=kind(adversary=MALICIOUS), session_id=session_id))
        machines, signatures = dict[int, Client](), dict[int, bytes]()
        for member in MEMBERS[:4]:
            machines[member] = server.member(member, records.get(member))
            try:
                signatures[member] = server.agreement(machines[member], contributors)
            except UnsafeOpening:
                assert kind is SeedSum
        try:
            shares = {each: server.shares(machines[each], signatures) for each in (opener, MEMBERS[3])}
        except ProtocolError:
            assert kind is SeedSum
            assert set(signatures) == {MEMBERS[3]}
            return
        sums.append(server.total(contributors, shares))
    assert kind is RecordsAtOpening
    assert minus(sums[0], sums[1]) == server.inputs[VICTIM].tolist()


class RecordsOfKeys:
    """A record that knows, under each key, what was recorded under that key."""

    def __init__(self) -> None:
        self.by_key = dict[bytes, MemoryOpenings]()

    def record(self, *, key: bytes, **fields: Any) -> None:
        """See `OpeningRecord.record`."""
        self.by_key.setdefault(key, MemoryOpenings()).record(key=key, **fields)


class _EpochShare(MemberShare):
    """What a member holds if it records under the key of its epoch."""

    @property
    def record_key(self) -> bytes:
        """A hash of the epoch's certificate."""
        return self.epoch_key.certificate.fingerprint


@pytest.mark.parametrize("by_epoch", [True, False])
def test_member_with_a_new_epochs_key_signs_no_second_set_under_one_context(*, by_epoch: bool) -> None:
    """The server waits for the next epoch and asks for a set with one client fewer, under the same context.

    Under the epoch's key the member finds no record. Under its identity it does (UnsafeOpening).
    """
    records = {member: RecordsOfKeys() for member in MEMBERS[:3]}
    sums = []
    for epoch, contributors in ((0, ALL), (1, FEWER)):
        scenario = seed_scenario(3, 1, epoch=epoch, session_id=b"session of epoch %d" % epoch)
        if by_epoch:
            shares = {
                member: _EpochShare(share.key, share.index, share.identity, share.epoch_key)
                for member, share in scenario.key_shares.items()
                if isinstance(share, MemberShare)
            }
            scenario = replace(scenario, key_shares=shares)
        server = WilfulServer(scenario)
        machines = {member: server.member(member, record) for member, record in records.items()}
        if by_epoch or epoch == 0:
            sums.append(opened(server, contributors, machines))
            continue
        for machine in machines.values():
            with pytest.raises(UnsafeOpening):
                server.agreement(machine, contributors)
    if by_epoch:
        assert minus(sums[0], sums[1]) == server.inputs[VICTIM].tolist()


# What is signed.


class _IdsAlone(Derived):
    """A root over ids and weights, without the entries."""

    def root(self, contributors: Any, weights: Any, entries: Any) -> bytes:
        return super().root(contributors, weights, [bytes(32) for _ in entries])


@dataclass(frozen=True, kw_only=True)
class SignsIds(SeedSum):
    """The protocol in which members sign who contributes, and not what."""

    def _derived(self, session: Session) -> Derived:
        return _IdsAlone(session=session, digest=self.digest(session), pads=self.pads_of(session, self.digest(session)))


@pytest.mark.parametrize("kind", [SignsIds, SeedSum])
def test_honest_member_is_not_framed_by_two_messages_of_one_client(kind: type[SeedSum]) -> None:
    """A corrupt client signs two messages. The server shows the second one to one honest member alone.

    If members sign ids, all sign the same root, and their claims differ: by the rule of t + 1 equal claims, the honest
    member has lied. If they sign entries, it signs another root, and there is no certificate that it would answer.
    """
    scenario = seed_scenario(4, 1, protocol=kind(adversary=MALICIOUS))
    server, corrupt = WilfulServer(scenario), CLIENTS[1]
    second = ProtocolRun(scenario, seed=b"a second life")
    replies = ProtocolRun(scenario).replies() | {corrupt: second.clients[corrupt].handle(second.requests[corrupt])}
    run = ProtocolRun(scenario)
    run.deliver(replies)
    framed, others = MEMBERS[0], MEMBERS[1:3]
    machines = {member: server.member(member) for member in others}
    machine = scenario.client(framed, None, repeatable_entropy(b"framed"), openings=MemoryOpenings())
    machine.handle(run.requests[framed])
    machines[framed] = machine
    signatures = {member: server.agreement(each, ALL) for member, each in machines.items()}
    if kind is SeedSum:
        for each in machines.values():
            with pytest.raises(RemoteError):
                server.shares(each, signatures)
        return
    told = dict[int, list[bytes]]()
    for member, each in machines.items():
        claimed = bytes(server.shares(each, signatures).claims)
        told[MEMBERS.index(member)] = [claimed[at : at + 32] for at in range(0, len(claimed), 32)]
    named = claims_of_a_set(told, SeedSets(4, 1), (0, 1, 2))
    assert named == {0}


def claims_of_a_set(told: Mapping[int, list[bytes]], sets: SeedSets, holders: tuple[int, ...]) -> set[int]:
    """Return the members of a set that t + 1 equal claims of others show as liars."""
    number = sets.holders.index(holders)
    found = {member: own[sets.of(member).index(number)] for member, own in told.items()}
    right = max(found.values(), key=list(found.values()).count)
    assert list(found.values()).count(right) == sets.colluding + 1
    return {member for member, claim in found.items() if claim != right}


# Claims before the certificate.


def agree_with_claims(member: SeedParty, proposal: Proposal) -> Agreement:
    """Send the claims together with the signature, before there is a certificate."""
    agreement = SeedParty.agree(member, proposal)
    derived, (_, share) = member._derived, member._as_member()
    claimed = b"".join(
        derived.claim(
            member.state.root, number, derived.pads.opening(member._set_keys(place, number), member.state.weights)
        )
        for place, number in enumerate(derived.sets.of(share.index - 1))
    )
    return Agreement(memoryview(bytes(agreement.signature) + claimed))


@dataclass(frozen=True, kw_only=True)
class ClaimsEarly(SeedSum):
    """The protocol in which members claim when they sign."""

    steps = answering(agree=agree_with_claims)


def known_pads(server: WilfulServer, corrupt: int, contributors: Collection[int]) -> dict[int, int]:
    """Return the sums of pads that a corrupt member knows, by set, of vectors with one coordinate."""
    derived, found = derived_of(server.scenario), dict[int, int]()
    for client in contributors:
        hashes, boxes, _ = derived.split_sealed(memoryview(server.messages[client].sealed))
        info = derived.box_info(hashes, client=client, member=corrupt)
        seeds = issued(corrupt)[1].key.open(info, boxes[corrupt])
        for place, number in enumerate(derived.sets.of(corrupt)):
            key = derived.pad_key(Secret(seeds[32 * place : 32 * place + 32]), client=client, number=number)
            pad = np.zeros(1, dtype=word_dtype(2**16))
            add_mask(pad, key)
            found[number] = (found.get(number, 0) + int(pad[0])) % 2**16
    return found


def guessed(server: WilfulServer, contributors: Collection[int], claim: bytes, unknown: int) -> int:
    """Return the sum whose pads have this claim, after trying every sum that there is."""
    derived = derived_of(server.scenario)
    known = sum(known_pads(server, 2, contributors).values())
    padded = sum(int(packing.unpack(server.messages[each].padded, 1, 2**16)[0]) for each in contributors)
    entries = []
    for client in sorted(contributors):
        message = server.messages[client]
        hashes, boxes, _ = derived.split_sealed(memoryview(message.sealed))
        entries.append(
            derived.entry(client, derived.padded_hash(message.padded), hashes, b"".join(map(hash_of, boxes)))
        )
    root = derived.root(sorted(contributors), (1,) * len(contributors), entries)
    for candidate in range(2**16):
        pad = (padded - known - candidate) % 2**16
        if derived.claim(root, unknown, pad.to_bytes(2, "little")) == claim:
            return candidate
    raise LookupError("candidates: expected one that fits, found none")


def test_claim_before_the_certificate_lets_the_server_try_candidates_for_two_sums() -> None:
    """Each of two honest members is asked for another set. The third one is corrupt and knows all sets but one.

    With early claims, the server finds both sums and so the victim's value. What members send in the protocol is a
    signature that anyone with their identity can make without a seed.
    """
    variant = seed_scenario(3, 1, protocol=ClaimsEarly(adversary=MALICIOUS), length=1)
    server = WilfulServer(variant)
    unknown = SeedSets(3, 1).holders.index((0, 1))
    found = []
    for member, contributors in ((MEMBERS[0], ALL), (MEMBERS[1], FEWER)):
        claimed = server.agreement(server.member(member), contributors)[64:]
        place = SeedSets(3, 1).of(MEMBERS.index(member)).index(unknown)
        found.append([guessed(server, contributors, claimed[32 * place : 32 * place + 32], unknown)])
    assert minus(found[0], found[1]) == server.inputs[VICTIM].tolist()
    real = WilfulServer(seed_scenario(3, 1, length=1))
    machine = real.member(MEMBERS[0])
    signature = real.agreement(machine, ALL)
    root, derived = machine._party.state.root, derived_of(real.scenario)
    assert signature == derived.member_signatures.sign(
        fixed_identity(0), client=MEMBERS[0], purpose=AGREEMENT, payload=root
    )
    with pytest.raises(RemoteError, match="at least the quorum"):
        real.shares(machine, {MEMBERS[0]: signature})


# Liars.


def majority(told: Mapping[int, Any], sets: SeedSets) -> claims.Decision:
    """Take for each set the claim with the most votes: the rule that is not in use."""
    held = []
    for number in range(sets.count):
        found = [own[sets.of(member).index(number)] for member, own in told.items() if number in sets.of(member)]
        held.append(max(found, key=found.count))
    return claims.Decision(claims=tuple(held), verified=True, liars=frozenset())


def finished_with_liars(scenario: Scenario, liars: Collection[int], silent: Collection[int], lied: int) -> ProtocolRun:
    """Finish a sum in which liars tell one lie about a set, and silent members do not answer the last step."""
    run = ProtocolRun(scenario).to_step(OPEN)
    derived, codec = derived_of(scenario), scenario.codec
    while not isinstance(run.progress, Finish):
        for member, request in run.requests.items():
            if member in silent:
                continue
            reply = run.clients[member].handle(request)
            if member in liars:
                asked = codec.decode(OPEN, Certificate, request).sets
                message, place = codec.decode(OPEN, SumShares, reply), MEMBERS.index(member)
                state = run.clients[member]._party.state
                own, root = derived.sets.of(place), state.root
                size = derived.pads.opening_bytes(len(state.contributors))
                told, sums = bytearray(message.claims), bytearray(message.sums)
                at = own.index(lied)
                told[32 * at : 32 * at + 32] = derived.claim(root, lied, bytes(size))
                if lied in asked:
                    sums[size * asked.index(lied) : size * asked.index(lied) + size] = bytes(size)
                signature = derived.member_signatures.sign(
                    fixed_identity(place), client=member, purpose=CLAIMS, payload=root + hash_of(bytes(told))
                )
                changed = SumShares(memoryview(bytes(told)), memoryview(signature), memoryview(bytes(sums)))
                reply = codec.encode(OPEN, changed)
            run.server.receive(member, reply)
        run.progress = run.server.advance()
    return run


CASES: Final = pytest.mark.parametrize(
    ("members", "colluding", "adversary", "liars", "silent", "holders"),
    [
        (3, 1, CURIOUS, MEMBERS[:1], MEMBERS[1:2], (0, 1)),
        (5, 2, MALICIOUS, MEMBERS[:2], (), (0, 1, 2)),
    ],
    ids=["alone-in-its-set", "two-of-three"],
)


@CASES
def test_liars_make_no_wrong_sum_that_is_verified(
    members: int,
    colluding: int,
    adversary: Any,
    liars: tuple[int, ...],
    silent: tuple[int, ...],
    holders: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A liar answers for a set alone since the other member is silent, or two liars are the majority of a set.

    A majority takes their sum. The rule of t + 1 equal claims refuses it.
    """
    scenario = seed_scenario(members, colluding, adversary, threshold=4)
    lied = SeedSets(members, colluding).holders.index(holders)
    with pytest.raises((RemoteError, TooFewSurvivors)):
        finished_with_liars(scenario, liars, silent, lied)
    monkeypatch.setattr(server_module, "decide", majority)
    monkeypatch.setattr(SeedSets, "needed", property(lambda sets: sets.colluding + 1))
    run = finished_with_liars(scenario, liars, silent, lied)
    assert isinstance(run.progress, Finish)
    assert run.progress.verified
    assert not run.is_exact(run.progress)


# Boxes and seeds of others.


class _Unbound(Derived):
    """What seeds give, and what boxes are sealed for, without the session and the client."""

    @cached_property
    def _nothing(self) -> Derived:
        return Derived(session=self.session, digest=bytes(32), pads=self.pads)

    def box_info(self, seed_hashes: bytes, *, client: int, member: int) -> bytes:
        return self._nothing.box_info(seed_hashes, client=0, member=member)

    def seed_hash(self, seed: Secret, *, client: int, number: int) -> bytes:
        return self._nothing.seed_hash(seed, client=0, number=number)

    def pad_key(self, seed: Secret, *, client: int, number: int) -> Secret:
        return self._nothing.pad_key(seed, client=0, number=number)


@dataclass(frozen=True, kw_only=True)
class Unbound(SeedSum):
    """The protocol in which a box says nothing of its use."""

    def _derived(self, session: Session) -> Derived:
        return _Unbound(session=session, digest=self.digest(session), pads=self.pads_of(session, self.digest(session)))


def replayed(scenario: Scenario, message: SeedInput) -> list[int]:
    """Have every client but the victim hand in the victim's message as its own, and return the sum.

    All of these clients are corrupt, and sign what they hand in.
    """
    protocol = scenario.protocol
    assert isinstance(protocol, SeedSum)
    derived, run = protocol._derived(scenario.session), ProtocolRun(scenario)
    hashes, boxes, _ = derived.split_sealed(memoryview(message.sealed))
    for client in FEWER:
        entry = derived.entry(client, derived.padded_hash(message.padded), hashes, b"".join(map(hash_of, boxes)))
        signature = derived.signatures.sign(fixed_identity(client), client=client, purpose=ENTRY, payload=entry)
        sealed = memoryview(hashes + b"".join(boxes) + signature)
        run.server.receive(client, scenario.codec.encode(MASK, SeedInput(message.padded, sealed)))
    run.progress = run.server.advance()
    return [int(each) for each in run.finish().total]


@pytest.mark.parametrize("session_id", [b"a session of seeds", b"a later session of seeds"])
@pytest.mark.parametrize("kind", [Unbound, SeedSum])
def test_victims_message_is_not_handed_in_by_others(kind: type[SeedSum], session_id: bytes) -> None:
    """Four corrupt clients hand in the victim's message, in its session or later: the sum is four times its input.

    What boxes and seeds are bound to must stop it: honest members cannot open the boxes, and no sum is left.
    """
    protocol = kind(adversary=MALICIOUS)
    server = WilfulServer(seed_scenario(4, 1, protocol=protocol))
    later = seed_scenario(4, 1, protocol=protocol, session_id=session_id)
    if kind is SeedSum:
        with pytest.raises(TooFewSurvivors, match="members complain of 4 clients"):
            replayed(later, server.messages[VICTIM])
        return
    total = replayed(later, server.messages[VICTIM])
    assert total == [4 * each % 2**16 for each in server.inputs[VICTIM].tolist()]


class _SealedForAnother(SeedParty):
    """A client that seals each box for the use of the next member."""

    def _box(self, member: int, seeds: list[Secret], hashes: bytes) -> bytes:
        derived = self._derived
        return hpke.seal(
            derived.key.public_keys[member],
            info=derived.box_info(hashes, client=self._party, member=(member + 1) % derived.key.members),
            plaintext=b"".join(seeds[number].reveal() for number in derived.sets.of(member)),
        )


def test_box_for_another_member_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is the member's, and the use another one's. If info does not say the member, the box opens."""
    scenario, real = seed_scenario(4, 1), Derived.box_info

    def without_member(self: Derived, seed_hashes: bytes, *, client: int, member: int) -> bytes:
        return real(self, seed_hashes, client=client, member=0)

    for bound in (True, False):
        if not bound:
            monkeypatch.setattr(Derived, "box_info", without_member)
        run = ProtocolRun(scenario)
        run.clients[VICTIM]._party.__class__ = _SealedForAnother
        run.to_step(CHECK)
        run.deliver(run.replies())
        proposal = scenario.codec.decode(AGREE, Proposal, next(iter(run.requests.values())))
        assert (VICTIM in proposal.contributors) is not bound


class _SeedIsKey(Derived):
    """A pad's key that is the seed itself."""

    def pad_key(self, seed: Secret, *, client: int, number: int) -> Secret:
        return seed


@dataclass(frozen=True, kw_only=True)
class SeedIsKey(SeedSum):
    """The protocol in which a pad is bound to nothing."""

    def _derived(self, session: Session) -> Derived:
        return _SeedIsKey(
            session=session, digest=self.digest(session), pads=self.pads_of(session, self.digest(session))
        )


@pytest.mark.parametrize("kind", [SeedIsKey, SeedSum])
def test_cloned_machine_does_not_show_the_difference_of_its_vectors(kind: type[SeedSum]) -> None:
    """A machine was copied, and draws the same seeds in two sessions, for two vectors.

    If the seed is the key, the pads are the same and cancel. Bound to the session, they do not.
    """
    vectors, padded = [], []
    for session_id, seed in ((b"the first session", 0), (b"the second session", 1)):
        scenario = seed_scenario(4, 1, protocol=kind(adversary=MALICIOUS), session_id=session_id, length=40)
        vector = scenario.inputs(seed)[VICTIM]
        machine = scenario.client(VICTIM, vector, repeatable_entropy(b"a clone"))
        request = ProtocolRun(scenario).requests[VICTIM]
        message = scenario.codec.decode(MASK, SeedInput, machine.handle(request))
        vectors.append(vector.tolist())
        padded.append(packing.unpack(message.padded, 40, 2**16).tolist())
    assert (minus(*padded) == minus(*vectors)) is (kind is SeedIsKey)


# Two committees.


class _Forgetful(MemoryRecord):
    """A record of sessions that does not know of committees."""

    def record(self, *args: Any, **fields: Any) -> None:
        super().record(*args, **fields | {"committee": b""})


def records_of(kind: type[MemoryRecord]) -> dict[int, MemoryRecord]:
    return {client: kind() for client in CLIENTS}


def handed_in(scenario: Scenario, records: Mapping[int, MemoryRecord]) -> WilfulServer:
    """Have all clients hand in, each with its record."""
    run = ProtocolRun(scenario)
    run.clients |= {
        client: scenario.client(client, run.inputs[client], repeatable_entropy(b"%d" % client), record)
        for client, record in records.items()
    }
    return WilfulServer(scenario, run)


@pytest.mark.parametrize("kind", [_Forgetful, MemoryRecord])
def test_clients_hand_in_nothing_to_a_second_committee_under_one_context(kind: type[MemoryRecord]) -> None:
    """The server names one committee, and then another one with other honest members, for the same inputs.

    No member knows of both sums. Only the clients' records can stop it (UnsafeSession).
    """
    records, honest = records_of(kind), [MEMBERS[:3], MEMBERS[:4]]
    sums = list[list[int]]()
    for size, by, contributors in ((3, honest[0], ALL), (4, honest[1], FEWER)):
        scenario = seed_scenario(size, 1, session_id=b"with a committee of %d" % size)
        if kind is MemoryRecord and sums:
            with pytest.raises(UnsafeSession, match="expected the one to which this client has sent its vector before"):
                handed_in(scenario, records)
            break
        server = handed_in(scenario, records)
        total = sum_with(server, contributors, by)
        assert total is not None
        sums.append(total)
    if kind is _Forgetful:
        assert minus(sums[0], sums[1]) == server.inputs[VICTIM].tolist()


def test_new_epoch_of_the_same_committee_is_no_second_committee() -> None:
    """The server offers a new epoch, then the old session again; the session record must refuse only the latter."""
    records = records_of(MemoryRecord)
    for epoch in (0, 1):
        handed_in(seed_scenario(3, 1, epoch=epoch, session_id=b"session of epoch %d" % epoch), records)
    with pytest.raises(SessionReused):
        handed_in(seed_scenario(3, 1, epoch=1, session_id=b"session of epoch 0"), records)
