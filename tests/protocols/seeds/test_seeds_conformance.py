"""`SeedSum` with lattice pads passes the suite that every protocol must pass; tests/conformance has stream pads."""

from protocols import Adversary, Committee
from protocols.seeds import MemberShare, PadKind, SeedCommittee, SeedSum
from protocols.seeds.sets import quorum
from protocols.testing import ProtocolConformance, Scenario
from protocols.testing.repeatable import fixed_identity
from tests.support import seed_members

MEMBERS = (21, 22, 23, 24, 25, 26, 27)


def scenario(
    members: int,
    colluding: int,
    adversary: Adversary = Adversary.CURIOUS,
    pads: PadKind = PadKind.STREAM,
    *,
    weights: tuple[int, ...] = (1,),
    batches: bool = False,
) -> Scenario:
    """Return eight clients with a committee of seeds."""
    pairs = [seed_members.issued(member) for member in range(members)]
    key = SeedCommittee(
        certificates=tuple(certificate for certificate, _ in pairs),
        colluding=colluding,
        quorum=quorum(members, colluding),
    )
    ids = MEMBERS[:members]
    shares = {
        each: MemberShare(key, place + 1, fixed_identity(place), pairs[place][1]) for place, each in enumerate(ids)
    }
    return Scenario.of(
        SeedSum(adversary=adversary, pads=pads),
        threshold=5,
        committee=Committee(key=key, members=ids),
        key_shares=shares,
        identified=adversary is Adversary.MALICIOUS,
        unchecked=("padded",),
        expires=seed_members.ENDS,
        weights=weights,
        batches=batches,
        now=seed_members.NOW,
        tolerated=None,
    )


class TestSeedSumWithLatticePads(ProtocolConformance):
    scenarios = (
        scenario(3, 1, pads=PadKind.LATTICE),
        scenario(4, 1, Adversary.MALICIOUS, PadKind.LATTICE, weights=(1, 4), batches=True),
    )
