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
from secagg.engines.wire.work import Work
from secagg.models.base import Metrics
from secagg.privacy.noise import Sample
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


def sampled(drawn: range, padding: range) -> tuple[Devices, RoundPlan]:
    federation = devices(12)
    sample = Sample(population=12, expected=4)
    planned = mean_for(federation, clients=range(4), minimum_contributors=4, sample=sample)
    mean = planned.for_sample(drawn, padding=padding, protocol=PlainSum(), minimum_contributors=4)
    work = Work("test", 1, federation.model.get_weights())
    return federation, RoundPlan(mean=mean, session=mean.session(bytes(16)), work=work)


def test_memory_engine_lets_padding_send_zeros_without_training(monkeypatch: pytest.MonkeyPatch) -> None:
    federation, plan = sampled(range(3, 5), range(8, 10))
    trained = list[int]()
    real = Devices.train

    def noted(self: Devices, client: int, weights: Any, number: int) -> Any:
        trained.append(client)
        return real(self, client, weights, number)

    monkeypatch.setattr(Devices, "train", noted)
    result = InMemory(federation, cohorts=True).run(plan)
    assert (result.contributors, trained) == ((3, 4, 8, 9), [3, 4])
    nobody = InMemory(federation, cohorts=True).run(sampled(range(0), range(4))[1])
    assert nobody.total is not None
    assert not nobody.total.any()


def test_memory_engine_goes_on_if_all_clients_of_a_secret_draw_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """One client may be all that was drawn, and readers must not learn that its training failed."""
    federation, plan = sampled(range(3, 4), range(8, 11))
    monkeypatch.setattr(Devices, "train", lambda *_: [] + 1)  # type: ignore[operator]
    result = InMemory(federation, cohorts=True).run(plan)
    assert list(result.failed) == [3]
    assert result.total is not None
