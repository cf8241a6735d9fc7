"""The audit's own draws are those of the toolkit, for every rule, cap and history."""

import itertools

import numpy as np
import pytest

from secagg.audit.run_folder.draws import at_random, in_turn
from secagg.errors import CohortsExhausted
from secagg.privacy.least_cap import least_cap
from secagg.training.cohorts import Draw
from secagg.training.drawing import Cohorts

CASES = [(16, 8, 3), (10, 4, 5), (7, 7, 3), (9, 2, 20), (60, 20, 12)]


@pytest.mark.parametrize(("clients", "cohort", "rounds"), CASES)
def test_draws_in_turn_are_those_of_the_toolkit(clients: int, cohort: int, rounds: int) -> None:
    cap = least_cap(rounds, cohort=cohort, clients=clients)
    drawn = Cohorts(clients=clients, cohort=cohort, draw=Draw.IN_TURN, cap=cap, rounds=rounds, seed=3)
    for turn in range(rounds):
        assert in_turn(clients=clients, cohort=cohort, seed=3, turn=turn) == drawn.next(turn + 1).clients


@pytest.mark.parametrize(("clients", "cohort", "rounds"), CASES)
@pytest.mark.parametrize("spare", [0, 1, 5])
def test_draws_at_random_are_those_of_the_toolkit(clients: int, cohort: int, rounds: int, spare: int) -> None:
    """Every third round is repeated, until too few clients have places."""
    cap = least_cap(rounds, cohort=cohort, clients=clients) + spare
    drawn = Cohorts(clients=clients, cohort=cohort, draw=Draw.RANDOM, cap=cap, rounds=rounds, seed=3)
    numbers = itertools.chain.from_iterable([number] * (1 + (number % 3 == 0)) for number in range(1, rounds + 1))
    for turn, number in enumerate(numbers):
        counts, wanted = drawn.counts.astype(np.int64), rounds - number + 1
        found = at_random(counts, cohort=cohort, cap=cap, wanted=wanted, seed=3, turn=turn)
        try:
            assert found == drawn.next(number).clients
        except CohortsExhausted:
            assert found == ()
            break
