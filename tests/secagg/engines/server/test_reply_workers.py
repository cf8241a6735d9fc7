"""Workers that take in replies: the same bytes and the same total as without them."""

import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocols import Adversary
from secagg.audit.transcript.replay import replay
from secagg.engines.base import RoundPlan, RoundResult
from secagg.engines.server.channel import ChannelEngine
from secagg.engines.server.reply_workers import ReplyWorkers
from secagg.engines.wire.parcel import Refusal, Reply, open_reply, open_request
from secagg.errors import ConfigurationError, EngineError
from secagg.transcripts.recorder import Recorder
from tests.support.bare_node import COORDINATOR, LIMITS, NodeCohort, node_cohort
from tests.support.direct_channel import Arrived, Arriving, DirectChannel

pytestmark = pytest.mark.slow

CLIENTS = 6


@pytest.fixture(scope="module")
def workers() -> Iterator[ReplyWorkers]:
    with ReplyWorkers(2) as made:
        yield made


def as_it_is(party: int, reply: bytes) -> Iterable[Arrived]:
    return [(party, reply)]


def cohort(name: str = "paillier", adversary: Adversary = Adversary.CURIOUS) -> NodeCohort:
    """Return the parties of a sum, which send the same bytes in every test."""
    return node_cohort(name, adversary, clients=CLIENTS, dropout=0.4, label=b"workers")


def run(
    parties: NodeCohort,
    plan: RoundPlan,
    workers: ReplyWorkers | None,
    *,
    arriving: Arriving = as_it_is,
    recorder: Recorder | None = None,
) -> tuple[RoundResult, list[bytes]]:
    """Run a round, and return its result and the requests of its last step."""
    channel = DirectChannel({party: node.answer for party, node in parties.nodes.items()}, arriving=arriving)
    engine = ChannelEngine(channel, clock=channel.clock, step_s=10.0, workers=workers, recorder=recorder)
    result = engine.run(plan)
    opened = [
        open_request(parcel, coordinator=COORDINATOR.public, receiver=party, limits=LIMITS)
        for party, parcel in channel.sent
    ]
    return result, [each.body for each in opened if each.step == 1]


@pytest.mark.parametrize("adversary", [Adversary.CURIOUS, Adversary.MALICIOUS])
@pytest.mark.parametrize("name", ["paillier", "seeds"])
def test_workers_give_the_same_requests_and_the_same_total(
    workers: ReplyWorkers, name: str, adversary: Adversary
) -> None:
    results = []
    for used in (None, workers):
        parties = cohort(name, adversary)
        plan = parties.plan()
        result, requests = run(parties, plan, used)
        assert result.total is not None
        np.testing.assert_array_equal(result.total, parties.exact(plan, parties.mean.clients))
        results.append((result.contributors, result.cost.sent_bytes, requests))
    assert results[0] == results[1]


@pytest.mark.parametrize(("name", "adversary"), [("paillier", Adversary.CURIOUS), ("seeds", Adversary.MALICIOUS)])
def test_workers_drop_what_the_server_would_drop(
    workers: ReplyWorkers, name: str, adversary: Adversary, tmp_path: Path
) -> None:
    """The counts are the same, and a fresh server comes to the recorded result.

    Where nothing is signed, only a member by replicated seeds can tell that a box was altered.
    """

    def arriving(party: int, reply: bytes) -> Iterable[Arrived]:
        found = open_reply(reply, 2**20)
        if found.step or party > CLIENTS:
            return [(party, reply)]
        bad = replace(found, body=found.body[:-1] + bytes([found.body[-1] ^ 1])).to_bytes()
        refusal = Reply(serial=1, step=0, sender=party, refusal=Refusal.OLD, last=7).to_bytes()
        return {
            2: [(2, bad), (2, reply), (2, reply)],
            3: [(3, refusal)],
            4: [(4, reply[:-1])],
            5: [(6, reply), (5, reply), (77, reply)],
        }.get(party, [(party, reply)])

    found = list[tuple[object, ...]]()
    for used in (None, workers):
        parties = cohort(name, adversary)
        plan, path = parties.plan(), tmp_path / f"transcript-{len(found)}"
        with Recorder.create(path) as recorder:
            result, _ = run(parties, plan, used, arriving=arriving, recorder=recorder)
        assert result.total is not None
        np.testing.assert_array_equal(result.total, parties.exact(plan, (1, 2, 5, 6)))
        assert [check.found for check in replay(path).checks if check.rejected] == []
        found.append((result.contributors, result.dropped, result.refused, result.seen))
    assert found[0] == found[1]
    assert result.refused[plan.mean.protocol.steps[0].name] == {
        "bad-reply": 1,
        "repeated-reply": 1,
        "old": 1,
        "malformed-reply": 1,
        "foreign-reply": 2,
    }


def test_workers_take_no_part_in_protocols_whose_sums_cannot_be_taken_apart(workers: ReplyWorkers) -> None:
    parties = node_cohort("secagg", clients=4)
    plan = parties.plan()
    result, _ = run(parties, plan, workers)
    assert result.total is not None
    np.testing.assert_array_equal(result.total, parties.exact(plan, parties.mean.clients))


def test_workers_that_end_end_the_round() -> None:
    """The process is killed; the error says what to do."""
    parties = cohort()
    with ReplyWorkers(1) as workers:
        (process,) = workers.processes
        os.kill(process, signal.SIGKILL)
        with pytest.raises(EngineError, match="Start new workers"):
            run(parties, parties.plan(), workers)


@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_workers_are_at_least_one(count: int) -> None:
    with pytest.raises(ConfigurationError, match="count of workers"):
        ReplyWorkers(count)
