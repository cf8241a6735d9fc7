"""Sums among many clients of which some drop out, with a curious server; and every set of dropouts of six clients.

Up to five clients, every set of drops is in tests/protocols/pairwise/test_pairwise_drops.py, with another way to
enumerate it.
"""

import pytest

from protocols import LightSecAgg, SecAgg, SecAggPlus, SecureSum, TooFewSurvivors
from tests.conformance.cohorts import IDS, setting
from tests.conformance.drops import chains, check_random_drops, endings


@pytest.mark.parametrize("threshold", [*(pytest.param(least, marks=pytest.mark.long) for least in (2, 3)), 4, 5, 6])
def test_every_set_of_drops_of_six_gives_the_exact_sum_or_nothing(threshold: int) -> None:
    found = list(endings(setting(SecAgg(), IDS[:6], threshold, length=3)))
    assert [ending.answered for ending in found if not ending.is_right] == []
    assert sum(ending.outcome is not None for ending in found) == chains(6, threshold, rounds=4)


@pytest.mark.parametrize(
    ("threshold", "neighbours", "share_threshold"), [(4, 2, 2), (4, 2, 3), (4, 4, 2), (3, 4, 3), (4, 4, 5)]
)
def test_every_set_of_drops_of_six_on_a_sparse_graph_gives_the_exact_sum_or_nothing(
    threshold: int, neighbours: int, share_threshold: int
) -> None:
    protocol = SecAggPlus(neighbours=neighbours, share_threshold=share_threshold)
    found = list(endings(setting(protocol, IDS[:6], threshold, length=3)))
    assert [ending.answered for ending in found if not ending.is_right] == []
    assert 0 < sum(ending.outcome is not None for ending in found) < len(found)


@pytest.mark.parametrize(
    ("clients", "threshold", "privacy", "responders"),
    [
        (2, 2, 1, 2),
        (3, 2, 1, 2),
        (4, 3, 1, 3),
        (5, 3, 1, 2),
        (5, 4, 2, 4),
        pytest.param(6, 3, 2, 3, marks=pytest.mark.long),
        (6, 4, 1, 3),
        (6, 5, 3, 5),
    ],
)
def test_every_set_of_drops_with_coded_masks_gives_the_exact_sum_or_nothing(
    clients: int, threshold: int, privacy: int, responders: int
) -> None:
    protocol = LightSecAgg(privacy=privacy, responders=responders)
    found = list(endings(setting(protocol, IDS[:clients], threshold, length=3)))
    assert [ending.answered for ending in found if not ending.is_right] == []
    assert sum(ending.outcome is not None for ending in found) == chains(clients, threshold, rounds=4)


@pytest.mark.parametrize(
    "dropout", [pytest.param(0.0, marks=pytest.mark.long), 0.1, pytest.param(0.3, marks=pytest.mark.long)]
)
def test_random_drops_among_a_thousand_give_the_exact_sum(dropout: float) -> None:
    """On the graph that is suggested; with 30% of drops every client has 66 neighbours."""
    protocol, threshold = SecAggPlus.suggest(clients=1000, adversarial=0.05, dropout=dropout)
    check_random_drops(protocol, 1000, threshold, gone=round(1000 * dropout), seed=int(10 * dropout))


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.3])
def test_random_drops_on_the_complete_graph_give_the_exact_sum(dropout: float) -> None:
    protocol, threshold = SecAgg.suggest(clients=100, adversarial=0.1, dropout=dropout)
    check_random_drops(protocol, 100, threshold, gone=round(100 * dropout), seed=int(10 * dropout))


@pytest.mark.parametrize("kind", [SecAgg, SecAggPlus, pytest.param(LightSecAgg, marks=pytest.mark.long)])
def test_exactly_the_threshold_is_enough_and_one_fewer_is_not(kind: type[SecureSum]) -> None:
    protocol, threshold = kind.suggest(clients=100, adversarial=0.1, dropout=0.2)
    check_random_drops(protocol, 100, threshold, gone=100 - threshold, seed=2)
    with pytest.raises(TooFewSurvivors):
        check_random_drops(protocol, 100, threshold, gone=100 - threshold + 1, seed=3)
