"""Which node of Flower is which client: asked once, and left out where it is not certain."""

import pytest

pytest.importorskip("flwr")

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.app import Message

from protocols.crypto.secret import Secret
from protocols.identity import Identity, Roster
from secagg.engines.flower.nodes import NodeDirectory, read_node_key
from secagg.engines.flower.payload import unwrap, wrap
from secagg.engines.wire.claim import Query
from secagg.errors import ConfigurationError
from tests.support.flower_grid import GridDouble, Node, SimulatedClock, error_reply

IDENTITIES = {number: Identity(Secret(bytes([number + 1]) * 32)) for number in range(4)}
ROSTER = Roster({number: identity.public for number, identity in IDENTITIES.items()})


def client(number: int, *, key: int | None = None) -> Node:
    """Return a node that claims an id with its key, or with that of another id."""

    def answer(message: Message) -> Message:
        query = Query.of(unwrap(message) or b"")
        assert query is not None
        identity = IDENTITIES[number if key is None else key]
        return Message(wrap(query.claim(identity, number)), reply_to=message)

    return answer


def directory(grid: GridDouble, clock: SimulatedClock, *, keys: dict[int, bytes] | None = None) -> NodeDirectory:
    return NodeDirectory(grid, roster=ROSTER, run="a run", keys=keys or {}, clock=clock, sleep=clock.sleep)


def test_directory_asks_each_node_once() -> None:
    clock = SimulatedClock()
    grid = GridDouble({101: client(1), 102: client(2)}, clock=clock)
    nodes = directory(grid, clock)
    assert dict(nodes) == {}
    nodes.refresh(5.0, patient=True)
    assert dict(nodes) == {1: 101, 2: 102}
    grid.nodes[103] = client(0)
    nodes.refresh(5.0, patient=True)
    assert (dict(nodes), len(nodes)) == ({0: 103, 1: 101, 2: 102}, 3)
    assert [message.metadata.dst_node_id for message in grid.sent] == [101, 102, 103]


def test_directory_forgets_a_node_that_has_left_and_takes_its_successor() -> None:
    clock = SimulatedClock()
    grid = GridDouble({101: client(1), 102: client(2)}, clock=clock)
    nodes = directory(grid, clock)
    nodes.refresh(5.0, patient=True)
    del grid.nodes[102]
    nodes.refresh(5.0, patient=True)
    assert dict(nodes) == {1: 101}
    grid.nodes[202] = client(2)
    nodes.refresh(5.0, patient=True)
    assert dict(nodes) == {1: 101, 2: 202}


def test_directory_leaves_out_an_id_that_two_nodes_claim(caplog: pytest.LogCaptureFixture) -> None:
    clock = SimulatedClock()
    nodes = directory(GridDouble({101: client(1), 102: client(2), 103: client(2)}, clock=clock), clock)
    nodes.refresh(5.0, patient=True)
    assert dict(nodes) == {1: 101}
    assert "several nodes of Flower claim them: clients [2]" in caplog.text


def test_directory_leaves_out_nodes_that_say_something_else(caplog: pytest.LogCaptureFixture) -> None:
    clock = SimulatedClock()
    nodes = directory(
        GridDouble(
            {
                101: client(1),
                102: lambda message: error_reply(message, 2),
                103: lambda message: Message(wrap(b"7"), reply_to=message),
            },
            clock=clock,
        ),
        clock,
    )
    nodes.refresh(5.0, patient=True)
    assert dict(nodes) == {1: 101}
    assert caplog.text.count("has not shown that it is a client of the roster") == 2
    assert "a reason with data in it" not in caplog.text


