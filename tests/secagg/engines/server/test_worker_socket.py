"""The socket between a server and its workers."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from secagg.engines.server.worker_socket import MessageSocket

Ends = tuple[MessageSocket, MessageSocket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    one, other = (MessageSocket(each) for each in socket.socketpair())
    yield one, other
    one.close()
    other.close()


def test_messages_of_all_lengths_arrive_in_order(ends: Ends) -> None:
    """The longest does not fit into the socket's own memory; a shorter one after it is not mixed with it."""
    one, other = ends
    messages = [b"", b"a", bytes(range(256)) * 20_000, b"short", b"\xff" * 8]

    def send_all() -> None:
        for message in messages:
            one.send(message)

    with ThreadPoolExecutor(1) as thread:
        sent = thread.submit(send_all)
        assert [bytes(other.receive()) for _ in messages] == messages
        sent.result()


def test_messages_pass_in_both_directions(ends: Ends) -> None:
    one, other = ends
    one.send(b"question")
    assert bytes(other.receive()) == b"question"
    other.send(b"answer")
    assert bytes(one.receive()) == b"answer"


@pytest.mark.parametrize("sent", [b"", b"\0\0\0", (5).to_bytes(8, "big") + b"four"])
def test_a_closed_end_is_no_message(sent: bytes) -> None:
    """It may close before a message, within its length, or within its bytes."""
    raw, end = socket.socketpair()
    raw.sendall(sent)
    raw.close()
    other = MessageSocket(end)
    with pytest.raises(EOFError):
        other.receive()
    with pytest.raises(OSError, match="pipe"):
        other.send(bytes(10**6))
    other.close()
