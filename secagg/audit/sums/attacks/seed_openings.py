"""Requests to committee members of replicated seeds for what they must not reveal, by a server that may do anything."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from protocols import (
    Client,
    Committee,
    Identity,
    MemberCertificate,
    MemoryOpenings,
    OpeningRecord,
    Secret,
    SeedCommittee,
    SeedSum,
)
from protocols.codec import Invitation, Message
from protocols.errors import ProtocolError
from protocols.identity import Roster, Signatures
from protocols.seeds.messages import Agreement, Certificate, Proposal, SeedInput, SumShares
from protocols.seeds.party import AGREEMENT
from protocols.session import Session, Vector
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.seeds import Tape
from secagg.audit.sums.attacks.base import LENGTH, ProtocolAttack, failed, succeeded
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.seed_committee import NEVER_S
from secagg.audit.sums.seed_twin import AGREE, HASH_BYTES, INPUT, SEED_BYTES, Parts, SeedTwin
from secagg.audit.sums.stepwise import SNAPSHOT_KEY, Stepwise, codec_of
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import smallest

OPEN: Final = 3
_STRANGER: Final = 999_999


class SeedOpenings(ProtocolAttack):
    """The server asks members to agree to sums that break their rules, and for sums that no quorum has signed.

    It shows certificates with too few signatures and with signatures over other contributors. It shows two groups of
    members two proposals; against a malicious server, as many members as may be corrupt sign both. It asks a member
    that was restarted after its signature, and one in another session with the same context, for a second proposal.
    """

    id = "attack.seed_openings"
    title = "The server asks members of replicated seeds for sums that they must not agree to, or that no quorum has"
    tests = ("C-09",)

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        cohort = smallest(subject, at_least=3, length=LENGTH, dropouts=1)
        if isinstance(cohort, Inapplicable):
            return cohort
        if not isinstance(cohort.protocol, SeedSum):
            return Inapplicable(why="The protocol has no committee of replicated seeds.")
        return Plan(trials=5, cpu_s=0.3, details=len(cohort.session.clients))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(plan.details, length=LENGTH, context=b"round 1")
        other = subject.cohort(plan.details, length=LENGTH, context=b"round 1", session_id=b"secagg audit another")
        server = SeedAttacker.of(cohort, random_inputs(cohort, seed), seed)
        elsewhere = SeedAttacker.of(other, random_inputs(other, seed), seed)
        for found in (
            *server.early_claims(),
            *server.forbidden_proposals(),
            *server.uncertified(),
            *server.two_groups(corrupt=subject.identified),
            *server.second_signatures(elsewhere),
            *server.second_openings(),
            *server.shown_of_others(),
        ):
            return succeeded(found)
        return failed()


class SubstitutedMembers(ProtocolAttack):
    """The server invites a client to a session whose committee is its own, or the right one with other numbers."""

    id = "attack.substituted_members"
    title = "The server puts a committee in the place of that of which a client has pinned the members"
    tests = ("C-05",)

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        cohort = smallest(subject, at_least=3, length=LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        if not isinstance(cohort.protocol, SeedSum):
            return Inapplicable(why="The protocol has no committee of replicated seeds.")
        return Plan(trials=3, cpu_s=0.05, details=len(cohort.session.clients))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(plan.details, length=LENGTH)
        client = cohort.session.clients[0]
        for what, session in substituted(cohort):
            try:
                machine = Client(
                    cohort.protocol,
                    session,
                    client,
                    random_inputs(cohort, seed)[client],
                    entropy=Tape(seed, what),
                    terms=cohort.terms(client),
                )
                machine.handle(codec_of(replace(cohort, session=session)).encode(INPUT, Invitation()))
            except ProtocolError:
                continue
            return succeeded(f"A client sealed its seeds for a committee that it has not pinned: {what}.")
        return failed()


def substituted(cohort: Cohort) -> Iterator[tuple[str, Session]]:
    """Yield sessions with committees that a client has not pinned, with what they are."""
    session = cohort.session
    key = SeedTwin(cohort=cohort).shares[0].key
    own = [_certified(at) for at in range(key.members)]
    for what, certificates, colluding in (
        ("all members are the server's", tuple(own), key.colluding),
        ("one member is the server's", (own[0], *key.certificates[1:]), key.colluding),
        ("members are in another order", key.certificates[::-1], key.colluding),
        ("another number of members may be corrupt", key.certificates, key.colluding + 1),
    ):
        other = SeedCommittee(certificates=certificates, colluding=colluding, quorum=key.members)
        yield what, replace(session, committee=Committee(key=other, members=session.committee_members))


def _certified(at: int) -> MemberCertificate:
    """Return a certificate of an identity of the server's own."""
    identity = Identity(Secret(Tape(b"server", f"identity {at}")(32)))
    return MemberCertificate.issue(identity, 0, 0, NEVER_S)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedAttacker:
    """A server that has every client's message, and members that have accepted all of them.

    Attributes:
        run: The session, in which the step `agree` is open.
        entries: By client, the entry E.
        parts: By client, its message, taken apart.
        replies: Every reply of a member before this step.
    """

    run: Stepwise
    entries: dict[int, bytes]
    parts: dict[int, Parts]
    replies: tuple[bytes, ...]

    @classmethod
    def of(cls, cohort: Cohort, inputs: dict[int, Vector], seed: bytes) -> "SeedAttacker":
        """Return a server that has carried out a session honestly up to the step `agree`."""
        run, twin = Stepwise(cohort, inputs, seed), SeedTwin(cohort=cohort)
        sent, entries, parts = run.replies(), dict[int, bytes](), dict[int, Parts]()
        for client, reply in sent.items():
            message = run.body(INPUT, reply)
            if isinstance(message, SeedInput):
                parts[client] = twin.parts(message)
                entries[client] = twin.entry(client, parts[client])
        run.deliver(sent)
        complaints = run.replies()
        run.deliver(complaints)
        return cls(run=run, entries=entries, parts=parts, replies=tuple(complaints.values()))

    @property
    def cohort(self) -> Cohort:
        """The session and the parties' secrets."""
        return self.run.cohort

    @property
    def members(self) -> tuple[int, ...]:
        """The ids of the committee's members."""
        return self.cohort.session.committee_members

    @property
    def everyone(self) -> tuple[int, ...]:
        """All clients."""
        return tuple(sorted(self.entries))

    @property
    def all_but_one(self) -> tuple[int, ...]:
        """All clients but the first one."""
        return self.everyone[1:]

    def machine(self, member: int, openings: OpeningRecord | None = None) -> Client:
        """Return a copy of a member's machine in the step `agree`, with a record of openings; None for a new one."""
        cohort = self.cohort
        return Client.restore(
            cohort.protocol,
            cohort.session,
            self.run.clients[member].snapshot(SNAPSHOT_KEY),
            key=SNAPSHOT_KEY,
            entropy=Tape(b"machine", str(member)),
            terms=None,
            keyholder=cohort.keyholder(member, openings),
        )

    def agreed(self, machine: Client, contributors: Sequence[int], weights: Sequence[int] = ()) -> bytes | None:
        """Return a member's signature over a proposal; None if it refuses."""
        proposal = Proposal(tuple(contributors), tuple(weights) or (1,) * len(contributors))
        reply = self._answer(machine, AGREE, proposal)
        return bytes(reply.signature) if isinstance(reply, Agreement) else None

    def opened(
        self, machine: Client, signatures: dict[int, bytes], sets: Sequence[int] | None = None
    ) -> SumShares | None:
        """Return what a member reveals under these signatures, of all of its sets if none are named."""
        own = SeedTwin(cohort=self.cohort).sets.of(self.members.index(machine.client))
        signers = tuple(sorted(signatures))
        joined = b"".join(signatures[each] for each in signers)
        request = Certificate(signers, memoryview(joined), tuple(own if sets is None else sets))
        reply = self._answer(machine, OPEN, request)
        return reply if isinstance(reply, SumShares) else None

    def early_claims(self) -> Iterator[str]:
        """Yield which member shows something of a sum before it has seen a certificate."""
        machines = {member: self.machine(member) for member in self.members}
        proposal = Proposal(self.everyone, (1,) * len(self.everyone))
        codec, before, signatures = codec_of(self.cohort), list(self.replies), dict[int, bytes]()
        for member, machine in machines.items():
            before.append(machine.handle(codec.encode(AGREE, proposal)))
            signatures[member] = bytes(codec.decode(AGREE, Agreement, before[-1]).signature)
        for member, machine in machines.items():
            shown = self.opened(machine, signatures)
            if shown is None:
                yield f"Member {member} does not open a sum for which all members have signed."
                return
            claims = bytes(shown.claims)
            for at in range(0, len(claims), HASH_BYTES):
                if any(claims[at : at + HASH_BYTES] in each for each in before):
                    yield f"Member {member} sent a hash of a sum before a quorum had signed its contributors."

    def forbidden_proposals(self) -> Iterator[str]:
        """Yield which proposals a member signs that break its rules."""
        member, everyone, least = self.members[0], self.everyone, self.cohort.session.threshold
        for what, contributors, weights in (
            ("one client", everyone[:1], ()),
            ("fewer clients than the threshold", everyone[: least - 1], ()),
            ("one client twice", (everyone[0], *everyone), ()),
            ("clients in another order", everyone[::-1], ()),
            ("a client that has sent nothing", (*everyone, _STRANGER), ()),
            ("a weight of 0 for all clients but one", everyone, (1, *(0,) * (len(everyone) - 1))),
        ):
            if self.agreed(self.machine(member), contributors, weights) is not None:
                yield f"A member signed a sum of {what}."

    def uncertified(self) -> Iterator[str]:
        """Yield which certificates a member accepts that are none."""
        quorum = self._quorum
        first, second = self._signatures(self.everyone), self._signatures(self.all_but_one)
        member = self.members[0]
        own = {member: first[member]}
        for what, signatures in (
            ("without any signature", {}),
            ("with its own signature alone", own),
            (f"with {quorum - 1} signatures of a quorum of {quorum}", dict(list(first.items())[: quorum - 1])),
            ("with signatures over other contributors", second),
            ("with its own signature and others over other contributors", second | own),
        ):
            machine = self.machine(member)
            self.agreed(machine, self.everyone)
            if self.opened(machine, signatures) is not None:
                yield f"A member showed claims of a sum under a certificate {what}."
        if self.opened(self.machine(member), first) is not None:
            yield "A member that had signed no contributors showed claims of a sum."

    def two_groups(self, *, corrupt: bool) -> Iterator[str]:
        """Yield whether two groups of members, each asked once, open two sums; corrupt members sign for both."""
        key = SeedTwin(cohort=self.cohort).shares[0].key
        liars = self.members[: key.colluding] if corrupt else ()
        honest = [member for member in self.members if member not in liars]
        groups = honest[: (len(honest) + 1) // 2], honest[(len(honest) + 1) // 2 :]
        answered = []
        for group, contributors in zip(groups, (self.everyone, self.all_but_one), strict=True):
            machines = {member: self.machine(member) for member in group}
            signed = {member: self.agreed(machine, contributors) for member, machine in machines.items()}
            signatures = {member: each for member, each in signed.items() if each is not None}
            signatures |= {liar: self._signed(liar, contributors) for liar in liars}
            answered.append(any(self.opened(machine, signatures) is not None for machine in machines.values()))
        if all(answered):
            yield (
                f"Members showed sums of {len(self.everyone)} clients and of all but one in one session. Each honest "
                f"member was asked once, and {len(liars)} signed both."
            )

    def second_signatures(self, elsewhere: "SeedAttacker") -> Iterator[str]:
        """Yield which member signs other contributors after a restart, or in another session of the same context."""
        for member in self.members:
            openings = MemoryOpenings()
            self.agreed(self.machine(member, openings), self.everyone)
            if self.agreed(self.machine(member, openings), self.all_but_one) is not None:
                yield f"Member {member} was restarted after its signature, and signed other contributors."
            if elsewhere.agreed(elsewhere.machine(member, openings), elsewhere.all_but_one) is not None:
                yield (
                    f"Member {member} signed the sum of all clients, and in another session of the same context that "
                    "of all but one."
                )

    def second_openings(self) -> Iterator[str]:
        """Yield what a member that is asked again for a sum shows beside what it has shown."""
        member, signatures = self.members[0], self._signatures(self.everyone)
        machine = self.machine(member)
        self.agreed(machine, self.everyone)
        first, again = self.opened(machine, signatures), self.opened(machine, signatures)
        if again is not None and again != first:
            yield f"Member {member} was asked again for a sum, and showed another one."
        if self.opened(machine, self._signatures(self.all_but_one)) is not None:
            yield f"Member {member} was asked again, for the sum of all clients but one, and answered."
        strange = [number for number in range(SeedTwin(cohort=self.cohort).sets.count) if number not in
                   SeedTwin(cohort=self.cohort).sets.of(0)]  # fmt: skip
        if self.opened(machine, signatures, strange) is not None:
            yield f"Member {member} answered for a set that it is not in."

    def shown_of_others(self) -> Iterator[str]:
        """Yield which member shows something of a client that is not in the sum that it opens."""
        twin, left, signatures = SeedTwin(cohort=self.cohort), self.everyone[0], self._signatures(self.all_but_one)
        for place, member in enumerate(self.members):
            machine = self.machine(member)
            self.agreed(machine, self.all_but_one)
            shown = self.opened(machine, signatures)
            seeds = twin.opened(left, self.parts[left], place) or b""
            for at, number in enumerate(twin.sets.of(place)):
                seed = seeds[at * SEED_BYTES : (at + 1) * SEED_BYTES]
                for what, secret in (
                    ("a seed", seed),
                    ("the key of a pad", twin.pad_key(seed, left, number)),
                    ("a share of the key of the wrap", twin.wrap_key(seed, left, number)),
                ):
                    if shown is not None and secret in bytes(shown.sums):
                        yield f"Member {member} opened the sum of all clients but {left}, and showed {what} of {left}."

    @property
    def _quorum(self) -> int:
        return SeedTwin(cohort=self.cohort).shares[0].key.quorum

    def _signatures(self, contributors: Sequence[int]) -> dict[int, bytes]:
        return {member: self._signed(member, contributors) for member in self.members}

    def _signed(self, member: int, contributors: Sequence[int]) -> bytes:
        """Return the signature of a member over contributors, made with its identity and without its rules."""
        twin = SeedTwin(cohort=self.cohort)
        root = twin.root(contributors, (self.entries[client] for client in contributors))
        identity = twin.shares[self.members.index(member)].identity
        return Signatures(twin.digest, Roster({member: identity.public})).sign(
            identity, client=member, purpose=AGREEMENT, payload=root
        )

    def _answer(self, machine: Client, number: int, request: Message) -> Message | None:
        try:
            reply = machine.handle(codec_of(self.cohort).encode(number, request))
        except ProtocolError:
            return None
        return self.run.body(number, reply)
