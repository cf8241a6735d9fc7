from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from secagg.data.columns import Shard
from secagg.errors import ConfigurationError, ModelError
from secagg.models.softmax import SoftmaxRegression
from secagg.simulation.devices import Devices
from tests.support.federation import CLASSES, FEATURES, devices, examples, updates_of


def test_devices_train_from_the_global_weights_on_their_own_shard_alone() -> None:
    federation = devices(3)
    weights = [array + 0.1 for array in federation.model.get_weights()]
    for client in federation.clients:
        update = federation.train(client, weights, 4)
        alone = devices(3).model
        alone.set_weights(weights)
        seed = int(np.random.SeedSequence([1, 4, client]).generate_state(1)[0])
        alone.fit(*examples(5 + client, client), epochs=2, batch_size=4, seed=seed)
        for found, new, old in zip(update, alone.get_weights(), weights, strict=True):
            assert found.dtype == np.float64
            np.testing.assert_array_equal(found, new - old)


def test_devices_of_equal_seeds_are_equal_and_rounds_differ() -> None:
    weights = devices().model.get_weights()
    one, again, other = (updates_of(devices(), weights, number) for number in (1, 1, 2))
    reseeded = updates_of(devices(seed=2), weights)
    for client in range(8):
        assert all(np.array_equal(a, b) for a, b in zip(one[client], again[client], strict=True))
        assert not np.array_equal(one[client][0], other[client][0])
        assert not np.array_equal(one[client][0], reseeded[client][0])


def test_devices_drop_as_many_as_asked_each_once_anywhere() -> None:
    federation, names = devices(40), ["one", "two", "three"]
    seen = set()
    for number in range(30):
        drops = federation.drops(number, names, 7)
        gone = [client for clients in drops.values() for client in clients]
        assert len(gone) == len(set(gone)) == 7
        assert set(gone) <= set(federation.clients)
        assert drops == devices(40).drops(number, names, 7)
        seen |= {name for name, clients in drops.items() if clients}
    assert seen == set(names)
    assert federation.drops(1, names, 7) != federation.drops(2, names, 7)
    assert federation.drops(1, names, 0) == {name: [] for name in names}


def test_devices_say_who_has_diverged() -> None:
    model = SoftmaxRegression(FEATURES, CLASSES, learning_rate=1e300, seed=1)
    shards = [(1e10 * x, y) for x, y in (examples(5 + client, client) for client in range(3))]
    federation = Devices(model=model, shards=shards, epochs=1, batch_size=4, seed=1)
    with np.errstate(all="ignore"), pytest.raises(ModelError, match=r"client 0 has diverged in round 7.*learning rate"):
        federation.train(0, federation.model.get_weights(), 7)


class Lazy(Sequence[Shard]):
    """Shards that are made when they are asked for, and counted."""

    def __init__(self, clients: int, empty: int = -1) -> None:
        self.clients, self.empty = clients, empty
        self.made: list[int] = []

    def __getitem__(self, client: Any) -> Any:
        if not 0 <= client < self.clients:
            raise IndexError(client)
        self.made.append(client)
        return examples(0 if client == self.empty else 5, client)

    def __len__(self) -> int:
        return self.clients


def test_devices_make_a_shard_when_its_client_is_asked() -> None:
    shards = Lazy(100_000, empty=7)
    federation = Devices(
        model=SoftmaxRegression(FEATURES, CLASSES, seed=1), shards=shards, epochs=1, batch_size=4, seed=1
    )
    weights = federation.model.get_weights()
    assert len(shards.made) <= 1
    federation.train(99_999, weights, 1)
    assert shards.made[-1] == 99_999
    assert len(shards.made) <= 3
    with pytest.raises(
        ConfigurationError, match=r"client 7: expected at least 1 example and a target for each, found 0"
    ):
        federation.train(7, weights, 1)


def test_devices_drop_clients_of_the_cohort_alone() -> None:
    federation, cohort = devices(40), (3, 5, 8, 13, 21, 34)
    drops = federation.drops(1, ["one", "two"], 4, clients=cohort)
    gone = [client for clients in drops.values() for client in clients]
    assert len(set(gone)) == 4
    assert set(gone) <= set(cohort)
    assert federation.drops(1, ["one", "two"], 4, clients=range(40)) == federation.drops(1, ["one", "two"], 4)


@pytest.mark.parametrize("sizes", [[(4, 4)], [], [(4, 4), (0, 0)], [(4, 4), (4, 3)]])
def test_devices_refuse_shards_that_cannot_train(sizes: list[tuple[int, int]]) -> None:
    shards = [(np.zeros((rows, FEATURES)), np.zeros(labels, dtype=np.int64)) for rows, labels in sizes]
    with pytest.raises(ConfigurationError):
        Devices(model=SoftmaxRegression(FEATURES, CLASSES, seed=1), shards=shards, epochs=1, batch_size=1, seed=1)
