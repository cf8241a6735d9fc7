"""Nodes for tests of the server's side: each opens parcels and answers them by a machine of its own, and nothing else.

A bare node has no home, no policy and no record on a disk; `secagg.engines.node.station` is what a deployment runs. It
keeps the reply to the last parcel, which it gives again, and remembers the last serial.
"""

import hashlib
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocols import (
    Adversary,
    Client,
    ClientTerms,
    Committee,
    CommitteeKey,
    CommitteeShare,
    Keyholder,
    MemoryOpenings,
    MemoryRecord,
    ProtocolError,
    Roster,
    Secret,
    SecureSum,
    SeedCommittee,
    SeedSum,
    load,
)
from protocols.crypto.entropy import Entropy
from protocols.errors import MalformedMessage, NotSigned
from protocols.session import Vector
from protocols.testing import fixed_identity, fixed_roster, repeatable_entropy
from secagg.aggregation.mean import SecureMean
from secagg.engines.base import RoundPlan, ServerSide
from secagg.engines.client import contribute
from secagg.engines.wire.offer import Offer, fresh_session_id, session_context
from secagg.engines.wire.parcel import Limits, NotForMe, Refusal, Reply, Request, open_request
from secagg.engines.wire.work import Work
from tests.support.committee_keys import key_shares, threshold_key
from tests.support.seed_members import NOW
from tests.support.seed_world import seed_committee_of, seed_share

COORDINATOR: Final = fixed_identity(2**20)
SEALING: Final = Secret(bytes(range(32)))
LIMITS: Final = Limits(work_bytes=2**24, body_bytes=2**26)
MEMBERS: Final = 3
SEEDS: Final = seed_committee_of(MEMBERS, 1, MEMBERS)
"""The committee by replicated seeds: any of its members may be corrupt alone, and all of them agree."""

LENGTH: Final = 24
ADVERSARIAL: Final = 0.1


