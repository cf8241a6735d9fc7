"""Real sums in memory, timed: what each party takes, and what the model of cost counts for it."""

import math
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from protocols import (
    Adversary,
    ClientTerms,
    Committee,
    CommitteeShare,
    Identity,
    Keyholder,
    MemberShare,
    MemoryOpenings,
    MemoryRecord,
    Outcome,
    Roster,
    SecureSum,
    SeedCommittee,
    Session,
    simulate,
)
from protocols.crypto.paillier.threshold import KeyShare, ThresholdKey
from protocols.secure_sum import Role
from protocols.session import Extra
from secagg.planning.cost.models import cost_of
from secagg.planning.cost.operations import Operation, cpu_seconds
from secagg.planning.cost.sum_size import SeedMembers, SumCost, SumSize

ADVERSARIAL: Final = 0.05
DROPOUT: Final = 0.1
MODULUS_BITS: Final = 24
_DISTINCT: Final = 4
_LIFETIME_S: Final = 3_600


Keys = tuple[ThresholdKey, tuple[KeyShare, ...]] | tuple[SeedCommittee, tuple[MemberShare, ...]]
"""A committee's public side, and what each of its members holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A sum that was run, and what the model says of it.

    Attributes:
        protocol: The protocol.
        size: The size of the sum.
        cost: The model's cost.
        seconds: By party ("client", "server", "member"), the CPU seconds that were measured.
        moved_bytes: By party ("client", "member"), the bytes that it sent and received.
    """

    protocol: SecureSum
    size: SumSize
    cost: SumCost
    seconds: Mapping[str, float]
    moved_bytes: Mapping[str, float]

    def counted(self, durations: Mapping[Operation, float]) -> dict[str, float]:
        """Return the CPU seconds that the model counts, by party."""
        found = {
            "client": cpu_seconds(self.cost.client.counts, durations),
            "server": cpu_seconds(self.cost.server, durations),
        }
        if self.cost.member is not None:
            found["member"] = cpu_seconds(self.cost.member.counts, durations)
        return found


def run(
    kind: type[SecureSum],
    *,
    clients: int,
    length: int,
    adversary: Adversary,
    committee: Keys | None = None,
) -> Timed:
    """Run one sum with a tenth of the clients dropping out when they are asked for their vectors.

    Args:
        kind: The class of the protocol.
        clients: The number of clients.
        length: The number of coordinates.
        adversary: What the server may do.
        committee: A committee of the kind that the protocol needs, with all of its shares.

    Raises:
        RuntimeError: The sum is wrong.
    """
    suggested, threshold = kind.suggest(clients=clients, adversarial=ADVERSARIAL, dropout=DROPOUT, adversary=adversary)
    protocol, ids = suggested.with_headroom(), tuple(range(clients))
    key, shares = committee if committee is not None and kind.needs_committee else (None, ())
    members = () if key is None else tuple(range(clients, clients + key.members))
    held: dict[int, CommitteeShare] = dict(zip(members, shares, strict=True))
    identities = {client: Identity.generate() for client in ids} if adversary is Adversary.MALICIOUS else {}
    roster = Roster({client: each.public for client, each in identities.items()}) if identities else None
    session = Session(
        session_id=os.urandom(16),
        clients=ids,
        threshold=threshold,
        length=length,
        modulus=kind.modulus(MODULUS_BITS),
        committee=None if key is None else Committee(key=key, members=members),
        roster=roster,
        expires=int(time.time()) + _LIFETIME_S if Extra.EXPIRES in kind.accepts else None,
    )
    vectors = np.random.default_rng(length).integers(0, 1000, (_DISTINCT, length), dtype=np.uint64)
    dropped = ids[: math.floor(DROPOUT * clients)]
    outcome = simulate(
        protocol,
        session,
        {client: vectors[client % _DISTINCT] for client in ids},
        terms={} if roster is None else {c: _terms(each, session, roster) for c, each in identities.items()},
        keyholders={
            member: Keyholder(share=share, openings=MemoryOpenings(), minimum_contributors=2, roster=roster)
            for member, share in held.items()
        },
        drops={_input_step(protocol): dropped},
        clock=time.process_time,
    )
    counts = np.bincount(np.array(outcome.contributors) % _DISTINCT, minlength=_DISTINCT).astype(np.uint64)
    if not np.array_equal(outcome.total, counts @ vectors):
        raise RuntimeError(f"{protocol.name}: expected the sum of the vectors, found another. Report this as a bug.")
    size = SumSize(
        clients=clients,
        length=length,
        modulus=session.modulus,
        threshold=threshold,
        dropped=len(dropped),
        signed=roster is not None,
        key=_sizes(key),
    )
    return _timed(protocol, size, outcome, members)


def _sizes(key: ThresholdKey | SeedCommittee | None) -> ThresholdKey | SeedMembers | None:
    """Return what the models need to know of a committee."""
    return SeedMembers(sets=key.sets, quorum=key.quorum) if isinstance(key, SeedCommittee) else key


def _timed(protocol: SecureSum, size: SumSize, outcome: Outcome, members: Sequence[int]) -> Timed:
    cost, seconds, moved = outcome.cost, {"server": outcome.cost.server_s}, dict[str, float]()
    for party, ids in (("client", outcome.contributors), ("member", members)):
        if ids:
            seconds[party] = statistics.median(cost.client_s[each] for each in ids)
            moved[party] = statistics.fmean(cost.sent_bytes[each] + cost.received_bytes[each] for each in ids)
    return Timed(protocol=protocol, size=size, cost=cost_of(protocol, size), seconds=seconds, moved_bytes=moved)


def _terms(identity: Identity, session: Session, roster: Roster) -> ClientTerms:
    return ClientTerms(
        identity=identity,
        roster=roster,
        sessions=MemoryRecord(),
        adversarial=ADVERSARIAL,
        minimum_contributors=2,
        committee=None if session.committee is None else session.committee.key,
    )


def _input_step(protocol: SecureSum) -> str:
    """Return the name of the step that asks for the vectors: the third of several, or the first."""
    asked = [step.name for step in protocol.steps if step.role is Role.CLIENT]
    return str(asked[2] if len(asked) > 1 else asked[0])
