"""Rounds over a channel with faults: each ends in time, in the exact sum of the clients that it names or without one.

The long tests have 1,000 rounds of 10 clients over all protocols; the others have 60. `make faults` says what the 1,000
rounds have come to.
"""

import itertools

import pytest

from protocols import Adversary
from tests.support.fault_campaign import SEED, campaign
from tests.support.faulty_rounds import CHEAP, CLIENTS, COMMITTEES, Ended, FaultyRounds, probabilities

pytestmark = pytest.mark.slow

SHARE = {"paillier": 2, "oneshot": 2}
CASES = [pytest.param(name, adversary, SEED, id=f"{name}-{adversary}-{SEED}") for name, adversary in CHEAP + COMMITTEES]
LEFT_OUT = f"oneshot-{Adversary.CURIOUS}-{SEED}"  # Its first table takes seconds; the long tests have it.


def run(name: str, adversary: Adversary, seed: int, count: int) -> list[Ended]:
    rounds = FaultyRounds(name, adversary, seed)
    return [rounds.run(probability) for probability in itertools.islice(probabilities(seed), count)]


@pytest.mark.parametrize(("name", "adversary", "seed"), [case for case in CASES if case.id != LEFT_OUT])
def test_rounds_with_faults_end_in_the_exact_sum_of_named_clients_or_without_one(
    name: str, adversary: Adversary, seed: int
) -> None:
    ended = run(name, adversary, seed, SHARE.get(name, 9))
    assert ended[0] == Ended(contributors=CLIENTS, reasons=frozenset(), error="")
    assert len(ended) == 1 or any(each.reasons for each in ended)


@pytest.mark.long
@pytest.mark.parametrize(("name", "adversary"), CHEAP + COMMITTEES)
def test_a_thousand_rounds_with_faults_take_no_more_memory_at_the_end(name: str, adversary: Adversary) -> None:
    campaign(name, adversary)
