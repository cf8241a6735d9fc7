"""What committee members claim of the sums of pads, and which of it is certain.

All members of a set can compute the same sum of pads. At most t of all m members lie, so of t + 1 equal claims at least
one is honest. So t + 1 equal claims decide their set, and a member with another claim has lied. A majority does not
decide. With m = 5 and t = 2, two liars are the majority in a set of three members.

If k members answer, a set has at least k - t claims. So no wrong claim is ever decided; each set without a liar is
decided if k >= 2t + 1; each set is decided and each liar named if k >= 3t + 1. With m < 2t + 1 nothing can be decided.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocols.errors import RemoteError
from protocols.seeds.sets import SeedSets


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the claims of all members together say.

    Attributes:
        claims: By number of a set, the claim that holds.
        verified: Whether each set is decided, so that the claims are right if at most t members lie.
        liars: The places of members that claim something else for a decided set.
    """

    claims: tuple[bytes, ...]
    verified: bool
    liars: frozenset[int]


def decide(claims: Mapping[int, Sequence[bytes]], sets: SeedSets) -> Decision:
    """Return what the claims of the members that have answered say.

    Args:
        claims: By place of a member in the committee, its claims for its sets, in the order of their numbers.
        sets: The sets of the committee.

    Raises:
        RemoteError: A set is not decided although the committee is large enough for that; or, in a smaller committee,
            a set's members claim different sums.
    """
    by_set = [dict[int, bytes]() for _ in range(sets.count)]
    for member, own in claims.items():
        for number, claim in zip(sets.of(member), own, strict=True):
            by_set[number][member] = claim
    can_decide = sets.decide
    held, liars = list[bytes](), set[int]()
    for number, found in enumerate(by_set):
        ((claim, count),) = Counter(found.values()).most_common(1) or [(b"", 0)]
        decided = count > sets.colluding
        if not decided and (can_decide or len(set(found.values())) != 1):
            raise RemoteError(
                f"claims for set {number}: expected at least {sets.colluding + 1} equal ones, found {count} of "
                f"{len(found)}. A member lies, or too few have answered; nothing shows which one. The sum is refused."
            )
        held.append(claim)
        if decided:
            liars |= {member for member, other in found.items() if other != claim}
    return Decision(claims=tuple(held), verified=can_decide, liars=frozenset(liars))
