"""Sums against a malicious server, for all dropouts in all steps: exact if the thresholds allow it, or nothing.

Exhaustive for up to six clients: every subset of those asked answers, at each of the five steps.
"""

import pytest

from protocols import Adversary, SecAgg, SecAggPlus, SecureSum, TooFewSurvivors
from tests.conformance.cohorts import IDS, setting
from tests.conformance.drops import chains, check_random_drops, endings

MALICIOUS = Adversary.MALICIOUS
COHORTS = [
    (2, 2),
    (3, 2),
    (3, 3),
    (4, 3),
    (4, 4),
    (5, 3),
    (5, 4),
    (5, 5),
    pytest.param(6, 4, marks=pytest.mark.long),
    (6, 5),
    (6, 6),
]


@pytest.mark.parametrize(("clients", "threshold"), COHORTS)
def test_every_set_of_drops_gives_the_exact_sum_or_nothing(clients: int, threshold: int) -> None:
    found = list(endings(setting(SecAgg(adversary=MALICIOUS), IDS[:clients], threshold, length=3)))
    assert [ending.answered for ending in found if not ending.is_right] == []
    # Every sum is that of one chain of subsets: each client never drops, or drops in one of five rounds.
    assert sum(ending.outcome is not None for ending in found) == chains(clients, threshold, rounds=5)


@pytest.mark.parametrize(
    ("clients", "threshold", "neighbours", "share_threshold"),
    [
        (4, 3, 2, 3),
        (5, 3, 4, 3),
        (5, 4, 2, 3),
        pytest.param(6, 4, 4, 4, marks=pytest.mark.long),
        (6, 5, 4, 4),
        (6, 4, 2, 3),
    ],
)
def test_every_set_of_drops_on_a_sparse_graph_gives_the_exact_sum_or_nothing(
    clients: int, threshold: int, neighbours: int, share_threshold: int
) -> None:
    protocol = SecAggPlus(neighbours=neighbours, share_threshold=share_threshold, adversary=MALICIOUS)
    found = list(endings(setting(protocol, IDS[:clients], threshold, length=3)))
    assert [ending.answered for ending in found if not ending.is_right] == []
    assert 0 < sum(ending.outcome is not None for ending in found) < len(found)


@pytest.mark.parametrize("dropout", [0.1, pytest.param(0.3, marks=pytest.mark.long)])
def test_random_drops_among_a_hundred_give_the_exact_sum(dropout: float) -> None:
    protocol, threshold = SecAgg.suggest(clients=100, adversarial=0.1, dropout=dropout, adversary=MALICIOUS)
    check_random_drops(protocol, 100, threshold, gone=round(100 * dropout), seed=int(100 * dropout))


@pytest.mark.parametrize(
    ("clients", "dropout"), [pytest.param(200, 0.1, marks=pytest.mark.long), (100, 0.0), (100, 0.3)]
)
def test_random_drops_on_a_suggested_graph_give_the_exact_sum(clients: int, dropout: float) -> None:
    protocol, threshold = SecAggPlus.suggest(clients=clients, adversarial=0.1, dropout=dropout, adversary=MALICIOUS)
    check_random_drops(protocol, clients, threshold, gone=round(clients * dropout), seed=1)


@pytest.mark.parametrize("kind", [SecAgg, SecAggPlus])
def test_exactly_the_threshold_is_enough_and_one_fewer_is_not(kind: type[SecureSum]) -> None:
    protocol, threshold = kind.suggest(clients=60, adversarial=0.1, dropout=0.2, adversary=MALICIOUS)
    check_random_drops(protocol, 60, threshold, gone=60 - threshold, seed=2)
    with pytest.raises(TooFewSurvivors):
        check_random_drops(protocol, 60, threshold, gone=60 - threshold + 1, seed=3)
