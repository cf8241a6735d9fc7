"""Federated averaging between nodes with homes on the disk moves the model as it does in memory."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocols import SecAggPlus
from secagg.aggregation.mean import SecureMean
from secagg.engines.base import Engine, Update
from secagg.engines.memory import InMemory
from secagg.engines.node.station import Station
from secagg.engines.server.channel import ChannelEngine
from secagg.engines.wire.work import Work
from secagg.errors import ConfigurationError
from secagg.models.softmax import SoftmaxRegression
from secagg.simulation.devices import Devices
from secagg.storage.node_keys import create_coordinator
from secagg.storage.public_line import coordinator_line
from secagg.training.averaging import SecureAveraging
from tests.support.direct_channel import DirectChannel
from tests.support.federation import CLASSES, FEATURES, examples
from tests.support.homes import exact_text, homes

NODES = 5
ROUNDS = 3


def devices() -> Devices:
    shards = [examples(20, client) for client in range(NODES)]
    model = SoftmaxRegression(FEATURES, CLASSES, learning_rate=0.3, seed=1)
    return Devices(model=model, shards=shards, epochs=2, batch_size=5, seed=1)


def training(clients: Devices, engine: Engine, **settings: Any) -> SecureAveraging:
    protocol, threshold = SecAggPlus.suggest(clients=NODES, adversarial=0.0, dropout=0.2)
    mean = SecureMean.plan(
        protocol=protocol, clients=range(NODES), minimum_contributors=threshold, shapes=clients.shapes, clip_l2=5.0
    )
    return SecureAveraging(engine=engine, model=clients.model, test=clients.shards[0], mean=mean, **settings)


def answering(station: Station, client: int) -> Any:
    """Return what answers a node's parcels; it trains with a model of its own, as another machine does."""
    own = devices()

    def train(work: Work) -> Update:
        return Update(own.train(client, work.arrays, work.round))

    return lambda parcel: station.answer(parcel, train)


def test_training_over_a_channel_moves_the_model_as_in_memory(tmp_path: Path) -> None:
    folder = tmp_path / "coordinator"
    identity = create_coordinator(folder)
    made = homes(tmp_path / "nodes", NODES, text=exact_text(encrypted_live_folder=str(tmp_path / "live")))
    for home in made:
        (home / "coordinator.pub").write_text(f"{coordinator_line(identity.public)}\n")
    channel = DirectChannel({client: answering(Station(home), client) for client, home in enumerate(made)})
    engine = ChannelEngine(channel, clock=channel.clock, step_s=60.0)
    with ExitStack() as stack:
        between = training(devices(), engine, folder=folder)
        stack.callback(between.close)
        simulated = training(devices(), InMemory(devices()))
        for _ in range(ROUNDS):
            between.round()
            simulated.round()
            assert between.contributors == tuple(range(NODES))
        for one, other in zip(between.state.weights, simulated.state.weights, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)
        assert any(np.any(array != 0) for array in between.state.weights)


def test_engine_between_processes_needs_a_folder() -> None:
    engine = ChannelEngine(DirectChannel({}), clock=lambda: 0.0, step_s=60.0)
    with pytest.raises(ConfigurationError, match="Give the Coordinator a folder"):
        training(devices(), engine)
