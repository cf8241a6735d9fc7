"""A small federation on a numpy model, for tests."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocols import SecAgg
from secagg.aggregation.mean import SecureMean
from secagg.arrays import Arrays
from secagg.models.base import Model
from secagg.models.softmax import SoftmaxRegression
from secagg.simulation.devices import Devices

FEATURES, CLASSES = 6, 3


def examples(count: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return random examples of three classes, most of which a linear model can tell apart."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, FEATURES))
    y = (x[:, 0] + 0.3 * generator.normal(size=count) > 0).astype(np.int64) + (x[:, 1] > 0)
    return x, y


def devices(clients: int = 8, *, seed: int = 1, model: Model | None = None) -> Devices:
    """Return clients with 5, 6, 7, ... examples each."""
    return Devices(
        model=model or SoftmaxRegression(FEATURES, CLASSES, learning_rate=0.3, seed=seed),
        shards=[examples(5 + client, client) for client in range(clients)],
        epochs=2,
        batch_size=4,
        seed=seed,
    )


def updates_of(federation: Devices, weights: list[NDArray[Any]], number: int = 1) -> dict[int, Arrays]:
    """Return the updates of all clients in a round that starts from these weights."""
    return {client: federation.train(client, weights, number) for client in federation.clients}


def mean_for(federation: Devices, **changes: Any) -> SecureMean:
    """Return a mean of these devices' updates that needs more than half of them."""
    settings: dict[str, Any] = {
        "protocol": SecAgg(),
        "clients": federation.clients,
        "minimum_contributors": len(federation.clients) // 2 + 1,
        "shapes": [array.shape for array in federation.model.get_weights()],
        "clip_l2": 0.5,
    }
    return SecureMean.plan(**settings | changes)
