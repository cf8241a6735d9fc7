"""The engine in memory: client by client."""

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from protocols import PlainSum, Transmission
from protocols.testing import repeatable_entropy
from secagg.aggregation.mean import SecureMean
from secagg.engines.base import RoundPlan
from secagg.engines.memory import InMemory
from secagg.engines.work import Work
from secagg.models.base import Metrics
from secagg.simulation.devices import Devices
from tests.support.federation import devices, mean_for

LENGTH = 2**16


class MeasuredModel:
    """A model of one array that notes how much memory is in use whenever a client begins to train."""

    suffix = ".npz"

    def __init__(self) -> None:
        self._weights = np.zeros(LENGTH)
        self.in_use = list[int]()

    def get_weights(self) -> list[NDArray[Any]]:
        return [self._weights.copy()]

    def set_weights(self, weights: Sequence[NDArray[Any]]) -> None:
        self._weights = np.array(weights[0])

    def fit(self, x: Any, y: Any, *, epochs: int, batch_size: int, seed: int) -> None:
        self.in_use.append(tracemalloc.get_traced_memory()[0])
        self._weights = self._weights + 1e-4

    def evaluate(self, x: Any, y: Any) -> Metrics:
        return Metrics(loss=1.0, accuracy=0.5)

    def save(self, path: object) -> None:
        raise NotImplementedError


def test_memory_engine_forgets_an_update_before_the_next_client_trains() -> None:
    """A client leaves its words behind, of 4 bytes a coordinate, and not its update, of 8."""
    model = MeasuredModel()
    shards = [(np.zeros((2, 1)), np.zeros(2, dtype=int)) for _ in range(6)]
    federation = Devices(model=model, shards=shards, epochs=1, batch_size=1, seed=1)
    mean = SecureMean.plan(
        protocol=PlainSum(), clients=range(6), minimum_contributors=2, shapes=[(LENGTH,)], clip_l2=1.0
    )
    plan = RoundPlan(mean=mean, session=mean.session(bytes(16)), work=Work("test", 1, [np.zeros(LENGTH)]))
    tracemalloc.start()
    try:
        result = InMemory(federation).run(plan)
    finally:
        tracemalloc.stop()
    assert result.contributors == tuple(range(6))
    grown = np.diff(model.in_use[1:])
    assert grown.max() < 5 * LENGTH


def test_memory_engine_shows_every_message_to_its_tap() -> None:
    federation, seen = devices(), list[Transmission]()
    mean = mean_for(federation)
    plan = RoundPlan(mean=mean, session=mean.session(bytes(16)), work=Work("test", 1, federation.model.get_weights()))
    result = InMemory(federation, tap=seen.append).run(plan)
    assert {each.sender for each in seen} == {None, *federation.clients}
    assert sum(len(each.data) for each in seen if each.sender == 3) == result.cost.sent_bytes[3]


def test_memory_engine_with_equal_entropy_gives_equal_sums() -> None:
    federation = devices()
    mean = mean_for(federation)
    plan = RoundPlan(mean=mean, session=mean.session(bytes(16)), work=Work("test", 1, federation.model.get_weights()))
    one, other = (InMemory(federation, dropping=2, entropy=repeatable_entropy(b"equal")).run(plan) for _ in range(2))
    assert one.total is not None
    assert other.total is not None
    np.testing.assert_array_equal(one.total, other.total)
    assert one.dropped == other.dropped


@pytest.mark.parametrize("text", ["shards", "array(", "terms", "Identity"])
def test_memory_engine_shows_no_data_and_no_identity(text: str) -> None:
    assert text not in repr(InMemory(devices(), terms={}))
