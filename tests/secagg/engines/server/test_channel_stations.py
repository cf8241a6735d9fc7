"""Rounds between a channel with faults and real stations, each with a home on the disk."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocols import Adversary, Finish, Secret
from protocols.crypto.entropy import Entropy
from protocols.crypto.sealing import KEY_BYTES
from protocols.errors import RemoteError
from protocols.testing import repeatable_entropy
from secagg.engines.base import RoundPlan, RoundResult, ServerSide, Update
from secagg.engines.node.home import Home
from secagg.engines.node.station import Station
from secagg.engines.server.channel import ChannelEngine
from secagg.engines.wire.parcel import open_reply, open_request
from secagg.engines.wire.work import Work
from tests.support.direct_channel import DirectChannel
from tests.support.faulty_channel import Faults, FaultyChannel
from tests.support.faulty_rounds import probabilities
from tests.support.stations import ARRAYS, COORDINATOR, Cohort, training, update_of

pytestmark = pytest.mark.slow

STEP_S = 10.0
SEED = 5
ROUNDS = 5
CASES = [
    pytest.param(Cohort(protocol=name, adversary=adversary), SEED, id=f"{name}-{adversary}-{SEED}")
    for name, adversary in (
        ("secagg", Adversary.CURIOUS),
        ("secagg-plus", Adversary.MALICIOUS),
        ("lightsecagg", Adversary.CURIOUS),
        ("seeds", Adversary.CURIOUS),
        ("seeds", Adversary.MALICIOUS),
    )
]


def files(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Return what every file in a folder holds, and when it was changed."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


class Watched:
    """A station that notes whether a parcel that fails its first checks changes a file of the node."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.stopped = 0
        self._home, self._folder = home, folder
        self._station = Station(home, clock=lambda: 0.0)

    def answer(self, parcel: bytes) -> bytes:
        home = self._home
        try:
            open_request(parcel, coordinator=home.coordinator, receiver=home.node, limits=home.policy.limits())
        except RemoteError:
            before = files(self._folder)
            reply = self._station.answer(parcel, training(home.node))
            assert files(self._folder) == before
            self.stopped += 1
            return reply
        return self._station.answer(parcel, training(home.node))


def plan_of(cohort: Cohort, serial: int) -> RoundPlan:
    attempt = cohort.attempt(serial, work=Work("a run", serial, ARRAYS))
    side = ServerSide(identity=COORDINATOR, sealing=Secret(bytes(32)), keep=lambda _: None)
    return RoundPlan(mean=attempt.mean, session=attempt.session, work=attempt.work, serial=serial, server=side)


def is_mean(plan: RoundPlan, result: RoundResult) -> bool:
    """Return whether a result is the mean of the updates of those that it names, up to rounding."""
    assert result.total is not None
    decoded = plan.mean.decode(result.total, contributors=len(result.contributors), rotation=plan.rotation)
    assert decoded.rounding_bound is not None
    expected = [np.mean([update_of(client)[at] for client in result.contributors], axis=0) for at in range(2)]
    return all(
        np.allclose(one, other, rtol=0, atol=decoded.rounding_bound)
        for one, other in zip(decoded.mean, expected, strict=True)
    )


@pytest.mark.parametrize(("cohort", "seed"), CASES)
def test_stations_behind_a_faulty_channel_give_exact_sums_and_change_no_file_for_a_bad_parcel(
    cohort: Cohort, seed: int, tmp_path: Path
) -> None:
    watched = {party: Watched(cohort.make_home(tmp_path, party), tmp_path) for party in cohort.parties}
    channel = FaultyChannel({party: each.answer for party, each in watched.items()}, step_s=STEP_S, seed=seed)
    engine = ChannelEngine(channel, clock=channel.clock, step_s=STEP_S)
    sums = 0
    for serial, probability in enumerate(itertools.islice(probabilities(seed), ROUNDS), 1):
        channel.faults = Faults.of_all_kinds(2 * probability)
        plan, begun = plan_of(cohort, serial), channel.clock()
        result = engine.run(plan)
        assert channel.clock() - begun < len(plan.mean.protocol.steps) * STEP_S + 1e-6
        if result.total is None:
            assert result.withheld
            continue
        assert is_mean(plan, result)
        sums += 1
    assert sums
    assert sum(each.stopped for each in watched.values())