@pytest.mark.parametrize("claimed", [2, 77, 2**32 - 1])
def test_directory_takes_an_id_from_nobody_but_the_holder_of_its_key(
    claimed: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SimulatedClock()
    nodes = directory(GridDouble({101: client(1), 102: client(claimed, key=3), 103: client(2)}, clock=clock), clock)
    nodes.refresh(5.0, patient=True)
    assert dict(nodes) == {1: 101, 2: 103}
    assert "has not shown that it is a client of the roster" in caplog.text


def test_directory_takes_no_claim_in_answer_to_another_query() -> None:
    """A node that has seen another's claim cannot use it, nor can one that repeats its own under another id."""
    clock, answers = SimulatedClock(), dict[int, bytes]()

    def first(message: Message) -> Message:
        reply = client(1)(message)
        assert reply is not None
        answers[101] = unwrap(reply) or b""
        return reply

    def thief(message: Message) -> Message:
        return Message(wrap(answers[101]), reply_to=message)

    nodes = directory(GridDouble({101: first, 102: thief}, clock=clock), clock)
    nodes.refresh(5.0, patient=True)
    assert dict(nodes) == {1: 101}


def test_directory_waits_for_a_silent_node_once_and_takes_its_answer_when_it_comes() -> None:
    clock = SimulatedClock()
    grid = GridDouble({101: client(1), 102: client(2)}, clock=clock, delays={102: 7.0})
    nodes = directory(grid, clock)
    nodes.refresh(5.0, patient=True)
    assert (dict(nodes), clock.now) == ({1: 101}, 5.0)
    nodes.refresh(5.0, patient=False)
    assert (dict(nodes), clock.now) == ({1: 101}, 5.0)
    clock.sleep(2.0)
    nodes.refresh(5.0, patient=False)
    assert (dict(nodes), clock.now) == ({1: 101, 2: 102}, 7.0)
    assert [message.metadata.dst_node_id for message in grid.sent] == [101, 102]
    assert {message.metadata.ttl for message in grid.sent} == {30.0}


def test_directory_leaves_out_a_node_that_it_is_told_to_forget_until_that_answers() -> None:
    clock = SimulatedClock()
    grid = GridDouble({101: client(1), 102: client(2)}, clock=clock)
    nodes = directory(grid, clock)
    nodes.refresh(5.0, patient=True)
    grid.delays[102] = 3.0
    nodes.forget([2, 7])
    assert dict(nodes) == {1: 101}
    nodes.refresh(5.0, patient=False)
    assert (dict(nodes), clock.now) == ({1: 101}, 0.0)
    clock.sleep(3.0)
    nodes.refresh(5.0, patient=False)
    assert dict(nodes) == {1: 101, 2: 102}


def test_directory_asks_again_when_flower_says_that_a_query_has_expired() -> None:
    clock = SimulatedClock()
    grid = GridDouble({101: lambda message: error_reply(message, 3)}, clock=clock)
    nodes = directory(grid, clock)
    nodes.refresh(5.0, patient=True)
    grid.nodes[101] = client(1)
    nodes.refresh(5.0, patient=False)
    assert dict(nodes) == {1: 101}


def test_directory_believes_the_node_that_has_registered_with_the_key_of_the_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A node that claims another's id does not get it, and does not keep that client out either."""
    clock = SimulatedClock()
    nodes = {101: client(1), 102: client(2), 103: client(2), 104: client(3)}
    grid = GridDouble(nodes, keys={102: b"key of 2", 103: b"key of 3", 104: b"key of 3"}, clock=clock)
    found = directory(grid, clock, keys={2: b"key of 2", 3: b"key of 3"})
    found.refresh(5.0, patient=True)
    assert dict(found) == {2: 102, 3: 104}
    assert "claims to be client 2 and has registered with another key" in caplog.text
    assert "it is client 1, of which no registered key was given" in caplog.text


def test_directory_leaves_out_a_client_with_a_key_of_which_no_node_has_registered() -> None:
    clock = SimulatedClock()
    found = directory(GridDouble({101: client(1)}, clock=clock), clock, keys={1: b"key of 1"})
    found.refresh(5.0, patient=True)
    assert dict(found) == {}


def test_directory_refuses_keys_where_flower_does_not_tell_those_of_its_nodes() -> None:
    class OlderGrid:
        """A grid as flwr 1.27 has it."""

    older: Any = OlderGrid()
    with pytest.raises(ConfigurationError, match=r"flwr 1\.40 or later"):
        NodeDirectory(older, roster=ROSTER, run="a run", keys={1: b"key"})
    assert dict(NodeDirectory(older, roster=ROSTER, run="a run", keys={})) == {}


def test_read_node_key_returns_the_form_in_which_flower_tells_it(tmp_path: Path) -> None:
    key = generate_private_key(SECP384R1()).public_key()
    (tmp_path / "node.pub").write_bytes(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH))
    assert read_node_key(tmp_path / "node.pub") == key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_read_node_key_refuses_another_form(tmp_path: Path) -> None:
    (tmp_path / "node.pub").write_text("no key")
    with pytest.raises(ConfigurationError, match="OpenSSH form"):
        read_node_key(tmp_path / "node.pub")
