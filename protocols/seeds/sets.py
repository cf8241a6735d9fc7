"""Sets of committee members that share a seed, and how many members must agree.

Source: replicated secret sharing (Ito, Saito and Nishizeki, Globecom 1987), in the form of pseudorandom secret sharing
(Cramer, Damgard and Ishai, TCC 2005). A client draws one seed for each set of all members but `colluding`, and gives it
to the members of that set.

Adversary: at most `colluding` corrupt members. There is a set without any of them, so one seed is unknown to them. Any
`colluding + 1` members have every set's seed between them, because no set lacks all of them.

Members are numbered from 0 here, and sets from 0 in lexicographic order.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Final

from protocols.crypto.integers import is_integer, shown
from protocols.errors import ParameterError

LEAST_MEMBERS: Final = 2
MOST_MEMBERS: Final = 10
"""With 10 members there are at most C(10, 5) = 252 sets, and so 252 seeds of a client."""


@dataclass(frozen=True, slots=True)
class SeedSets:
    """The sets of members that share a seed.

    Attributes:
        members: The number of committee members, m, from 2 to 10.
        colluding: The most corrupt members that learn nothing, t, from 1 to m - 1.

    Raises:
        ParameterError: One of them is out of its range.
    """

    members: int
    colluding: int

    def __post_init__(self) -> None:
        _check(self.members, self.colluding)

    @property
    def count(self) -> int:
        """The number of sets, C(m, t): from 2 to 252."""
        return math.comb(self.members, self.colluding)

    @property
    def held(self) -> int:
        """The number of sets that a member is in, C(m - 1, t)."""
        return math.comb(self.members - 1, self.colluding)

    @property
    def decide(self) -> bool:
        """Whether members can decide what a sum is, so that it is verified: m is at least 2t + 1."""
        return self.members >= self.deciding

    @property
    def deciding(self) -> int:
        """The number of answers that decide every set if nobody lies, 2t + 1; there may be fewer members."""
        return 2 * self.colluding + 1

    @property
    def needed(self) -> int:
        """The least number of answers that can open a sum: those that decide, or in a smaller committee t + 1."""
        return self.deciding if self.decide else self.colluding + 1

    @property
    def holders(self) -> tuple[tuple[int, ...], ...]:
        """The members of each set, ascending; the sets are in lexicographic order."""
        return _holders(self.members, self.colluding)

    def of(self, member: int) -> tuple[int, ...]:
        """Return the numbers of the sets that a member is in, ascending.

        Raises:
            ParameterError: There is no such member.
        """
        if not is_integer(member) or not 0 <= member < self.members:
            raise ParameterError(f"member: expected a number from 0 to {self.members - 1}, found {shown(member)}")
        return _sets_of_members(self.members, self.colluding)[member]


def quorum(members: int, colluding: int) -> int:
    """Return the least number of members whose agreement is enough, whatever the server is.

    Two quorums have more than `colluding` members in common, and so an honest one, who agrees to one set of
    contributors only. One member in common is not enough, even if the server follows the protocol. Two sessions under
    one context could be opened by quorums with only a corrupt member in common. No honest member would then compare the
    two sets.

    Args:
        members: The number of members, from 2 to 10.
        colluding: The most corrupt members, from 1 to members - 1.

    Returns:
        floor((members + colluding) / 2) + 1, which is at most `members`.

    Raises:
        ParameterError: One of the numbers is out of its range.
    """
    _check(members, colluding)
    return (members + colluding) // 2 + 1


def _check(members: int, colluding: int) -> None:
    if not is_integer(members) or not LEAST_MEMBERS <= members <= MOST_MEMBERS:
        advice = (
            f"A client draws a seed for each choice of corrupt members, which are 252 choices with {MOST_MEMBERS} "
            f"members. Use at most {MOST_MEMBERS}, or a committee of PaillierSum, which has up to 64."
        )
        if is_integer(members) and members < LEAST_MEMBERS:
            advice = "One member alone would know every client's vector. Use 3 or more, which can find a wrong answer."
        raise ParameterError(
            f"members: expected {LEAST_MEMBERS} to {MOST_MEMBERS} committee members, found {shown(members)}. {advice}"
        )
    if not is_integer(colluding) or not 1 <= colluding < members:
        raise ParameterError(
            f"colluding: expected from 1 to {members - 1} of {members} members that may be corrupt, found "
            f"{shown(colluding)}. With 0, one member would know every client's vector; with all, nothing is secret. "
            "Use a number in this range."
        )


@lru_cache(maxsize=64)  # There are 45 pairs.
def _holders(members: int, colluding: int) -> tuple[tuple[int, ...], ...]:
    return tuple(combinations(range(members), members - colluding))


@lru_cache(maxsize=64)
def _sets_of_members(members: int, colluding: int) -> tuple[tuple[int, ...], ...]:
    sets = _holders(members, colluding)
    return tuple(tuple(a for a, held in enumerate(sets) if member in held) for member in range(members))
