"""The committee of a run in words."""

from protocols import SeedCommittee
from protocols.committee import CommitteeKey


def committee_in_words(key: CommitteeKey) -> str:
    """Return how many members open a sum, what becomes of wrong answers, and what identifies the committee."""
    if not isinstance(key, SeedCommittee):
        opening = f"any {key.threshold} of {key.members} members open a sum"
        return f"{opening}; {key.bits} bits, fingerprint {key.fingerprint.hex()}"
    return (
        f"any {key.threshold} of {key.members} members agree on a sum; {_verified(key)}; pin {key.pin.hex()}, "
        f"fingerprint of the epoch {key.fingerprint.hex()}"
    )


def _verified(key: SeedCommittee) -> str:
    answers, most, members = key.sets.deciding, key.colluding, key.members
    if not key.sets.decide:
        return f"no sum is verified, since that takes {answers} members if {most} may lie, and there are {members}"
    return f"at least {answers} answers decide it, so every sum is verified if at most {most} members lie"
