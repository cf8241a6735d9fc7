"""Nodes of Flower without a home: whatever they claim, they are not counted, and end no run."""

import pytest

pytest.importorskip("flwr")

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from flwr.app import Array, ArrayRecord, Message
from flwr.serverapp import strategy as flower

from protocols import Client, Identity, SecAgg
from secagg.engines.base import RoundPlan
from secagg.engines.client import contribute
from secagg.engines.flower import SecureGrid
from secagg.engines.flower.payload import unwrap, wrap
from secagg.engines.server.coordinator import Coordinator
from secagg.engines.server.plans import averaging
from secagg.engines.wire.claim import Query
from secagg.engines.wire.offer import Offer
from secagg.engines.wire.parcel import Reply
from secagg.engines.wire.work import Work
from tests.support.flower_federation import FIRST_NODE, WEIGHTS, FlowerFederation
from tests.support.flower_grid import SimulatedClock

pytestmark = pytest.mark.slow

CLIENTS = 5
HONEST = 3


class Stranger:
    """A node that has nothing but what arrives, and takes part under an id that it has chosen."""

    def __init__(self, claimed: int) -> None:
        self.claimed = claimed
        self.machine: Client | None = None

    def __call__(self, message: Message) -> Message:
        data = unwrap(message) or b""
        query = Query.of(data)
        if query is not None:
            return Message(wrap(query.claim(Identity.generate(), self.claimed)), reply_to=message)
        _, serial, step, _, _, offer, work, body = msgspec.msgpack.decode(data)
        if offer:
            self.machine = self._machine(offer, work, serial)
        assert self.machine is not None
        reply = Reply(serial=serial, step=step, sender=self.claimed, body=self.machine.handle(body))
        return Message(wrap(reply.to_bytes()), reply_to=message)

    def _machine(self, offer: bytes, content: bytes, serial: int) -> Client:
        mean, session = Offer.from_bytes(offer).build(None, None)
        work = Work.from_bytes(content)
        plan = RoundPlan(mean=mean, session=session, work=work, serial=serial)
        contribution = contribute(plan, [np.full(array.shape, 0.2) for array in work.arrays])
        return Client(
            mean.protocol,
            session,
            self.claimed,
            contribution.vector,
            attached=contribution.attached,
            entropy=os.urandom,
        )


@pytest.mark.parametrize("claims", [(3, 4), (77, 2**32 - 1)], ids=["ids of absent nodes", "no ids of the roster"])
@pytest.mark.parametrize("adversary", ["curious", "malicious"])
def test_strangers_are_not_counted_and_end_no_run(tmp_path: Path, claims: tuple[int, int], adversary: Any) -> None:
    federation = FlowerFederation(folder=tmp_path, clients=CLIENTS, policy={"adversary": adversary})
    grid, clock = federation.grid(), SimulatedClock()
    for absent, claimed in zip(range(HONEST, CLIENTS), claims, strict=True):
        del grid.nodes[FIRST_NODE + absent]
        grid.nodes[9000 + absent] = Stranger(claimed)
    plan = averaging(SecAgg, clip_l2=1.0, adversarial=0.0, dropout=0.2, adversary=adversary)
    strategy = flower.FedAvg(fraction_evaluate=0.0, min_available_nodes=CLIENTS)
    with Coordinator(federation.coordinator_folder, plan) as coordinator:
        secure = SecureGrid(
            grid, strategy=strategy, coordinator=coordinator, deadline=10.0, clock=clock, sleep=clock.sleep
        )
        first = ArrayRecord({name: Array(array) for name, array in WEIGHTS.items()})
        result = strategy.start(grid=secure, initial_arrays=first, num_rounds=2)
    for name, array in WEIGHTS.items():
        moved = array + 2 * federation.mean_step(name, tuple(range(HONEST)))
        np.testing.assert_allclose(result.arrays[name].numpy(), moved, atol=1e-4)
