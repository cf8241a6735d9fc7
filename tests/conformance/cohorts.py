"""The scenarios that the conformance tests run over: every registered protocol, with keys for the committees.

The tests themselves, the driver and the repeatable entropy are `protocols.testing`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Final

from protocols import (
    Adversary,
    ClientTerms,
    Committee,
    CommitteeShare,
    Keyholder,
    LightSecAgg,
    MemoryOpenings,
    OneShot,
    Opening,
    OpeningRecord,
    PaillierSum,
    SecAgg,
    SecAggPlus,
    SecureSum,
    SeedCommittee,
    SeedSum,
    Session,
    SessionRecord,
    load,
)
from protocols.crypto.integers import Arithmetic, fastest
from protocols.encrypted.protocol import EncryptedSum
from protocols.registry import available
from protocols.seeds.sets import quorum
from protocols.testing import CLIENTS as IDS
from protocols.testing import SNAPSHOT_KEY, Scenario
from tests.support import committee_keys
from tests.support.seed_members import ENDS, NOW
from tests.support.seed_world import seed_committee_of, seed_share

__all__ = [
    "COMMITTEE",
    "IDS",
    "OPENINGS",
    "SNAPSHOT_KEY",
    "Setting",
    "committee_of",
    "keyholder",
    "member",
    "remembering",
    "setting",
    "settings",
    "suggested",
]

OPENINGS: Final = (Opening(least_dropped=0, most_dropped=0), Opening(least_dropped=1, most_dropped=2))
COMMITTEE: Final = (21, 22, 23)
"""Ids of committee members that are not clients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Scenario):
    """A scenario whose committee has the key of `committee_keys` or `seed_members`.

    A test may replace its session by a bad one.
    """

    def __post_init__(self) -> None:
        """Accept every session: the machines under test are to refuse a bad one."""

    def keyholder(self, party: int, openings: OpeningRecord | None = None) -> Keyholder | None:
        """Return a committee member's key share and rules; None if the party is not a committee member."""
        return keyholder(party, self.session, openings) if party in self.session.committee_members else None


def member(client: int, session: Session, record: SessionRecord | None = None) -> ClientTerms:
    """Return a client's identity and terms for a session with a roster."""
    found = Setting(label="", protocol=SecAgg(), session=session).terms(client, record)
    if found is None:
        raise LookupError("a session without a roster has no members")
    return found


def keyholder(member: int, session: Session, openings: OpeningRecord | None = None) -> Keyholder:
    """Return a committee member's share, with the session's own threshold and roster as its rules."""
    committee = session.committee
    if committee is None:
        raise LookupError("a session without a committee has no keyholders")
    return Keyholder(
        share=share_of(committee, member),
        openings=openings or MemoryOpenings(),
        minimum_contributors=session.threshold,
        roster=session.roster,
    )


def share_of(committee: Committee, member: int) -> CommitteeShare:
    """Return what a member holds of a committee's key."""
    key, index = committee.key, committee.index(member)
    if isinstance(key, SeedCommittee):
        return seed_share(key, index)
    return committee_keys.key_shares(1, key.members, key.threshold, remembering())[index - 1]


@cache
def remembering() -> Arithmetic:
    """The fastest arithmetic, which computes no list of powers twice.

    Openings take longest of all, and these tests repeat sums with the same entropy, and so the same powers, a lot.
    """
    fast = fastest()

    @lru_cache(maxsize=2048)
    def remembered(bases: tuple[int, ...], exponent: int, modulus: int) -> tuple[int, ...]:
        return tuple(fast.powers(bases, exponent, modulus))

    def powers(bases: Sequence[int], exponent: int, modulus: int) -> list[int]:
        return list(remembered(tuple(bases), exponent, modulus))

    return replace(fast, powers=powers)