@dataclass(slots=True, kw_only=True)
class BareNode:
    """The machine of one party.

    Attributes:
        id: The party's id.
        roster: All identities that the node has pinned.
        share: Its share of the committee's key, if it is a member.
        committee_key: The committee's key.
        update: What it contributes in every round, one array for each array of the mean; None if it trains nothing.
        entropy: The randomness of its machines, its rounding and its noise.
        openings: Its record of what it has opened.
        vectors: By session, the vector that it has contributed; the last session's alone.
        trained: How often it has made a contribution.
    """

    id: int
    roster: Roster
    share: CommitteeShare | None = field(default=None, repr=False)
    committee_key: CommitteeKey | None = None
    update: Sequence[NDArray[Any]] | None = None
    entropy: Entropy = os.urandom
    vectors: dict[bytes, Vector] = field(default_factory=dict)
    openings: MemoryOpenings = field(default_factory=MemoryOpenings)
    trained: int = 0
    _serial: int = 0
    _machine: Client | None = None
    _kept: tuple[bytes, bytes] = (b"", b"")

    def answer(self, parcel: bytes) -> bytes:
        """Return the reply to a parcel, or a refusal."""
        try:
            request = open_request(parcel, coordinator=COORDINATOR.public, receiver=self.id, limits=LIMITS)
        except NotForMe:
            return self._refusal(Refusal.NOT_FOR_ME)
        except NotSigned:
            return self._refusal(Refusal.STRANGER)
        except MalformedMessage:
            return self._refusal(Refusal.MALFORMED)
        digest = hashlib.sha256(parcel).digest()
        if digest != self._kept[0]:
            self._kept = (digest, self._fresh(request))
        return self._kept[1]

    def _refusal(self, code: Refusal, request: Request | None = None) -> bytes:
        serial, step = (0, 0) if request is None else (request.serial, request.step)
        last = self._serial if code is Refusal.OLD else 0
        return Reply(serial=serial, step=step, sender=self.id, refusal=code, last=last).to_bytes()

    def _fresh(self, request: Request) -> bytes:
        if request.offer:
            if request.serial <= self._serial:
                return self._refusal(Refusal.OLD, request)
            self._serial = request.serial
            self._machine = self._joined(request)
        if request.serial != self._serial or self._machine is None or self._machine.closed:
            return self._refusal(Refusal.ANSWERED, request)
        try:
            body = self._machine.handle(request.body)
        except ProtocolError:
            return self._refusal(Refusal.FAILED, request)
        return Reply(serial=request.serial, step=request.step, sender=self.id, body=body).to_bytes()

    def _joined(self, request: Request) -> Client:
        mean, session = Offer.from_bytes(request.offer).build(self.roster, self.committee_key)
        vector: Vector | None = None
        attached: tuple[Secret, ...] = ()
        if self.id in session.clients:
            work = Work.from_bytes(request.work)
            plan = RoundPlan(mean=mean, session=session, work=work, serial=request.serial)
            part = contribute(plan, self.update, entropy=self.entropy)
            self.trained += 1
            vector, attached = part.vector, part.attached
            self.vectors = {session.session_id: vector}
        return Client(
            mean.protocol,
            session,
            self.id,
            vector,
            attached=attached,
            entropy=self.entropy,
            terms=self._terms(mean) if session.roster is not None and self.id in session.clients else None,
            keyholder=self._keyholder(mean) if self.id in session.committee_members else None,
            clock=lambda: NOW,
        )

    def _terms(self, mean: SecureMean) -> ClientTerms:
        return ClientTerms(
            identity=fixed_identity(self.id),
            roster=self.roster,
            sessions=MemoryRecord(),
            adversarial=ADVERSARIAL,
            minimum_contributors=mean.minimum_contributors,
            committee=self.committee_key,
        )

    def _keyholder(self, mean: SecureMean) -> Keyholder:
        assert self.share is not None
        return Keyholder(
            share=self.share,
            openings=self.openings,
            minimum_contributors=mean.minimum_contributors,
            roster=None if mean.roster is None else self.roster,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCohort:
    """All parties of one protocol's sums.

    Attributes:
        mean: The planned mean.
        nodes: All parties by id, the committee's too.
        kept: The openings that engines have kept.
        entropy: The randomness of session ids.
    """

    mean: SecureMean
    nodes: dict[int, BareNode]
    kept: list[bytes] = field(default_factory=list, repr=False)
    entropy: Entropy = os.urandom

    def plan(self, serial: int = 1, *, work: Work | None = None, clients: Collection[int] | None = None) -> RoundPlan:
        """Return the plan of an attempt, by default with all clients, and with work of its own."""
        given = work or Work("tests", serial, (np.zeros(2, dtype=np.float32),))
        mean = self.mean
        if clients is not None:
            mean = _planned(mean.protocol, clients, mean.minimum_contributors, mean.encoding.shapes[0][0])
        trust = None if mean.target is None else mean.target.trust
        context = session_context(given.digest(), serial=serial, trust=trust)
        session = mean.session(fresh_session_id(serial, self.entropy), context=context)
        side = ServerSide(identity=COORDINATOR, sealing=SEALING, keep=self.kept.append)
        return RoundPlan(mean=mean, session=session, work=given, serial=serial, server=side)

    def exact(self, plan: RoundPlan, contributors: Iterable[int]) -> Vector:
        """Return the sum of the contributors' vectors, modulo the session's modulus."""
        total = np.zeros(plan.session.length, dtype=object)
        for client in contributors:
            total += self.nodes[client].vectors[plan.session.session_id].astype(object)
        return (total % plan.session.modulus).astype(np.uint64)


def node_cohort(
    name: str,
    adversary: Adversary = Adversary.CURIOUS,
    *,
    clients: int = 10,
    dropout: float = 0.2,
    length: int = LENGTH,
    label: bytes = b"",
) -> NodeCohort:
    """Return the parties of sums by the parameters that a protocol suggests; a label gives repeatable randomness."""
    protocol, threshold = load(name).suggest(
        clients=clients, adversarial=ADVERSARIAL, dropout=dropout, adversary=adversary
    )
    mean = _planned(protocol, range(1, clients + 1), threshold, length)
    roster = fixed_roster(mean.clients)
    key = None if mean.committee is None else mean.committee.key
    generator = np.random.default_rng(1)
    nodes = {
        client: BareNode(
            id=client,
            roster=roster,
            committee_key=key,
            update=[generator.normal(size=length)],
            entropy=repeatable_entropy(b"%s %d" % (label, client)) if label else os.urandom,
        )
        for client in mean.clients
    }
    for place, member in enumerate(() if mean.committee is None else mean.committee.members):
        share = seed_share(key, place + 1) if isinstance(key, SeedCommittee) else key_shares(1, MEMBERS)[place]
        nodes.setdefault(member, BareNode(id=member, roster=roster, committee_key=key)).share = share
    return NodeCohort(mean=mean, nodes=nodes, entropy=repeatable_entropy(label) if label else os.urandom)


def _planned(protocol: SecureSum, clients: Iterable[int], threshold: int, length: int) -> SecureMean:
    """Return a mean of one array; the first client is a member of the committee too, if there is one."""
    cohort = tuple(clients)
    malicious = getattr(protocol, "adversary", None) is Adversary.MALICIOUS
    key = SEEDS if protocol.name == SeedSum.name else threshold_key(1, MEMBERS)
    return SecureMean.plan(
        protocol=protocol,
        clients=cohort,
        minimum_contributors=threshold,
        shapes=[(length,)],
        clip_l2=1.0,
        roster=fixed_roster(cohort) if malicious else None,
        committee=Committee(key=key, members=(1, 101, 102)) if protocol.needs_committee else None,
    )
