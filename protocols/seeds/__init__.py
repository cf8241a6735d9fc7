"""A sum that a committee of replicated seeds opens: `SeedSum`, and the keys of the committee's members."""

from protocols.seeds.committee import MemberShare, SeedCommittee
from protocols.seeds.member_key import EpochKey, MemberCertificate
from protocols.seeds.pads import PadKind
from protocols.seeds.protocol import SeedSum

__all__ = ["EpochKey", "MemberCertificate", "MemberShare", "PadKind", "SeedCommittee", "SeedSum"]
