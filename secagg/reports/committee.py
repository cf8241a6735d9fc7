"""The committee of a run in words."""

from collections.abc import Sequence

from protocols import SeedCommittee
from protocols.committee import CommitteeKey
from secagg.checks import listed
from secagg.training.records import RoundRecord


def committee_in_words(key: CommitteeKey) -> str:
    """Return how many members open a sum, what becomes of wrong answers, and what identifies the committee."""
    if not isinstance(key, SeedCommittee):
        opening = f"any {key.threshold} of {key.members} members open a sum"
        return f"{opening}; {key.bits} bits, fingerprint {key.fingerprint.hex()}"
    return (
        f"any {key.threshold} of {key.members} members agree on a sum; {_verified(key)}; pin {key.pin.hex()}, "
        f"fingerprint of the epoch {key.fingerprint.hex()}"
    )


def member_in_words(key: CommitteeKey) -> tuple[str, str]:
    """Return what a committee member sees, and what it does not see together with the condition for that."""
    if isinstance(key, SeedCommittee):
        return (
            "which clients take part; the seeds that every client has encrypted to it",
            f"any update or sum, provided that no more than {key.colluding} of the {key.members} members combine their "
            "seeds or keys",
        )
    return (
        "which clients take part; what every client has encrypted under the committee's key",
        f"anything that is encrypted, provided that fewer than {key.threshold} members combine their key shares, and "
        "that the dealer that made the key has deleted it",
    )


def answers_in_words(rounds: Sequence[RoundRecord]) -> tuple[tuple[str, str], ...]:
    """Return what is to be said of the committee's answers in a run, with a heading; nothing if all is well."""
    unverified = sum(not record.verified for record in rounds)
    broke = sorted({party for record in rounds for party in record.culprits})
    complaints = sum(len(record.complaints) for record in rounds)
    said = list[str]()
    if unverified:
        said.append(f"{unverified} sums are NOT verified: a committee member that lies could have changed them")
    if broke:
        said.append(f"parties {listed(broke)} broke the rules and did no harm to a sum")
    if complaints:
        said.append(f"committee members complained of clients' messages {complaints} times (metrics.jsonl)")
    return (("The committee's answers", "; ".join(said)),) if said else ()


def _verified(key: SeedCommittee) -> str:
    answers, most, members = key.sets.deciding, key.colluding, key.members
    if not key.sets.decide:
        return f"no sum is verified, since that takes {answers} members if {most} may lie, and there are {members}"
    return f"at least {answers} answers decide it, so every sum is verified if at most {most} members lie"
