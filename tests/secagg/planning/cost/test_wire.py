import msgspec
import pytest

from protocols.codec import Codec, Invitation, Message
from secagg.planning.cost.wire import INVITATION, array, binary, ids, message


class Fields(Message, frozen=True):
    data: bytes
    clients: tuple[int, ...]


@pytest.mark.parametrize("length", [0, 1, 255, 256, 65535, 65536])
def test_binary_and_array_lengths_are_those_of_messagepack(length: int) -> None:
    assert binary(length) == len(msgspec.msgpack.encode(bytes(length)))
    assert array(length) + length == len(msgspec.msgpack.encode((None,) * length))


@pytest.mark.parametrize("clients", [3, 128, 200, 300, 70_000])
def test_ids_of_all_clients_have_the_length_of_their_encoding(clients: int) -> None:
    assert ids(clients, clients) == len(msgspec.msgpack.encode(tuple(range(clients))))


def test_ids_of_some_clients_have_their_expected_length() -> None:
    leaving_one_out = [len(msgspec.msgpack.encode(tuple(c for c in range(200) if c != gone))) for gone in range(200)]
    assert ids(199, 200) == pytest.approx(sum(leaving_one_out) / 200)


def test_message_has_the_length_that_the_codec_gives_it() -> None:
    codec = Codec(bytes(32), 10**6)
    assert len(codec.encode(0, Invitation())) == INVITATION
    assert len(codec.encode(3, Fields(bytes(300), (1, 2)))) == message(binary(300), ids(2, 100))
