"""Bytes to one node and back: what a push and a pull return."""

import pytest

pytest.importorskip("flwr")

from flwr.app import Message, MetricRecord, RecordDict

from secagg.engines.flower.payload import unwrap, wrap
from secagg.engines.flower.post import Post, longer
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


def test_pauses_grow_up_to_a_second() -> None:
    assert longer(0.1) == pytest.approx(0.15)
    assert longer(0.9) == longer(1.0) == 1.0