def test_stations_give_kept_replies_to_requests_that_are_sent_again(tmp_path: Path) -> None:
    """A server that goes on from its opening comes to the same sum, and nobody trains again."""
    cohort = Cohort()
    trained = list[int]()

    def answer_of(party: int) -> Callable[[bytes], bytes]:
        station = Station(cohort.make_home(tmp_path, party), clock=lambda: 0.0)

        def train(work: Work) -> Update:
            trained.append(party)
            update: Update = training(party)(work)
            return update

        return lambda parcel: station.answer(parcel, train)

    nodes = {party: answer_of(party) for party in cohort.parties}
    openings = list[bytes]()
    plan = plan_of(cohort, 1)
    assert plan.server is not None
    channel = FaultyChannel(nodes)
    engine = ChannelEngine(channel, clock=channel.clock, step_s=STEP_S)
    before = engine.run(replace(plan, server=replace(plan.server, keep=openings.append)))
    (opening,) = openings
    after = engine.run(replace(plan, server=replace(plan.server, opening=opening)))
    assert before.total is not None
    assert after.total is not None
    np.testing.assert_array_equal(before.total, after.total)
    assert sorted(trained) == sorted(cohort.clients)


def said_in_memory(cohort: Cohort) -> tuple[dict[tuple[int, int], tuple[bytes, bytes]], Finish]:
    """Return each request and reply of the machines without homes and channel, by step and party, and the end.

    A station draws the key of its live file first, and a nonce for each snapshot. So do these parties.
    """
    said = dict[tuple[int, int], tuple[bytes, bytes]]()
    attempt = replace(cohort.attempt(1, work=Work("a run", 1, ARRAYS)), entropies=entropies_of(cohort))
    joined = set[int]()
    while attempt.requests:
        replies = {}
        for party, request in attempt.requests.items():
            if party not in joined:
                attempt.entropies[party](KEY_BYTES)
                joined.add(party)
            machine = attempt.machine(party)
            replies[party] = machine.handle(request)
            if not machine.closed:
                machine.snapshot(Secret(bytes(KEY_BYTES)))
            said[attempt.step, party] = request, replies[party]
        attempt.advance(replies)
    assert isinstance(attempt.progress, Finish)
    return said, attempt.progress


def entropies_of(cohort: Cohort) -> dict[int, Entropy]:
    return {party: repeatable_entropy(b"party %d" % party) for party in cohort.parties}


@pytest.mark.parametrize(
    ("protocol", "adversary"),
    [
        ("secagg", Adversary.CURIOUS),
        ("secagg-plus", Adversary.MALICIOUS),
        ("lightsecagg", Adversary.CURIOUS),
        ("paillier", Adversary.MALICIOUS),
        ("seeds", Adversary.CURIOUS),
        ("seeds", Adversary.MALICIOUS),
    ],
)
def test_machines_say_the_same_bytes_in_memory_and_through_stations_and_a_channel(
    protocol: str, adversary: Adversary, tmp_path: Path
) -> None:
    cohort = Cohort(protocol=protocol, adversary=adversary)
    expected, finish = said_in_memory(cohort)
    found = dict[tuple[int, int], tuple[bytes, bytes]]()

    def answer_of(party: int, entropy: Entropy) -> Callable[[bytes], bytes]:
        home = cohort.make_home(tmp_path, party)
        station = Station(home, clock=lambda: 0.0, entropy=entropy)

        def answer(parcel: bytes) -> bytes:
            reply = station.answer(parcel, training(party) if party in cohort.clients else None)
            asked = open_request(parcel, coordinator=home.coordinator, receiver=party, limits=home.policy.limits())
            found[asked.step, party] = asked.body, open_reply(reply, 10**7).body
            return reply

        return answer

    channel = DirectChannel({party: answer_of(party, entropy) for party, entropy in entropies_of(cohort).items()})
    result = ChannelEngine(channel, clock=channel.clock, step_s=STEP_S).run(plan_of(cohort, 1))
    assert found == expected
    assert result.contributors == finish.contributors
    assert result.total is not None
    np.testing.assert_array_equal(result.total, finish.total)
