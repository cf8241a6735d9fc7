"""Sums by replicated seeds, for all dropouts: every subset of the clients, then of the members that each step asks.

A member that has answered the last step once answers it again whenever it is asked to. Members that withhold a sum then
are in tests/protocols/seeds/test_server.py.
"""

from collections.abc import Collection, Iterator
from itertools import combinations
from math import comb

import pytest

from protocols import Adversary, Continue, Finish, SeedSum, TooFewSurvivors
from protocols.testing import Checkpoint, ProtocolRun, Scenario
from tests.conformance.cohorts import IDS, setting

CURIOUS, MALICIOUS = Adversary.CURIOUS, Adversary.MALICIOUS


def endings(scenario: Scenario) -> Iterator[tuple[tuple[frozenset[int], ...], ProtocolRun, Finish | None]]:
    """Yield who answered each step, the run, and the sum, over all subsets of the parties that a step asks."""
    yield from _explore(scenario, ProtocolRun(scenario), ())


def _explore(
    scenario: Scenario, run: ProtocolRun, answered: tuple[frozenset[int], ...]
) -> Iterator[tuple[tuple[frozenset[int], ...], ProtocolRun, Finish | None]]:
    replies = run.replies()
    checkpoint = Checkpoint(run)
    for size in range(len(replies) + 1):
        for subset in combinations(replies, size):
            again = checkpoint.resume(clients={*subset, *scenario.session.committee_members})
            history = (*answered, frozenset(subset))
            try:
                again.deliver({party: replies[party] for party in subset})
            except TooFewSurvivors:
                yield history, again, None
                continue
            if len(history) == len(scenario.protocol.steps):
                yield history, again, _ended(again, subset)
            else:
                assert isinstance(again.progress, Continue)
                yield from _explore(scenario, again, history)


def _ended(run: ProtocolRun, answering: Collection[int]) -> Finish | None:
    """Return how a sum ends if its last step is asked again, and who was silent in it stays so."""
    while isinstance(run.progress, Continue):
        replies = run.replies()
        try:
            run.deliver({party: reply for party, reply in replies.items() if party in answering})
        except TooFewSurvivors:
            return None
    return run.finish()


def subsets(among: int, least: int) -> int:
    """Return how many subsets of `among` parties have at least `least` of them."""
    return sum(comb(among, size) for size in range(least, among + 1))


@pytest.mark.parametrize(
    ("committee", "colluding", "adversary", "needed"),
    [
        ((21, 22), 1, CURIOUS, 2),
        ((21, 22, 23), 1, CURIOUS, 3),
        ((IDS[0], 22, IDS[1], 24), 1, MALICIOUS, 3),
        ((21, 22, 23), 2, MALICIOUS, 3),
    ],
)
def test_every_set_of_drops_with_seeds_gives_the_exact_sum_or_nothing(
    committee: tuple[int, ...], colluding: int, adversary: Adversary, needed: int
) -> None:
    each = setting(SeedSum(adversary=adversary), IDS[:3], 2, length=3, committee=committee, colluding=colluding)
    found = list(endings(each))
    for answered, run, outcome in found:
        enough = len(answered[0]) >= 2 and all(len(members) >= needed for members in answered[1:])
        assert (outcome is not None) == enough
        if outcome is not None:
            assert run.is_exact(outcome)
            assert frozenset(outcome.contributors) == answered[0]
            assert outcome.verified == (len(committee) > 2 * colluding)
            assert not outcome.culprits
    # Each step asks those who have answered the one before.
    ways = sum(
        comb(len(committee), first) * comb(first, second) * comb(second, third)
        for third in range(needed, len(committee) + 1)
        for second in range(third, len(committee) + 1)
        for first in range(second, len(committee) + 1)
    )
    assert sum(outcome is not None for _, _, outcome in found) == subsets(3, 2) * ways


def test_fewer_contributors_than_the_threshold_are_no_sum_of_seeds() -> None:
    each = setting(SeedSum(), IDS[:3], 3, length=3)
    with pytest.raises(TooFewSurvivors):
        each.simulate(each.inputs(), drops={"mask_input": [IDS[0]]})
