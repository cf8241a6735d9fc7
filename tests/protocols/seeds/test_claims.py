"""What is certain of what members claim: every choice of liars and silent members in committees of up to seven.

Liars of one set agree on one lie, or each tells its own. Both are the worst cases: one lie has the most votes, and many
lies have the fewest.
"""

from collections.abc import Iterator
from itertools import chain, combinations
from typing import Final

import pytest

from protocols.errors import RemoteError
from protocols.seeds.claims import Decision, decide
from protocols.seeds.sets import SeedSets

PAIRS: Final = [(m, t) for m in range(2, 8) for t in range(1, m)]
ALL: Final = pytest.mark.parametrize(("m", "t"), PAIRS)


def truth(number: int) -> bytes:
    return b"%032d" % number


def lie(number: int, member: int, *, together: bool) -> bytes:
    return b"lie%08d" % number + (b"" if together else b" of %d" % member)


def claims(
    sets: SeedSets, answering: tuple[int, ...], liars: tuple[int, ...], about: set[int], *, together: bool
) -> dict[int, list[bytes]]:
    """Return what the members that answer claim, of whom the liars lie about these sets."""
    return {
        member: [
            lie(number, member, together=together) if member in liars and number in about else truth(number)
            for number in sets.of(member)
        ]
        for member in answering
    }


def choices(m: int, most: int) -> Iterator[tuple[int, ...]]:
    return chain.from_iterable(combinations(range(m), size) for size in range(most + 1))


def outcome(told: dict[int, list[bytes]], sets: SeedSets) -> Decision | None:
    """Return the decision; None if the sum is refused."""
    try:
        return decide(told, sets)
    except RemoteError:
        return None


def cases(m: int, t: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], set[int], bool]]:
    """Yield those who answer, the liars among them, the sets that they lie about, and whether they tell one lie."""
    sets = SeedSets(m, t)
    every = set(range(sets.count))
    for liars in choices(m, t):
        for silent in choices(m, m):
            answering = tuple(member for member in range(m) if member not in silent)
            if not set(liars) <= set(answering):
                continue
            for about in ({0}, {sets.count - 1}, every):
                for together in (False, True):
                    yield answering, liars, about, together


@ALL
def test_no_wrong_sum_is_verified_and_nobody_honest_is_named(m: int, t: int) -> None:
    """At most t members lie, about one set or all, and any others are silent: a verified claim must be the truth."""
    sets = SeedSets(m, t)
    right = tuple(truth(number) for number in range(sets.count))
    for answering, liars, about, together in cases(m, t):
        found = outcome(claims(sets, answering, liars, about, together=together), sets)
        if found is None:
            continue
        assert found.liars <= set(liars)
        if found.verified:
            assert found.claims == right


@ALL
def test_enough_answers_decide_every_set_without_a_liar_and_name_every_liar(m: int, t: int) -> None:
    sets = SeedSets(m, t)
    for answering, liars, about, together in cases(m, t):
        touched = any(set(sets.of(member)) & about for member in liars)
        told = claims(sets, answering, liars, about, together=together)
        if len(answering) >= 2 * t + 1 and not touched:
            found = outcome(told, sets)
            assert found is not None
            assert (found.verified, found.liars) == (True, frozenset())
        if len(answering) >= 3 * t + 1:
            found = outcome(told, sets)
            assert found is not None
            assert found.verified
            assert found.liars == {member for member in liars if set(sets.of(member)) & about}


@ALL
def test_small_committee_gives_an_unverified_sum_if_all_claims_are_equal(m: int, t: int) -> None:
    """With m < 2t + 1 nothing is ever decided: one claim that differs must make the server refuse the sum."""
    sets = SeedSets(m, t)
    if m >= 2 * t + 1:
        return
    for answering, liars, about, together in cases(m, t):
        told = claims(sets, answering, liars, about, together=together)
        by_set = [set[bytes]() for _ in range(sets.count)]
        for member, own in told.items():
            for number, claim in zip(sets.of(member), own, strict=True):
                by_set[number].add(claim)
        found = outcome(told, sets)
        if any(len(each) != 1 for each in by_set):
            assert found is None
            continue
        assert found is not None
        assert (found.verified, found.liars) == (False, frozenset())
        assert found.claims == tuple(next(iter(each)) for each in by_set)


def test_liar_alone_in_a_set_makes_a_wrong_sum_of_a_small_committee_that_is_not_verified() -> None:
    """With two members, each answers for its own set alone. The sum is wrong, and must not be called verified."""
    sets = SeedSets(2, 1)
    found = decide({0: [b"lie"], 1: [truth(1)]}, sets)
    assert found == Decision(claims=(b"lie", truth(1)), verified=False, liars=frozenset())


def test_two_liars_are_the_majority_of_a_set_of_three_and_decide_nothing() -> None:
    """Five members, two of them corrupt: in a set of three, both liars claim the same. The sum must be refused."""
    sets = SeedSets(5, 2)
    number = sets.holders.index((0, 1, 2))
    told = claims(sets, (0, 1, 2, 3, 4), (0, 1), {number}, together=True)
    with pytest.raises(RemoteError, match=rf"set {number}: expected at least 3 equal ones, found 2 of 3\."):
        decide(told, sets)


def test_refusal_says_that_too_few_have_answered() -> None:
    sets = SeedSets(3, 1)
    with pytest.raises(RemoteError, match="expected at least 2 equal ones, found 1 of 1"):
        decide(claims(sets, (0, 2), (), set(), together=True), sets)
    with pytest.raises(RemoteError, match="found 0 of 0"):
        decide({}, sets)


def test_number_of_claims_of_a_member_is_that_of_its_sets() -> None:
    sets = SeedSets(4, 1)
    with pytest.raises(ValueError, match="zip"):
        decide({0: [truth(0)]}, sets)
