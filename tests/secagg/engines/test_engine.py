"""The seam: another engine of a few lines, which sends real bytes between threads, under the same secure averaging."""

import os
from collections.abc import Collection
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import numpy as np
import pytest

from dp.ledger.ledger import Ledger
from protocols import Client, Continue, Finish, SecAgg, Server
from protocols.errors import TooFewSurvivors
from secagg.aggregation.mean import Target
from secagg.engines.base import Engine, RoundPlan, RoundResult
from secagg.engines.client import contribute, weight_of
from secagg.engines.memory import InMemory
from secagg.engines.parties import check_clients
from secagg.errors import ConfigurationError
from secagg.training.averaging import SecureAveraging
from tests.support.federation import devices, examples, mean_for

TEST = examples(200, 99)
CLIENTS = 8
TARGET = Target(epsilon=40.0, delta=1e-2, releases=3, colluding=0)
FIRST = SecAgg().steps[0].name


class QueueEngine:
    """Each client is a thread that is reached by bytes in a queue, and answers into the server's queue.

    Args:
        gone: Clients that answer nothing.
        failing: Clients whose training fails.
    """

    def __init__(self, *, gone: Collection[int] = (), failing: Collection[int] = ()) -> None:
        self._gone, self._failing = gone, failing
        self.plans = list[RoundPlan]()

    @property
    def clients(self) -> tuple[int, ...]:
        return tuple(range(CLIENTS))

    def check(self, plan: RoundPlan) -> None:
        check_clients(plan.mean, self.clients)

    def run(self, plan: RoundPlan) -> RoundResult:
        self.plans.append(plan)
        requests = {client: Queue[bytes | None]() for client in self.clients}
        replies = Queue[tuple[int, bytes | None]]()
        threads = [
            Thread(target=self._client, args=(plan, client, requests[client], replies)) for client in self.clients
        ]
        for thread in threads:
            thread.start()
        try:
            return self._server(plan, requests, replies)
        finally:
            for client, thread in zip(self.clients, threads, strict=True):
                requests[client].put(None)
                thread.join()

    def _server(
        self, plan: RoundPlan, requests: dict[int, Queue[bytes | None]], replies: Queue[tuple[int, bytes | None]]
    ) -> RoundResult:
        server = Server(plan.mean.protocol, plan.session)
        dropped: dict[str, list[int]] = {}
        step: Continue | Finish = server.start()
        while isinstance(step, Continue):
            for client, request in step.requests.items():
                requests[client].put(request)
            for _ in step.requests:
                client, reply = replies.get(timeout=60)
                if reply is None:
                    dropped.setdefault(step.step, []).append(client)
                else:
                    server.receive(client, reply)
            try:
                step = server.advance()
            except TooFewSurvivors as error:
                return RoundResult(withheld=str(error), dropped=dropped)
        return RoundResult(total=step.total, contributors=step.contributors, attached=step.attached, dropped=dropped)

    def _client(
        self, plan: RoundPlan, client: int, requests: Queue[bytes | None], replies: Queue[tuple[int, bytes | None]]
    ) -> None:
        mine = devices(CLIENTS)  # a model of its own, and its own shard alone is trained on
        update = None if client in self._failing else mine.train(client, plan.weights, plan.number)
        machine = None
        if client not in self._gone and (update is not None or plan.private):
            part = contribute(plan, update, weight=weight_of(plan, mine.examples(client)))
            machine = Client(
                plan.mean.protocol, plan.session, client, part.vector, attached=part.attached, entropy=os.urandom
            )
        while (request := requests.get(timeout=60)) is not None:
            replies.put((client, None if machine is None else machine.handle(request)))


def averaging(engine: Engine, *, ledger: Ledger | None = None, **changes: Any) -> SecureAveraging:
    federation = devices(CLIENTS)
    mean = mean_for(federation, **changes)
    return SecureAveraging(engine=engine, model=federation.model, test=TEST, mean=mean, ledger=ledger)


@pytest.mark.parametrize("weighted", [False, True])
def test_engine_of_queues_trains_as_the_one_in_memory(weighted: bool) -> None:
    """From equal weights, the models of two engines differ by what both may be rounded."""
    changes: dict[str, Any] = {"weighting": "weighted", "max_weight": 9.0} if weighted else {}
    queues = averaging(QueueEngine(), **changes)
    memory = averaging(InMemory(devices(CLIENTS)), **changes)
    for number in (1, 2):
        one, other = queues.round(), memory.round()
        assert one.round == other.round == number
        assert queues.contributors == memory.contributors == tuple(range(CLIENTS))
        assert one.rounding_bound == pytest.approx(other.rounding_bound, rel=1e-3)
        assert one.rounding_bound is not None
        for left, right in zip(queues.state.weights, memory.state.weights, strict=True):
            np.testing.assert_allclose(left, right, atol=4 * number * one.rounding_bound)
    assert one.accuracy == pytest.approx(other.accuracy, abs=0.01)


def test_engine_of_queues_spends_a_budget_and_hides_who_has_failed(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger.sqlite", epsilon=40.0, delta=1e-2, population=CLIENTS) as ledger:
        training = averaging(QueueEngine(gone=[2], failing=[5]), ledger=ledger, target=TARGET)
        record = training.round()
        entry = ledger.entries()[0]
        assert entry.commitment is not None
        assert entry.commitment.contributors == record.contributors == CLIENTS - 1
    assert 5 in training.contributors
    assert record.failed == {}
    assert record.dropped == {FIRST: [2]}


def test_engine_of_queues_leaves_out_who_has_failed_where_there_is_no_noise() -> None:
    training = averaging(QueueEngine(failing=[5]))
    assert training.round().dropped == {FIRST: [5]}
    assert training.contributors == (0, 1, 2, 3, 4, 6, 7)


def test_engine_of_queues_releases_nothing_where_too_few_are_left(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger.sqlite", epsilon=40.0, delta=1e-2, population=CLIENTS) as ledger:
        training = averaging(QueueEngine(gone=range(4)), ledger=ledger, target=TARGET)
        before = [array.copy() for array in training.state.weights]
        record = training.round()
        assert [entry.commitment for entry in ledger.entries()] == [None]
    assert (record.contributors, record.round, training.contributors) == (0, 1, ())
    assert "threshold" in (record.withheld or "")
    assert all(np.array_equal(one, other) for one, other in zip(training.state.weights, before, strict=True))


def test_engine_is_told_the_same_by_the_plan_as_the_state_says() -> None:
    engine = QueueEngine()
    training = averaging(engine)
    weights = training.state.weights
    training.round()
    training.round()
    first, second = engine.plans
    assert (first.number, second.number) == (1, 2)
    assert all(np.array_equal(one, other) for one, other in zip(first.weights, weights, strict=True))
    assert first.session.context == first.work.digest() != second.session.context
    assert first.work.run == second.work.run
    assert first.session.session_id != second.session.session_id
    assert not first.private
    assert "weights=[" not in repr(first)
    assert "array(" not in repr(first)


def test_engine_of_other_clients_than_the_mean_is_refused() -> None:
    federation = devices(CLIENTS + 1)
    with pytest.raises(
        ConfigurationError, match="expected one planned for the engine's clients, found one for another cohort"
    ):
        SecureAveraging(engine=QueueEngine(), model=federation.model, test=TEST, mean=mean_for(federation))
