from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secagg.data.partition import partition
from secagg.errors import ConfigurationError, DataError

LABELS = np.random.default_rng(0).integers(10, size=1000)


def skew(shards: Sequence[NDArray[np.int64]]) -> float:
    """Mean share of a shard that its commonest class takes."""
    return float(np.mean([np.bincount(LABELS[shard]).max() / len(shard) for shard in shards]))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    labels=st.lists(st.sampled_from([0, 1, 2, 7, 2**40]), min_size=1, max_size=60),
    clients=st.integers(1, 60),
    seed=st.integers(0, 2**70),
    alpha=st.sampled_from([None, 1e-320, 1e-300, 1e-8, 0.01, 0.5, 1, 100.0, 1e300]),
)
def test_partition_is_disjoint_covering_and_even(
    labels: list[int], clients: int, seed: int, alpha: float | None
) -> None:
    clients = min(clients, len(labels))
    shards = partition(np.array(labels), clients=clients, seed=seed, alpha=alpha)
    assert sorted(np.concatenate(shards).tolist()) == list(range(len(labels)))
    sizes = [len(shard) for shard in shards]
    assert len(sizes) == clients
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert all(shard.dtype == np.int64 and (np.diff(shard) > 0).all() for shard in shards)


@pytest.mark.parametrize("clients", [1, 7, 300, 1000])
def test_partition_at_random_is_the_permutation_of_the_seed_in_even_pieces(clients: int) -> None:
    shards = partition(LABELS, clients=clients, seed=5, alpha=None)
    pieces = np.array_split(np.random.default_rng(5).permutation(len(LABELS)), clients)
    assert len(shards) == len(pieces)
    assert all(np.array_equal(shard, np.sort(piece)) for shard, piece in zip(shards, pieces, strict=True))
    assert shards.sizes.tolist() == [len(piece) for piece in pieces]


def test_partition_is_indexed_as_a_list_is() -> None:
    shards = partition(LABELS, clients=30, seed=0, alpha=0.5)
    assert np.array_equal(shards[-1], shards[29])
    assert [len(shard) for shard in shards[3:5]] == shards.sizes[3:5].tolist()
    for outside in (30, -31):
        with pytest.raises(IndexError):
            shards[outside]


def test_partition_takes_labels_in_a_column() -> None:
    vector, column = (partition(labels, clients=7, seed=0, alpha=0.5) for labels in (LABELS, LABELS[:, np.newaxis]))
    assert all(np.array_equal(one, other) for one, other in zip(vector, column, strict=True))


@pytest.mark.parametrize("alpha", [None, 0.3])
def test_partition_follows_its_seed(alpha: float | None) -> None:
    first, again, other = (np.concatenate(partition(LABELS, clients=30, seed=seed, alpha=alpha)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_partition_skew_falls_with_alpha_to_that_of_chance() -> None:
    by_alpha = [skew(partition(LABELS, clients=20, seed=0, alpha=alpha)) for alpha in (0.01, 0.3, 3, 1e4)]
    assert by_alpha == sorted(by_alpha, reverse=True)
    assert by_alpha[0] > 0.6
    assert abs(by_alpha[-1] - skew(partition(LABELS, clients=20, seed=0, alpha=None))) < 0.05


def test_partition_draws_classes_from_the_stated_dirichlet() -> None:
    # 400 clients of 5 from a pool so large that no class runs out early: within a client, two draws have the same
    # label with probability (alpha * sum p^2 + 1) / (alpha + 1), for q ~ Dir(alpha p).
    # 4,000 pairs in 400 independent clients: the mean's deviation is below 0.5 / sqrt(400) = 0.025, so 5 of those
    # (0.125) are missed with probability under 1e-6; one more seed is tried.
    labels = np.repeat(np.arange(4), (800, 600, 400, 200))
    p = np.array([0.4, 0.3, 0.2, 0.1])
    for alpha in (0.2, 1.0, 10.0):
        expected = (alpha * (p**2).sum() + 1) / (alpha + 1)
        distances = []
        for seed in (0, 1):
            shards = partition(labels, clients=400, seed=seed, alpha=alpha)
            same = [
                np.mean([a == b for i, a in enumerate(labels[shard]) for b in labels[shard][:i]]) for shard in shards
            ]
            distances.append(abs(np.mean(same) - expected))
        assert min(distances) < 0.125


def test_partition_of_sixty_thousand_is_quick_enough_to_use() -> None:
    labels = np.arange(60_000) % 10
    shards = partition(labels, clients=300, seed=0, alpha=0.5)
    assert {len(shard) for shard in shards} == {200}


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        ([0, 1], DataError),
        (np.array([0.0, 1.0]), DataError),
        (np.array([True, False]), DataError),
        (np.zeros((2, 2), dtype=int), DataError),
        (np.zeros(0, dtype=int), DataError),
        (np.array([0, -1]), DataError),
    ],
)
def test_partition_refuses_bad_labels(labels: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        partition(labels, clients=1, seed=0, alpha=None)


@pytest.mark.parametrize(
    "changes",
    [
        {"clients": 0},
        {"clients": 1001},
        {"clients": True},
        {"clients": 2.0},
        {"seed": -1},
        {"seed": None},
        {"alpha": 0},
        {"alpha": -1.0},
        {"alpha": float("nan")},
        {"alpha": float("inf")},
        {"alpha": True},
        {"alpha": "0.5"},
    ],
)
def test_partition_refuses_bad_settings(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        partition(LABELS, **{"clients": 10, "seed": 0, "alpha": 0.5, **changes})
