"""Rounds over a channel with faults: each ends in time, in the exact sum of the clients that it names or without one.

The long tests, which `--long` runs, have 1,000 rounds of 10 clients over all protocols; the others have 60.
"""

import gc
import itertools
import tracemalloc
from collections import Counter

import pytest

from protocols import Adversary
from tests.support.faulty_rounds import CHEAP, CLIENTS, COMMITTEES, Ended, FaultyRounds, probabilities

SEED = 13
SHARE = {"paillier": 2, "oneshot": 2}
LONG = {"paillier": 60, "oneshot": 20}
CASES = [pytest.param(name, adversary, SEED, id=f"{name}-{adversary}-{SEED}") for name, adversary in CHEAP + COMMITTEES]
LEFT_OUT = f"oneshot-{Adversary.CURIOUS}-{SEED}"  # Its first table takes seconds; the long tests have it.
LARGEST_GROWTH = 200_000


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


def in_use(rounds: FaultyRounds) -> int:
    """Return the bytes in use without the messages that the channel keeps."""
    rounds.channel.forget()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.mark.long
@pytest.mark.parametrize(("name", "adversary", "seed"), CASES)
def test_a_thousand_rounds_with_faults_take_no_more_memory_at_the_end(
    name: str, adversary: Adversary, seed: int
) -> None:
    count = LONG.get(name, 140)
    rounds = FaultyRounds(name, adversary, seed)
    spread = probabilities(seed)
    ended = Counter[str]()
    early = 0
    tracemalloc.start()
    try:
        for number in range(count):
            found = rounds.run(next(spread))
            ended[found.error or ("sum" if found.contributors else "withheld")] += 1
            if number == count // 4:
                early = in_use(rounds)
        growth = in_use(rounds) - early
    finally:
        tracemalloc.stop()
    assert growth < LARGEST_GROWTH, dict(ended)
    assert ended["sum"] > count / 4
