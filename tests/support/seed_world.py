"""Sessions of `SeedSum` for tests, and a server that asks committee members for whatever it likes."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Final

from protocols.cohort import Adversary
from protocols.committee import Committee
from protocols.machine import Client
from protocols.replay import MemoryOpenings, OpeningRecord
from protocols.seeds import MemberShare, PadKind, SeedCommittee, SeedSum
from protocols.seeds.derived import Derived
from protocols.seeds.messages import Agreement, Certificate, Proposal, SeedInput, SumShares
from protocols.seeds.sets import quorum
from protocols.session import Session
from protocols.testing import ProtocolRun, Scenario
from protocols.testing.repeatable import fixed_identity, fixed_roster, repeatable_entropy
from tests.support.seed_members import ENDS, NOW, certificates, issued

CLIENTS: Final = (3, 0, 7, 2**32 - 2, 5)
MEMBERS: Final = (21, 22, 23, 24, 25, 26, 27)
MALICIOUS, CURIOUS = Adversary.MALICIOUS, Adversary.CURIOUS
MASK, CHECK, AGREE, OPEN = range(4)
"""The numbers of the steps."""


@cache
def seed_committee_of(members: int, colluding: int, least: int, epoch: int = 0) -> SeedCommittee:
    """Return a committee of the first members of `seed_members`; an attack's may have a quorum that is too small."""
    key = SeedCommittee(certificates=certificates(members, epoch), colluding=colluding, quorum=members)
    object.__setattr__(key, "quorum", least)
    return key


def seed_share(key: SeedCommittee, index: int) -> MemberShare:
    """Return what a member of such a committee holds."""
    return MemberShare(key, index, fixed_identity(index - 1), issued(index - 1, key.certificates[index - 1].epoch)[1])


def seed_scenario(
    members: int = 4,
    colluding: int = 1,
    adversary: Adversary = MALICIOUS,
    *,
    pads: PadKind = PadKind.STREAM,
    protocol: SeedSum | None = None,
    agreeing: int | None = None,
    epoch: int = 0,
    clients: tuple[int, ...] = CLIENTS,
    threshold: int = 3,
    length: int = 5,
    modulus: int = 2**16,
    session_id: bytes = b"a session of seeds",
    context: bytes = b"round 1",
    weights: tuple[int, ...] = (1,),
    batches: bool = False,
) -> Scenario:
    """Return clients with a committee of seeds.

    Args:
        members: The number of committee members.
        colluding: The most corrupt ones.
        adversary: The server.
        pads: The kind of pads.
        protocol: A variant of the protocol, with pads of its own.
        agreeing: The quorum; the least one that is safe if it is left out.
        epoch: The epoch of the members' keys.
        clients: The ids of the clients.
        threshold: The session's threshold.
        length: Number of coordinates.
        modulus: The modulus.
        session_id: The session's id.
        context: The session's context.
        weights: The weights that the session allows.
        batches: Whether the session has batches.
    """
    least = quorum(members, colluding) if agreeing is None else agreeing
    key = seed_committee_of(members, colluding, least, epoch)
    session = Session(
        session_id=session_id,
        clients=clients,
        threshold=threshold,
        length=length,
        modulus=modulus,
        context=context,
        roster=fixed_roster(clients) if adversary is MALICIOUS else None,
        committee=Committee(key=key, members=MEMBERS[:members]),
        expires=ENDS,
        weights=weights,
        batches=batches,
    )
    return Scenario(
        label=f"seeds-{members}-{colluding}-{adversary}-{pads}",
        protocol=SeedSum(adversary=adversary, pads=pads) if protocol is None else protocol,
        session=session,
        key_shares={member: seed_share(key, place + 1) for place, member in enumerate(MEMBERS[:members])},
        unchecked=("padded",),
        now=NOW,
    )


def derived_of(scenario: Scenario) -> Derived:
    """Return what all parties derive from the session."""
    protocol = scenario.protocol
    assert isinstance(protocol, SeedSum)
    digest = protocol.digest(scenario.session)
    return Derived(session=scenario.session, digest=digest, pads=protocol.pads_of(scenario.session, digest))


class WilfulServer:
    """A server that has the clients' messages, and asks each member for what it likes.

    Args:
        scenario: The scenario.
        run: A run that has taken no step; its clients hand in. A new one is made if it is left out.

    Attributes:
        scenario: As given.
        inputs: Each client's vector.
        messages: Each client's message.
        entries: For each member, the request for `check_entries`.
    """

    def __init__(self, scenario: Scenario, run: ProtocolRun | None = None) -> None:
        self.scenario = scenario
        started = ProtocolRun(scenario) if run is None else run
        replies = started.replies()
        self.inputs = started.inputs
        self.messages = {client: self.decoded(reply) for client, reply in replies.items()}
        started.deliver(replies)
        self.entries = dict(started.requests)

    def decoded(self, reply: bytes) -> SeedInput:
        """Return a client's message."""
        return self.scenario.codec.decode(MASK, SeedInput, reply)

    def member(self, member: int, openings: OpeningRecord | None = None) -> Client:
        """Return a member's machine that has accepted the entries. A corrupt member may have several of them."""
        record = MemoryOpenings() if openings is None else openings
        machine = self.scenario.client(member, None, repeatable_entropy(b"%d" % member), openings=record)
        machine.handle(self.entries[member])
        return machine

    def agreement(
        self, machine: Client, contributors: Collection[int], weights: Mapping[int, int] | None = None
    ) -> bytes:
        """Return a member's signature over these contributors, whose weights are 1 if they are left out."""
        proposal = Proposal(tuple(sorted(contributors)), _weights_of(contributors, weights))
        reply = machine.handle(self.scenario.codec.encode(AGREE, proposal))
        return bytes(self.scenario.codec.decode(AGREE, Agreement, reply).signature)

    def shares(self, machine: Client, signatures: Mapping[int, bytes]) -> SumShares:
        """Show a member signatures, by member, and return the sums of all of its sets."""
        signers = tuple(sorted(signatures))
        joined = memoryview(b"".join(signatures[signer] for signer in signers))
        sets = derived_of(self.scenario).sets.of(MEMBERS.index(machine.client))
        reply = machine.handle(self.scenario.codec.encode(OPEN, Certificate(signers, joined, sets)))
        return self.scenario.codec.decode(OPEN, SumShares, reply)

    def total(
        self,
        contributors: Collection[int],
        shares: Mapping[int, SumShares],
        weighted: Mapping[int, int] | None = None,
    ) -> list[int]:
        """Return the sum of the contributors' vectors, if these members' sums of pads are for them.

        Raises:
            LookupError: A set is missing.
        """
        derived, found = derived_of(self.scenario), dict[int, bytes]()
        for member, message in shares.items():
            size = derived.pads.opening_bytes(len(contributors))
            for place, number in enumerate(derived.sets.of(MEMBERS.index(member))):
                found[number] = bytes(message.sums[place * size : (place + 1) * size])
        if len(found) != derived.sets.count:
            raise LookupError(f"sets: expected all {derived.sets.count}, found {sorted(found)}")
        total = derived.pads.nothing()
        weights = _weights_of(contributors, weighted)
        for client, weight in zip(sorted(contributors), weights, strict=True):
            for _ in range(weight):
                derived.pads.add(total, bytes(self.messages[client].padded))
        openings = [found[number] for number in range(derived.sets.count)]
        return [int(each) for each in derived.pads.opened(total, openings, weights)]


def _weights_of(contributors: Collection[int], weights: Mapping[int, int] | None) -> tuple[int, ...]:
    return tuple(1 if weights is None else weights[client] for client in sorted(contributors))
