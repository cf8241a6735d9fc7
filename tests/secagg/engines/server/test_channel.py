"""The engine over a channel: it asks step by step, and comes to the exact sum of what its contributors have sent."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocols import Adversary, SecAgg, Secret, simulate
from protocols.errors import DamagedSnapshot, OrderError
from secagg.audit.transcript.catalogue import HEAD, ROSTER, SIGNATURES
from secagg.audit.transcript.replay import replay
from secagg.engines.base import RoundPlan, RoundResult
from secagg.engines.server.channel import ChannelEngine, Failure
from secagg.engines.wire.parcel import Refusal, Reply, Request, open_reply, open_request
from secagg.engines.wire.work import Work
from secagg.errors import ConfigurationError
from secagg.transcripts.recorder import Recorder
from tests.support.bare_node import COORDINATOR, LIMITS, NodeCohort, node_cohort
from tests.support.direct_channel import Arrived, Arriving, DirectChannel

STEP_S = 10.0
STEPS = [str(row.name) for row in SecAgg().steps]


def channel_to(parties: NodeCohort, **settings: object) -> DirectChannel:
    return DirectChannel({party: node.answer for party, node in parties.nodes.items()}, **settings)  # type: ignore[arg-type]


def engine_of(channel: DirectChannel, recorder: Recorder | None = None) -> ChannelEngine:
    return ChannelEngine(channel, clock=channel.clock, step_s=STEP_S, recorder=recorder)


def run(parties: NodeCohort, plan: RoundPlan, arriving: Arriving | None = None) -> RoundResult:
    """Run a round over a channel without faults, but for what `arriving` replaces."""
    channel = channel_to(parties) if arriving is None else channel_to(parties, arriving=arriving)
    return engine_of(channel).run(plan)


def opened(channel: DirectChannel) -> list[Request]:
    """Return every request that was sent."""
    key = COORDINATOR.public
    return [open_request(parcel, coordinator=key, receiver=party, limits=LIMITS) for party, parcel in channel.sent]


def check_sum(parties: NodeCohort, plan: RoundPlan, result: RoundResult, contributors: Iterable[int]) -> None:
    """Assert that a result is the exact sum of these contributors."""
    assert result.contributors == tuple(contributors)
    assert result.total is not None
    np.testing.assert_array_equal(result.total, parties.exact(plan, result.contributors))


@pytest.mark.parametrize("adversary", [Adversary.CURIOUS, Adversary.MALICIOUS])
@pytest.mark.parametrize("name", ["secagg", "secagg-plus", "paillier", "seeds"])
def test_channel_engine_sums_by_every_kind_of_protocol(name: str, adversary: Adversary) -> None:
    parties = node_cohort(name, adversary, clients=4, dropout=0.0)
    for serial in (1, 2):
        plan = parties.plan(serial)
        check_sum(parties, plan, run(parties, plan), parties.mean.clients)


def test_channel_engine_sends_offer_and_work_in_the_first_parcel_alone() -> None:
    """A committee member that is no client gets the offer in its own first parcel, and never the work."""
    parties = node_cohort("paillier", clients=4)
    plan, channel = parties.plan(), channel_to(parties)
    engine_of(channel).run(plan)
    parts = [(each.receiver, each.step, bool(each.offer), bool(each.work)) for each in opened(channel)]
    clients = [(client, 0, True, True) for client in parties.mean.clients]
    assert parts == [*clients, (1, 1, False, False), (101, 1, True, False), (102, 1, True, False)]


def test_channel_engine_keeps_the_opening_before_the_last_step_leaves() -> None:
    parties = node_cohort("secagg", clients=4)
    channel, sent_before = channel_to(parties), list[int]()
    plan = parties.plan()
    assert plan.server is not None
    side = replace(plan.server, keep=lambda _: sent_before.append(len(channel.sent)))
    engine_of(channel).run(replace(plan, server=side))
    assert sent_before == [4 * (len(STEPS) - 1)]


@pytest.mark.parametrize("name", ["plain", "secagg", "lightsecagg", "paillier"])
def test_channel_engine_goes_on_from_an_opening_with_the_same_requests(name: str) -> None:
    """The nodes have kept their replies, so they answer the same bytes and train nothing."""
    parties = node_cohort(name, clients=5)
    plan, first = parties.plan(), channel_to(parties)
    before = engine_of(first).run(plan)
    (opening,) = parties.kept
    assert plan.server is not None
    resumed, second = replace(plan, server=replace(plan.server, opening=opening)), channel_to(parties)
    after = engine_of(second).run(resumed)
    assert second.sent == first.sent[-len(second.sent) :]
    assert {parties.nodes[client].trained for client in parties.mean.clients} == {1}
    assert parties.kept == [opening]
    check_sum(parties, plan, after, before.contributors)


def test_channel_engine_sends_nothing_for_an_opening_of_another_session() -> None:
    parties = node_cohort("secagg", clients=4)
    plan = parties.plan(1)
    run(parties, plan)
    assert plan.server is not None
    for changed in (
        replace(plan.server, opening=parties.kept[0] + b"\0"),
        replace(plan.server, opening=parties.kept[0], sealing=Secret(bytes(32))),
    ):
        with pytest.raises(DamagedSnapshot):
            engine_of(channel := channel_to(parties)).run(replace(plan, server=changed))
        assert channel.sent == []
    other = replace(parties.plan(2), server=replace(plan.server, opening=parties.kept[0]))
    with pytest.raises(DamagedSnapshot):
        run(parties, other)


def test_channel_engine_ends_a_step_when_nobody_is_missing_and_else_at_its_deadline() -> None:
    parties = node_cohort("secagg", clients=6)
    plan, channel = parties.plan(), channel_to(parties)
    engine_of(channel).run(plan)
    assert channel.now == 6 * len(STEPS) * 0.25
    silent = channel_to(parties, silent=[3])
    result = engine_of(silent).run(plan := parties.plan(2))
    check_sum(parties, plan, result, [1, 2, 4, 5, 6])
    assert result.dropped == {STEPS[0]: (3,)}
    assert silent.now == STEP_S + 5 * (len(STEPS) - 1) * 0.25


def test_channel_engine_drops_what_comes_after_the_deadline() -> None:
    parties = node_cohort("secagg", clients=6)
    channel = channel_to(parties, seconds=1.9)
    result = engine_of(channel).run(parties.plan())
    assert result.refused[STEPS[0]] == {"late-reply": 1}
    assert result.dropped[STEPS[0]] == (6,)


def test_channel_engine_asks_in_groups_that_share_the_time() -> None:
    parties = node_cohort("secagg", clients=5)
    channel = channel_to(parties, group=2, silent=[2])
    plan = parties.plan()
    result = engine_of(channel).run(plan)
    check_sum(parties, plan, result, [1, 3, 4, 5])
    (one, first), (two, second), (three, third) = channel.exchanges[:3]
    assert (one, two, three) == ((1, 2), (3, 4), (5,))
    assert first == pytest.approx(STEP_S / 3)
    assert second == pytest.approx(2 * STEP_S / 3)
    assert third == STEP_S


def test_channel_engine_says_why_nothing_is_released() -> None:
    parties = node_cohort("secagg", clients=6)
    result = engine_of(channel_to(parties, silent=[1, 2, 3, 4])).run(parties.plan())
    assert result.total is None
    assert "threshold" in (result.withheld or "")
    assert result.dropped == {STEPS[0]: (1, 2, 3, 4)}


def test_channel_engine_does_not_ask_parties_that_are_ignored_nor_take_their_replies() -> None:
    parties = node_cohort("secagg", clients=6)
    plan = parties.plan()
    assert plan.server is not None
    plan = replace(plan, server=replace(plan.server, ignored=frozenset({4})))

    def with_another(party: int, reply: bytes) -> Iterable[Arrived]:
        return [(party, reply), (4, replace(open_reply(reply, 2**20), sender=4).to_bytes())]

    channel = channel_to(parties, arriving=with_another)
    result = engine_of(channel).run(plan)
    assert 4 not in {party for party, _ in channel.sent}
    check_sum(parties, plan, result, [1, 2, 3, 5, 6])
    assert result.refused[STEPS[0]] == {"foreign-reply": 4}


def test_channel_engine_counts_refusals_and_failures_by_step_and_reason() -> None:
    parties = node_cohort("secagg", clients=8)
    refusing: dict[int, bytes | Failure] = {
        1: Reply(serial=1, step=0, sender=1, refusal=Refusal.POLICY).to_bytes(),
        2: Reply(serial=0, step=0, sender=2, refusal=Refusal.STRANGER).to_bytes(),
        3: Reply(serial=1, step=0, sender=3, refusal=Refusal.OLD, last=70).to_bytes(),
        4: Failure("unreachable"),
    }

    def arriving(party: int, reply: bytes) -> Iterable[Arrived]:
        return [(party, refusing.get(party, reply))]

    result = run(parties, parties.plan(), arriving)
    assert result.refused == {STEPS[0]: {"policy": 1, "stranger": 1, "old": 1, "unreachable": 1}}
    assert result.seen == {3: 70}
    assert result.withheld is not None


@pytest.mark.parametrize("recorded", [False, True])
def test_channel_engine_sends_few_bytes_beside_the_protocols(recorded: bool, tmp_path: Path) -> None:
    """At most 1.02 times the bytes of the same session in memory and 4 kB a message; the work is not counted."""
    length = 20_000
    parties = node_cohort("secagg", clients=5, length=length)
    work = Work("bytes", 1, (np.zeros(length, dtype=np.float32),))
    plan = parties.plan(work=work)
    channel = channel_to(parties)
    with Recorder.create(tmp_path / "transcript") as recorder:
        result = engine_of(channel, recorder if recorded else None).run(plan)
    vectors = {client: parties.nodes[client].vectors[plan.session.session_id] for client in plan.session.clients}
    alone = simulate(plan.mean.protocol, plan.session, vectors).cost
    for client in plan.session.clients:
        for found, protocols in (
            (result.cost.sent_bytes[client], alone.sent_bytes[client]),
            (result.cost.received_bytes[client], alone.received_bytes[client]),
        ):
            assert protocols < found <= 1.02 * protocols + 4_000 * len(STEPS)
    on_the_wire = sum(len(parcel) for _, parcel in channel.sent)
    assert on_the_wire == result.cost.received_bytes.total() + 5 * len(work.to_bytes())


def test_channel_engine_records_what_its_server_sees(tmp_path: Path) -> None:
    """A fresh server comes to the same result, also if replies are refused, and if nothing is released."""
    path = tmp_path / "transcript"
    parties = node_cohort("secagg", Adversary.MALICIOUS, clients=6)

    def arriving(party: int, reply: bytes) -> Iterable[Arrived]:
        body = open_reply(reply, 2**20)
        bad = [(party, replace(body, body=body.body[:-1]).to_bytes())] if party == 2 else []
        return [*bad, (party, reply), (party, reply)]

    with Recorder.create(path) as recorder:
        result = engine_of(channel_to(parties, arriving=arriving), recorder).run(plan := parties.plan())
        check_sum(parties, plan, result, parties.mean.clients)
        assert result.refused[STEPS[0]] == {"bad-reply": 1, "repeated-reply": 5}
        assert engine_of(channel_to(parties, silent=range(1, 6)), recorder).run(parties.plan(2)).withheld
    found = replay(path)
    assert found.sessions == 2
    assert [check.found for check in found.checks if check.rejected] == []
    assert {check.id for check in found.checks if check.not_tested} <= {HEAD, ROSTER, SIGNATURES}


def test_channel_engine_reads_no_parcel_after_the_exchange() -> None:
    parties = node_cohort("secagg", clients=4)

    class Keeping(DirectChannel):
        kept: Mapping[int, bytes] = {}

        def exchange(self, parcels: Mapping[int, bytes], deadline: float) -> Iterator[Arrived]:
            self.kept = parcels
            return super().exchange(parcels, deadline)

    channel = Keeping({party: node.answer for party, node in parties.nodes.items()})
    engine_of(channel).run(parties.plan())
    assert set(channel.kept) == {1, 2, 3, 4}
    with pytest.raises(OrderError, match="has ended"):
        channel.kept[1]
    with pytest.raises(KeyError):
        channel.kept[5]


def test_channel_engine_checks_the_plan_before_it_sends() -> None:
    parties = node_cohort("secagg", clients=4)
    channel, plan = channel_to(parties), parties.plan()
    engine = engine_of(channel)
    engine.check(plan)
    with pytest.raises(ConfigurationError, match="with the server's keys"):
        engine.check(replace(plan, server=None))
    with pytest.raises(ConfigurationError, match="that a node can make again"):
        engine.run(replace(plan, serial=9))
    assert channel.sent == []


@pytest.mark.parametrize("step_s", [0, -1.0, float("nan"), float("inf"), "10", True])
def test_channel_engine_refuses_steps_without_an_end(step_s: float) -> None:
    channel = DirectChannel({})
    with pytest.raises(ConfigurationError, match="step_s"):
        ChannelEngine(channel, clock=channel.clock, step_s=step_s)


@pytest.mark.parametrize("reason", ["", "two\nlines", "x" * 201])
def test_failure_has_a_short_printable_reason(reason: str) -> None:
    with pytest.raises(ConfigurationError, match="reason of a failure"):
        Failure(reason)


def test_channel_engine_shows_no_keys() -> None:
    parties = node_cohort("secagg", clients=4)
    assert "Secret" not in repr(engine_of(channel_to(parties)))
