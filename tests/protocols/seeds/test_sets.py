"""Which members share a seed, and how many must agree: the numbers of the design, and what they are for."""

import math
from itertools import combinations
from typing import Final

import pytest

from protocols.errors import ParameterError
from protocols.seeds.sets import MOST_MEMBERS, SeedSets, quorum

PAIRS: Final = [(m, t) for m in range(2, MOST_MEMBERS + 1) for t in range(1, m)]
TABLE: Final = [
    # m, t, seeds, a member's, q, silent members, all decided (2t + 1), all named (3t + 1)
    (2, 1, 2, 1, 2, 0, None, None),
    (3, 1, 3, 2, 3, 0, 3, None),
    (4, 1, 4, 3, 3, 1, 3, 4),
    (5, 1, 5, 4, 4, 1, 3, 4),
    (5, 2, 10, 6, 4, 1, 5, None),
    (7, 2, 21, 15, 5, 2, 5, 7),
    (7, 3, 35, 20, 6, 1, 7, None),
    (10, 3, 120, 84, 7, 3, 7, 10),
]
"""The table of the protocol's design, with the quorum against a malicious server for any server; None where more
answers would be needed than there are members."""


@pytest.mark.parametrize("row", TABLE)
def test_numbers_are_those_of_the_design(row: tuple[int | None, ...]) -> None:
    m, t, seeds, held, least, silent, decided, named = row
    assert m is not None
    assert t is not None
    sets = SeedSets(m, t)
    assert (sets.count, sets.held) == (seeds, held)
    assert quorum(m, t) == least
    assert m - quorum(m, t) == silent
    assert [answers if answers <= m else None for answers in (2 * t + 1, 3 * t + 1)] == [decided, named]


@pytest.mark.parametrize(("m", "t"), PAIRS)
def test_sets_are_all_of_their_size_in_lexicographic_order(m: int, t: int) -> None:
    sets = SeedSets(m, t)
    assert list(sets.holders) == sorted({tuple(sorted(held)) for held in sets.holders})
    assert {len(held) for held in sets.holders} == {m - t}
    assert len(sets.holders) == sets.count == math.comb(m, t) <= 252
    for member in range(m):
        assert sets.of(member) == tuple(a for a, held in enumerate(sets.holders) if member in held)
        assert len(sets.of(member)) == sets.held


@pytest.mark.parametrize(("m", "t"), PAIRS)
def test_corrupt_members_miss_one_seed_and_one_more_member_has_them_all(m: int, t: int) -> None:
    """Up to t members put their seeds together: a set must be left of which they have none. One more has them all."""
    sets = SeedSets(m, t)
    for corrupt in combinations(range(m), t):
        assert sum(not set(held) & set(corrupt) for held in sets.holders) == 1
    for members in combinations(range(m), t + 1):
        assert set().union(*(sets.of(member) for member in members)) == set(range(sets.count))


@pytest.mark.parametrize(("m", "t"), PAIRS)
def test_quorum_is_the_least_of_which_any_two_share_an_honest_member(m: int, t: int) -> None:
    """The server has two sets of contributors certified: two quorums must have more than t members in common."""
    assert quorum(m, t) == next(q for q in range(1, m + 1) if least_shared(m, q) > t)


def least_shared(m: int, q: int) -> int:
    """Return the fewest members that two quorums have in common; one of them may be the first q, by symmetry."""
    return min(len(set(other) & set(range(q))) for other in combinations(range(m), q))


@pytest.mark.parametrize("members", [-1, 0, 1, 11, 64, 2**70, 3.0, "3", None, True])
def test_number_of_members_out_of_range_is_refused_with_what_to_do(members: object) -> None:
    for attempt in (
        lambda: SeedSets(members, 1),  # type: ignore[arg-type]  # that is the test
        lambda: quorum(members, 1),  # type: ignore[arg-type]  # that is the test
    ):
        few = members in (-1, 0, 1) and members is not True
        advice = "Use 3 or more, which can find a wrong answer" if few else r"Use at most 10, or .* PaillierSum"
        with pytest.raises(ParameterError, match=rf"members: expected 2 to 10 .* {advice}"):
            attempt()


@pytest.mark.parametrize("colluding", [-1, 0, 5, 6, 2**70, 1.0, "1", None, True])
def test_number_of_corrupt_members_out_of_range_is_refused(colluding: object) -> None:
    for attempt in (
        lambda: SeedSets(5, colluding),  # type: ignore[arg-type]  # that is the test
        lambda: quorum(5, colluding),  # type: ignore[arg-type]  # that is the test
    ):
        with pytest.raises(ParameterError, match="colluding: expected from 1 to 4"):
            attempt()


@pytest.mark.parametrize("member", [-1, 3, 1.0, None, True])
def test_member_that_there_is_not_is_refused(member: object) -> None:
    with pytest.raises(ParameterError, match="from 0 to 2"):
        SeedSets(3, 1).of(member)  # type: ignore[arg-type]  # that is the test
