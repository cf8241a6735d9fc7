"""Committees of member keys for measurements. Their keys are drawn anew and end with the process."""

import time
from typing import Final

from protocols import Identity, MemberCertificate, MemberShare, SeedCommittee
from protocols.seeds.sets import quorum

VALID_S: Final = 86_400
"""How long the members' keys, and sessions with them, are valid."""


def drawn(members: int, colluding: int) -> tuple[SeedCommittee, tuple[MemberShare, ...]]:
    """Return a committee whose members make their keys now, and what each of them holds.

    Args:
        members: The number of members.
        colluding: The most corrupt members that learn nothing.
    """
    now = int(time.time())
    identities = [Identity.generate() for _ in range(members)]
    issued = [MemberCertificate.issue(identity, 0, now, now + VALID_S) for identity in identities]
    key = SeedCommittee(
        certificates=tuple(certificate for certificate, _ in issued),
        colluding=colluding,
        quorum=quorum(members, colluding),
    )
    shares = tuple(
        MemberShare(key, index, identity, epoch_key)
        for index, (identity, (_, epoch_key)) in enumerate(zip(identities, issued, strict=True), start=1)
    )
    return key, shares
