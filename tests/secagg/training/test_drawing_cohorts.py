from typing import Any

import numpy as np
import pytest

from protocols.testing import repeatable_entropy
from secagg.errors import CohortsExhausted, ConfigurationError
from secagg.training.cohorts import Draw
from secagg.training.drawing import Cohorts, Drawn


def cohorts(draw: Draw, **changes: Any) -> Cohorts:
    settings: dict[str, Any] = {
        "clients": 12,
        "cohort": 5,
        "draw": draw,
        "cap": None if draw is Draw.POISSON else 4,
        "rounds": 9,
        "seed": 1,
    }
    return Cohorts(**settings | changes)


@pytest.mark.parametrize("draw", [Draw.IN_TURN, Draw.RANDOM])
def test_cohorts_of_a_plan_are_those_of_its_seed_and_use_up_places(draw: Draw) -> None:
    one, again, other = cohorts(draw), cohorts(draw), cohorts(draw, seed=2)
    drawn = [one.next(number) for number in range(1, 10)]
    assert drawn == [again.next(number) for number in range(1, 10)]
    assert drawn != [other.next(number) for number in range(1, 10)]
    assert all(len(each.clients) == 5 and not each.padding and each.asked == each.clients for each in drawn)
    assert (one.counts.sum(), one.counts.max(), one.turn) == (45, 4, 9)
    assert one.feasible == 0


@pytest.mark.parametrize("draw", [Draw.IN_TURN, Draw.RANDOM])
def test_cohorts_go_on_where_they_were_interrupted(draw: Draw) -> None:
    whole, first = cohorts(draw), cohorts(draw)
    expected = [whole.next(number) for number in range(1, 10)]
    assert [first.next(number) for number in range(1, 5)] == expected[:4]
    by_counts, by_rounds = cohorts(draw), cohorts(draw)
    by_counts.go_on(first.counts, turn=4)
    by_rounds.repeat(4)
    assert [by_counts.next(number) for number in range(5, 10)] == expected[4:]
    assert [by_rounds.next(number) for number in range(5, 10)] == expected[4:]


@pytest.mark.parametrize("draw", [Draw.IN_TURN, Draw.RANDOM])
def test_cohorts_of_repeated_rounds_are_drawn_anew_until_places_are_used_up(draw: Draw) -> None:
    """12 clients of a cap of 4 have 48 places, which are enough for 9 cohorts of 5, one of which is a repetition."""
    found = cohorts(draw)
    first, again = found.next(1), found.next(1)
    assert first != again
    for number in range(2, 9):
        found.next(number)
    counts = found.counts.copy()
    with pytest.raises(CohortsExhausted):
        found.next(9)
    assert (found.counts == counts).all()
    assert found.counts.max() <= 4


def test_cohorts_by_poisson_are_padded_to_a_session() -> None:
    found = cohorts(Draw.POISSON, entropy=repeatable_entropy(b"secret"))
    drawn = [found.next(number) for number in range(1, 60)]
    sizes = {len(each.clients) for each in drawn}
    assert min(sizes) < 5 < max(sizes)
    for each in drawn:
        assert len(each.asked) == len(set(each.asked)) == max(5, len(each.clients))
        assert not set(each.padding) & set(each.clients)
    assert found.feasible is None
    assert Drawn(clients=(), padding=(3, 1)).asked == (1, 3)


def test_cohorts_by_poisson_count_who_was_drawn_and_not_the_padding() -> None:
    found = cohorts(Draw.POISSON, entropy=lambda size: b"\xff" * size)
    drawn = found.next(1)
    assert (drawn.clients, len(drawn.padding)) == ((), 5)
    assert found.counts.sum() == 0


@pytest.mark.parametrize(
    ("draw", "changes", "message"),
    [
        (Draw.IN_TURN, {"cohort": 13}, "cohort: expected from 2 to all 12 clients"),
        (Draw.IN_TURN, {"cohort": 1}, "cohort: expected from 2 to all 12 clients"),
        (Draw.RANDOM, {"cap": None}, "cap: expected one if and only if"),
        (Draw.POISSON, {"cap": 4}, "cap: expected one if and only if"),
        (Draw.RANDOM, {"cap": 3}, "cap: expected at least 4 for 9 rounds, found 3"),
    ],
)
def test_cohorts_that_cannot_work_are_refused(draw: Draw, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        cohorts(draw, **changes)


def test_cohorts_of_a_population_are_drawn_in_time() -> None:
    """Of 100,000 clients; a draw takes milliseconds."""
    for draw in Draw:
        found = cohorts(draw, clients=100_000, cohort=300, cap=None if draw is Draw.POISSON else 5, rounds=1500)
        for number in range(1, 6):
            assert len(np.unique(found.next(number).asked)) >= 300
