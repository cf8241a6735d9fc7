"""A committee of member keys for audits: identities and keys follow from fixed tapes, and protect nothing."""

from functools import cache
from typing import Final

from protocols import Committee, Identity, MemberCertificate, MemberShare, Secret, SeedCommittee
from protocols.committee import CommitteeShare
from protocols.crypto.hpke import HpkeKey
from protocols.seeds.member_key import EpochKey
from secagg.audit.seeds import Tape

MEMBERS: Final = 4
COLLUDING: Final = 1
"""With four members of which one may be corrupt, one may be silent, and a sum is verified all the same."""

NEVER_S: Final = 2**40
"""When the members' keys and the sessions expire: clocks that are shifted do not reach it."""

_KEY_BYTES: Final = 32


@cache
def self_made(
    members: tuple[int, ...], colluding: int, quorum: int, epoch: int = 0
) -> tuple[Committee, tuple[CommitteeShare, ...]]:
    """Return a committee of these parties, and what each holds, in the same order; the same ones at each call.

    Args:
        members: The ids of the members.
        colluding: The most corrupt members that learn nothing.
        quorum: The number of members that must agree.
        epoch: The epoch of the members' keys. In each, the identities are the same and the keys are others.
    """
    identities = [Identity(Secret(Tape(b"member", f"identity {at}")(_KEY_BYTES))) for at in range(len(members))]
    keys = [_epoch_key(identity, at, epoch) for at, identity in enumerate(identities)]
    key = SeedCommittee(certificates=tuple(each.certificate for each in keys), colluding=colluding, quorum=quorum)
    shares = tuple(
        MemberShare(key, index, identity, epoch_key)
        for index, (identity, epoch_key) in enumerate(zip(identities, keys, strict=True), start=1)
    )
    return Committee(key=key, members=members), shares


def _epoch_key(identity: Identity, at: int, epoch: int) -> EpochKey:
    """Return a member's key of an epoch, which follows from a tape; `MemberCertificate.issue` draws one itself."""
    key = HpkeKey(Secret(Tape(b"member", f"key {at} of epoch {epoch}")(_KEY_BYTES)))
    unsigned = MemberCertificate(
        identity=identity.public,
        epoch=epoch,
        not_before=0,
        not_after=NEVER_S,
        public_key=key.public,
        signature=bytes(64),
    )
    signed = unsigned.to_bytes()[: -len(unsigned.signature)]
    return EpochKey(MemberCertificate.from_bytes(signed + identity.sign(signed)), key)
