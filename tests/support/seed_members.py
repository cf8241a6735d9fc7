"""Committees by replicated seeds for tests: members with fixed identities, and keys that are drawn once a process."""

from functools import cache
from typing import Final

from protocols.seeds.member_key import EpochKey, MemberCertificate
from protocols.testing.repeatable import fixed_identity

BEGINS: Final = 1_800_000_000
ENDS: Final = BEGINS + 30 * 86_400
NOW: Final = BEGINS + 86_400


def issued(member: int, epoch: int = 0) -> tuple[MemberCertificate, EpochKey]:
    """Return the certificate and the private key of a member, numbered from 0, for an epoch."""
    return _issued(member, epoch)


def certificates(members: int, epoch: int = 0) -> tuple[MemberCertificate, ...]:
    """Return the certificates of members 0, 1, ... for an epoch."""
    return tuple(issued(member, epoch)[0] for member in range(members))


@cache
def _issued(member: int, epoch: int) -> tuple[MemberCertificate, EpochKey]:
    return MemberCertificate.issue(fixed_identity(member), epoch, BEGINS, ENDS)
