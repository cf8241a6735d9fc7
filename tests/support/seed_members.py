"""Committees by replicated seeds for tests: members with fixed identities, and with fixed keys for each epoch.

The keys are hashes of public labels: they protect nothing.
"""

import hashlib
from dataclasses import replace
from functools import cache
from typing import Final

from protocols.crypto.hpke import HpkeKey
from protocols.crypto.secret import Secret
from protocols.seeds.member_key import EpochKey, MemberCertificate
from protocols.testing.repeatable import fixed_identity

BEGINS: Final = 1_800_000_000
ENDS: Final = BEGINS + 30 * 86_400
NOW: Final = BEGINS + 86_400


def issued(member: int, epoch: int = 0) -> tuple[MemberCertificate, EpochKey]:
    """Return the certificate and the private key of a member, numbered from 0, for an epoch; always the same."""
    return _issued(member, epoch)


def certificates(members: int, epoch: int = 0) -> tuple[MemberCertificate, ...]:
    """Return the certificates of members 0, 1, ... for an epoch."""
    return tuple(issued(member, epoch)[0] for member in range(members))


@cache
def _issued(member: int, epoch: int) -> tuple[MemberCertificate, EpochKey]:
    identity = fixed_identity(member)
    key = HpkeKey(Secret(hashlib.sha256(f"test key of member {member}, epoch {epoch}".encode()).digest()))
    unsigned = MemberCertificate(
        identity=identity.public,
        epoch=epoch,
        not_before=BEGINS,
        not_after=ENDS,
        public_key=key.public,
        signature=bytes(64),
    )
    certificate = replace(unsigned, signature=identity.sign(unsigned.to_bytes()[:-64]))
    return certificate, EpochKey(certificate, key)