def committee_of(members: tuple[int, ...]) -> Committee:
    """Return a committee of which more than half open a sum; committees of one size have the same key."""
    key = committee_keys.threshold_key(1, len(members), len(members) // 2 + 1, remembering())
    return Committee(key=key, members=members)


def setting(
    protocol: SecureSum,
    clients: tuple[int, ...],
    threshold: int,
    *,
    length: int = 40,
    context: bytes = b"",
    attached: tuple[Opening, ...] = (),
    committee: tuple[int, ...] = COMMITTEE,
    colluding: int = 1,
    tolerated: int | None = None,
    weights: tuple[int, ...] = (1,),
    batches: bool = False,
) -> Setting:
    """Return a scenario with a roster or a committee if the protocol needs one; `colluding` is for one of seeds."""
    if tolerated is None and isinstance(protocol, SecAggPlus):
        tolerated = protocol.neighbours + 1 - protocol.share_threshold  # All of them may be one client's neighbours.
    return Setting.of(
        protocol,
        threshold=threshold,
        clients=clients,
        length=length,
        context=context,
        identified=getattr(protocol, "adversary", None) is Adversary.MALICIOUS,
        attached=attached,
        committee=_committee_for(protocol, committee, colluding),
        unchecked=("padded",) if isinstance(protocol, SeedSum) else ("packed",),
        tolerated=tolerated,
        expires=ENDS if isinstance(protocol, SeedSum) else None,
        weights=weights,
        batches=batches,
        now=NOW,
    )


def _committee_for(protocol: SecureSum, members: tuple[int, ...], colluding: int) -> Committee | None:
    if isinstance(protocol, SeedSum):
        least = quorum(len(members), colluding)
        return Committee(key=seed_committee_of(len(members), colluding, least), members=members)
    return committee_of(members) if isinstance(protocol, EncryptedSum) else None


def suggested(name: str) -> Setting:
    """Return what a protocol suggests for eight clients, of which one may be absent.

    Protocols with encrypted sums get four clients: their keys are slow, and no client depends on another one.
    """
    ids = IDS[:4] if issubclass(load(name), EncryptedSum) else IDS
    protocol, threshold = load(name).suggest(clients=len(ids), adversarial=0.1, dropout=1 / len(ids))
    return setting(protocol, ids, threshold, tolerated=None if name == SeedSum.name else 1)


def settings() -> list[Setting]:
    """Return every registered protocol as it suggests itself, and small parameters by hand."""
    return [
        *(suggested(name) for name in available()),
        setting(SecAgg(), IDS[:2], 2),
        setting(SecAgg(), IDS[:3], 2),
        setting(SecAggPlus(neighbours=2, share_threshold=2), IDS[:4], 3),
        setting(SecAggPlus(neighbours=4, share_threshold=3), IDS[:7], 4),
        setting(SecAgg(adversary=Adversary.MALICIOUS), IDS[:4], 3),
        setting(SecAggPlus(neighbours=4, share_threshold=4, adversary=Adversary.MALICIOUS), IDS[:7], 5),
        setting(LightSecAgg(privacy=1, responders=2), IDS[:4], 3),
        setting(PaillierSum(adversary=Adversary.MALICIOUS), IDS[:4], 3, committee=IDS[1:6]),
        setting(OneShot(adversary=Adversary.MALICIOUS), IDS[:3], 2, committee=(IDS[0], 9, IDS[1])),
        setting(SeedSum(adversary=Adversary.MALICIOUS), IDS[:4], 3, committee=(IDS[0], 9, IDS[1], 22)),
        setting(SeedSum(), IDS[:3], 2, committee=(21, 22, 23, 24, 25), colluding=2),
        setting(SeedSum(), IDS[:5], 2, committee=(21, 22, 23), weights=(1, 5), batches=True),
        setting(SecAgg(), IDS[:4], 2, attached=OPENINGS),
        setting(
            SecAggPlus(neighbours=4, share_threshold=4, adversary=Adversary.MALICIOUS), IDS[:6], 4, attached=OPENINGS
        ),
    ]
