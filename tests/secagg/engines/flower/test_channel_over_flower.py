"""The channel over Flower's messages, on a simulated clock."""

import pytest

pytest.importorskip("flwr")

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, cast

from flwr.app import Message, MetricRecord, RecordDict

from secagg.engines.flower.channel import FlowerChannel
from secagg.engines.flower.payload import unwrap, wrap
from secagg.engines.server.channel import Failure
from tests.support.flower_grid import GridDouble, Node, SimulatedClock, error_reply

NODES = {1: 101, 2: 102, 3: 103}


def echo(message: Message) -> Message:
    return Message(wrap(b"reply to " + (unwrap(message) or b"?")), reply_to=message)


def exchanged(grid: GridDouble, clock: SimulatedClock, *, until: float = 10.0) -> dict[int, bytes | Failure]:
    channel = FlowerChannel(grid, NODES, clock=clock, sleep=clock.sleep)
    return dict(channel.exchange({party: b"p%d" % party for party in NODES}, until))


def test_channel_sends_each_party_its_parcel_and_yields_the_replies() -> None:
    clock = SimulatedClock()
    grid = GridDouble(dict.fromkeys(NODES.values(), echo), clock=clock)
    assert exchanged(grid, clock) == {1: b"reply to p1", 2: b"reply to p2", 3: b"reply to p3"}
    assert clock.now == 0
    assert {message.metadata.dst_node_id: unwrap(message) for message in grid.sent} == {
        101: b"p1",
        102: b"p2",
        103: b"p3",
    }
    assert {message.metadata.ttl for message in grid.sent} == {10.0}


def test_channel_waits_until_the_deadline_and_no_longer() -> None:
    clock = SimulatedClock(100.0)
    grid = GridDouble(dict.fromkeys(NODES.values(), echo), clock=clock, delays={102: 9.0, 103: 10.5})
    assert exchanged(grid, clock, until=110.0) == {1: b"reply to p1", 2: b"reply to p2"}
    assert clock.now == 110.0


def test_channel_asks_more_and_more_rarely() -> None:
    clock = SimulatedClock()
    exchanged(GridDouble(dict.fromkeys(NODES.values(), lambda _: None), clock=clock), clock)
    grid = GridDouble(dict.fromkeys(NODES.values(), lambda _: None), clock=clock)
    clock.now = 0.0
    exchanged(grid, clock)
    times = sorted(set(grid.pulls))
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[0] == pytest.approx(0.1)
    assert all(after > before - 1e-9 for before, after in itertools.pairwise(pauses[:-1]))
    assert max(pauses) == pytest.approx(0.25)


def test_channel_names_errors_by_their_code_alone() -> None:
    clock = SimulatedClock()
    nodes: dict[int, Node] = {
        101: lambda message: error_reply(message, 3),
        102: lambda message: Message(RecordDict({"metrics": MetricRecord({"loss": 0.1})}), reply_to=message),
        103: echo,
    }
    replies = exchanged(GridDouble(nodes, clock=clock), clock)
    assert replies == {1: Failure("error 3"), 2: Failure("another content"), 3: b"reply to p3"}


def test_channel_fails_a_party_without_a_node_and_one_that_was_not_sent() -> None:
    clock = SimulatedClock()
    grid = GridDouble({101: echo}, clock=clock)
    channel = FlowerChannel(grid, {1: 101}, clock=clock, sleep=clock.sleep)
    assert dict(channel.exchange({1: b"p", 2: b"q"}, 5.0)) == {1: b"reply to p", 2: Failure("no node of Flower")}
    grid.refuses_to_push = True
    assert dict(channel.exchange({1: b"p"}, 5.0)) == {1: Failure("not sent")}
    assert dict(channel.exchange({1: b"p"}, clock.now)) == {1: Failure("not sent")}


def test_channel_asks_the_silent_no_more_until_it_has_said_who_they_are() -> None:
    clock = SimulatedClock()
    nodes: dict[int, Node] = {101: lambda message: error_reply(message, 5), 102: lambda _: None, 103: echo}
    channel = FlowerChannel(GridDouble(nodes, clock=clock), NODES, clock=clock, sleep=clock.sleep)
    assert dict(channel.exchange({1: b"p", 2: b"q", 3: b"r", 4: b"s"}, 5.0)).keys() == {1, 3, 4}
    assert clock.now == 5.0
    assert dict(channel.exchange({1: b"p", 2: b"q", 3: b"r"}, 9.0)) == {
        1: Failure("silent"),
        2: Failure("silent"),
        3: b"reply to r",
    }
    assert clock.now == 5.0
    assert channel.take_silent() == {1, 2}
    assert channel.take_silent() == frozenset()


def test_channel_counts_those_as_silent_for_whom_nobody_waits_any_more() -> None:
    clock = SimulatedClock()
    nodes: dict[int, Node] = {101: echo, 102: lambda _: None}
    channel = FlowerChannel(GridDouble(nodes, clock=clock), NODES, clock=clock, sleep=clock.sleep)
    replies = channel.exchange({1: b"p", 2: b"q"}, 5.0)
    assert next(iter(replies)) == (1, b"reply to p")
    cast(Any, replies).close()
    assert channel.take_silent() == {2}


def test_channel_ignores_the_reply_to_another_message() -> None:
    clock = SimulatedClock()
    kept: list[Message] = []

    def twisted(message: Message) -> Message:
        kept.append(message)
        return Message(wrap(b"late"), reply_to=kept[0])

    grid = GridDouble({101: twisted, 102: twisted}, clock=clock)
    channel = FlowerChannel(grid, {1: 101, 2: 102}, clock=clock, sleep=clock.sleep)
    assert dict(channel.exchange({1: b"p", 2: b"q"}, 5.0)) == {1: b"late"}


class Lazy(Mapping[int, bytes]):
    """Parcels that are made when they are read."""

    def __init__(self, grid: GridDouble) -> None:
        self.grid = grid
        self.sent_before: list[int] = []

    def __getitem__(self, party: int) -> bytes:
        self.sent_before.append(len(self.grid.sent))
        return b"p%d" % party

    def __iter__(self) -> Iterator[int]:
        return iter(NODES)

    def __len__(self) -> int:
        return len(NODES)


def test_channel_reads_each_parcel_once_when_it_is_sent() -> None:
    clock = SimulatedClock()
    grid = GridDouble(dict.fromkeys(NODES.values(), echo), clock=clock)
    parcels = Lazy(grid)
    channel = FlowerChannel(grid, NODES, clock=clock, sleep=clock.sleep)
    assert len(dict(channel.exchange(parcels, 5.0))) == 3
    assert parcels.sent_before == [0, 1, 2]


@pytest.mark.parametrize("group", [None, 2])
def test_channel_says_how_many_it_can_ask_at_once(group: int | None) -> None:
    assert FlowerChannel(GridDouble({}), {}, group=group).group == group
