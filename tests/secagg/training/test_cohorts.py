import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from protocols.testing import repeatable_entropy
from secagg.errors import CohortsExhausted, ConfigurationError
from secagg.privacy.least_cap import least_cap
from secagg.training.cohorts import (
    draw_at_random,
    draw_by_poisson,
    draw_in_turn,
    in_order,
    most_rounds,
    spare_places,
)

SMALL = [
    (clients, cohort, rounds, cap)
    for clients in range(1, 10)
    for cohort in range(1, clients + 1)
    for rounds in range(1, 13)
    for cap in range(least_cap(rounds, cohort=cohort, clients=clients), rounds + 2)
]


def random_counts(clients: int, cohort: int, rounds: int, cap: int, *, seed: int) -> NDArray[np.int64]:
    """Draw all rounds at random and return how often each client was drawn; a round that runs dry raises."""
    counts = np.zeros(clients, dtype=np.int64)
    for number in range(rounds):
        left = cap - counts
        assert spare_places(left, cohort=cohort, rounds=rounds - number) >= 0
        drawn = draw_at_random(left, cohort=cohort, wanted=rounds - number, seed=(seed, number))
        assert len(drawn) == len(set(drawn)) == cohort
        counts[list(drawn)] += 1
    return counts


def test_random_draws_of_small_populations_never_run_dry() -> None:
    assert len(SMALL) >= 2193
    for clients, cohort, rounds, cap in SMALL:
        counts = random_counts(clients, cohort, rounds, cap, seed=1)
        assert counts.max() <= cap
        assert counts.sum() == cohort * rounds


@pytest.mark.parametrize(
    ("clients", "cohort", "rounds", "cap"), [(10, 4, 5, 2), (300, 100, 30, 10), (3400, 100, 300, 9)]
)
def test_random_draws_never_run_dry_where_the_cap_is_tight(clients: int, cohort: int, rounds: int, cap: int) -> None:
    """Uniform draws below the cap run dry in most runs of the first plan, and in all runs of the second."""
    assert cap == least_cap(rounds, cohort=cohort, clients=clients)
    assert random_counts(clients, cohort, rounds, cap, seed=1).max() <= cap


def test_random_draws_of_the_large_plan_never_run_dry() -> None:
    """100 of 3,400 clients in 1,500 rounds, of which the last 60 are drawn, with the places that are then left."""
    assert least_cap(1500, cohort=100, clients=3400) == 45
    counts = np.full(3400, 42, dtype=np.int64)
    counts[np.random.default_rng(1).choice(3400, size=1440 * 100 - 42 * 3400, replace=False)] += 1
    for number in range(1440, 1500):
        counts[list(draw_at_random(45 - counts, cohort=100, wanted=1500 - number, seed=(1, number)))] += 1
    assert counts.max() <= 45


def test_random_draws_are_uniform_where_places_are_to_spare() -> None:
    """Each of 8 clients is in 750 of 2,000 cohorts of 3, within 6 standard deviations."""
    counts = Counter[int]()
    for seed in range(2000):
        counts.update(draw_at_random(np.full(8, 50), cohort=3, wanted=5, seed=(seed, 0)))
    assert all(abs(counts[client] - 750) < 6 * math.sqrt(2000 * 3 / 8 * 5 / 8) for client in range(8))


def test_random_draws_after_lost_places_keep_as_many_rounds_as_there_are_places() -> None:
    left = np.array([3, 1, 1, 0])
    assert spare_places(left, cohort=2, rounds=3) == -1
    assert most_rounds(left, cohort=2, wanted=3) == 2
    for seed in range(20):
        first = draw_at_random(left, cohort=2, wanted=3, seed=(seed,))
        assert 0 in first
        after = left.copy()
        after[list(first)] -= 1
        second = draw_at_random(after, cohort=2, wanted=2, seed=(seed, 1))
        after[list(second)] -= 1
        with pytest.raises(
            CohortsExhausted, match=r"expected at least 2 clients below the cap, found 1 of 4\. A round"
        ):
            draw_at_random(after, cohort=2, wanted=1, seed=(seed, 2))


@pytest.mark.parametrize(("clients", "cohort", "rounds"), [(10, 4, 25), (7, 7, 3), (300, 100, 30), (3400, 100, 1500)])
def test_draws_in_turn_have_the_least_cap_and_keep_their_distance(clients: int, cohort: int, rounds: int) -> None:
    order, counts = in_order(clients, seed=3), np.zeros(clients, dtype=np.int64)
    cap, last = least_cap(rounds, cohort=cohort, clients=clients), np.full(clients, -(10**6))
    for turn in range(rounds):
        drawn = list(draw_in_turn(order, cap - counts, cohort=cohort, turn=turn))
        assert len(set(drawn)) == cohort
        assert (turn - last[drawn] >= clients // cohort).all()
        counts[drawn] += 1
        last[drawn] = turn
    assert (counts.min(), counts.max()) == (rounds * cohort // clients, cap)
    assert most_rounds(cap - counts, cohort=cohort, wanted=99) == (cap * clients - rounds * cohort) // cohort


def test_draws_in_turn_follow_a_random_order_of_the_seed() -> None:
    orders = [in_order(50, seed=seed).tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(50))
    with pytest.raises(CohortsExhausted, match="found 9 of 10"):
        draw_in_turn(np.arange(10), np.array([1, 0, *[1] * 8]), cohort=2, turn=0)


def test_poisson_draws_are_independent_of_one_another_and_vary_in_number() -> None:
    """A client is drawn with probability 0.3, and two clients together with 0.09, within 6 standard deviations."""
    entropy = repeatable_entropy(b"draws")
    drawn = np.zeros((20_000, 6), dtype=bool)
    for row in drawn:
        row[list(draw_by_poisson(6, rate=0.3, entropy=entropy))] = True
    assert {0, 5} <= set(drawn.sum(axis=1).tolist())
    assert (np.abs(drawn.mean(axis=0) - 0.3) < 6 * math.sqrt(0.3 * 0.7 / 20_000)).all()
    pairs = [(drawn[:, one] & drawn[:, other]).mean() for one, other in pairwise(range(6))]
    rounds = [(drawn[:-1, one] & drawn[1:, one]).mean() for one in range(6)]
    assert (np.abs(np.array(pairs + rounds) - 0.09) < 6 * math.sqrt(0.09 * 0.91 / 20_000)).all()


def test_poisson_draws_with_probability_one_ask_all_and_never_more_than_the_rate() -> None:
    assert draw_by_poisson(9, rate=1.0) == tuple(range(9))
    below = int(0.25 * 2**64)
    words = iter([below - 1, below])
    assert draw_by_poisson(2, rate=0.25, entropy=lambda size: b"".join(w.to_bytes(8, "little") for w in words)) == (0,)
    assert draw_by_poisson(3, rate=0.25, entropy=lambda size: bytes(size)) == (0, 1, 2)
    for rate in (0.0, 1.5, math.nan):
        with pytest.raises(ConfigurationError, match="rate: expected a probability"):
            draw_by_poisson(3, rate=rate)
