"""Bytes to one node and back: what a push and a pull return."""

import pytest

pytest.importorskip("flwr")

import itertools

from flwr.app import Message, MetricRecord, RecordDict

from secagg.engines.flower.payload import unwrap, wrap
from secagg.engines.flower.post import Post
from secagg.engines.server.channel import Failure
from tests.support.flower_grid import GridDouble, Node, SimulatedClock, error_reply


def echo(message: Message) -> Message:
    return Message(wrap(b"reply to " + (unwrap(message) or b"?")), reply_to=message)


def test_post_pulls_a_reply_when_it_is_there() -> None:
    clock = SimulatedClock()
    grid = GridDouble({101: echo}, clock=clock, delays={101: 2.0})
    post = Post(grid)
    message = post.push(101, b"p", 9.0)
    assert message is not None
    assert [sent.metadata.ttl for sent in grid.sent] == [9.0]
    assert post.pull(message) is None
    clock.sleep(2.0)
    assert post.pull(message) == b"reply to p"
    assert post.pull(message) is None


def test_post_pushes_nothing_without_time_and_says_what_was_not_taken() -> None:
    grid = GridDouble({101: echo})
    assert Post(grid).push(101, b"p", 0.0) is None
    assert grid.sent == []
    grid.refuses_to_push = True
    assert Post(grid).push(101, b"p", 1.0) is None


def test_post_names_errors_by_their_code_alone() -> None:
    nodes: dict[int, Node] = {
        101: lambda message: error_reply(message, 3),
        102: lambda message: Message(RecordDict({"metrics": MetricRecord({"loss": 0.1})}), reply_to=message),
    }
    post = Post(GridDouble(nodes))
    found = [post.pull(str(post.push(node, b"p", 1.0))) for node in nodes]
    assert found == [Failure("error 3"), Failure("another content")]


@pytest.mark.parametrize("code", [-1, 9, 10**9])
def test_post_makes_no_reason_of_a_code_that_is_not_flowers(code: int) -> None:
    """Reasons are labels of metrics, so a node could else fill them."""
    post = Post(GridDouble({101: lambda message: error_reply(message, code)}))
    assert post.pull(str(post.push(101, b"p", 1.0))) == Failure("error other")


def silent(_: Message) -> None:
    return None


def test_post_asks_for_one_message_after_each_pause_and_for_all_at_the_end() -> None:
    clock = SimulatedClock()
    grid = GridDouble(dict.fromkeys(range(101, 151), silent), clock=clock)
    post = Post(grid, clock, clock.sleep)
    messages = [str(post.push(node, b"p", 100.0)) for node in range(101, 151)]
    assert list(post.replies(messages, 20.0)) == []
    assert clock.now == 20.0
    pauses = [after - before for before, after in itertools.pairwise(sorted(set(grid.pulls)))]
    assert pauses[0] == pytest.approx(0.1)
    assert all(after > before - 1e-9 for before, after in itertools.pairwise(pauses[:-1]))
    assert max(pauses) == pytest.approx(0.25)
    assert len(grid.pulls) == len(pauses) + 1 + 50


def test_post_takes_all_replies_that_are_there_without_a_pause() -> None:
    clock = SimulatedClock()
    grid = GridDouble(dict.fromkeys(range(101, 151), echo), clock=clock, delays={101: 3.0})
    post = Post(grid, clock, clock.sleep)
    messages = [str(post.push(node, b"p", 100.0)) for node in range(101, 151)]
    found = post.replies(messages, 20.0)
    assert {next(found)[0] for _ in messages[1:]} == set(messages[1:])
    assert clock.now == pytest.approx(0.1)
    assert next(found)[0] == messages[0]
    assert 3.0 <= clock.now < 3.25
    assert list(found) == []


def test_post_takes_a_reply_that_has_come_by_the_deadline() -> None:
    clock = SimulatedClock()
    grid = GridDouble({101: silent, 102: echo, 103: echo}, clock=clock, delays={102: 5.0, 103: 5.01})
    post = Post(grid, clock, clock.sleep)
    messages = [str(post.push(node, b"p", 100.0)) for node in (101, 102, 103)]
    assert [message for message, _ in post.replies(messages, 5.0)] == [messages[1]]
    assert clock.now == 5.0
