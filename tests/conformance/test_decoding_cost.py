"""What decoding costs a party is bounded by the bytes that it was sent, whatever they say.

An element of a list is two bytes on the wire and may be two hundred in memory.  The bounds here are of memory, by
tracemalloc, since time depends on the machine.
"""

import tracemalloc
import typing
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import msgspec
import pytest

from protocols import LightSecAgg, MalformedMessage, Server
from protocols.codec import Message
from protocols.pairwise.messages import decode_clients
from protocols.testing import ProtocolRun, Scenario, repeatable_entropy
from tests.conformance.cohorts import IDS, setting, settings

LENGTH: Final = 60_000
SLACK: Final = 2**16
"""Bytes that a refusal may take, however short the message: the error, its traceback, a cache that is filled."""


def wide(small: Scenario) -> Scenario:
    """The same parties with long vectors, so that the most that a message may have is far above what its lists need."""
    return replace(small, session=replace(small.session, length=LENGTH))


def elements(kind: Any) -> Iterator[bytes]:
    """Encodings of one element of a list, short ones, and those of other kinds."""
    yield from (b"\xc4\x00", b"\xc4\x02ab", b"\x00", b"\xcd\x01\x00", b"\xc0", b"\x90", b"\x80", b"\x91\x90")
    if isinstance(kind, type) and issubclass(kind, Message):
        yield bytes([0x90 + len(kind.__struct_fields__)]) + b"\xc4\x00" * len(kind.__struct_fields__)


def lists(kind: type[Message]) -> dict[str, Any]:
    """The fields of a message that are lists, with the type of their elements."""
    hints = typing.get_type_hints(kind)
    return {name: typing.get_args(hint)[0] for name, hint in hints.items() if typing.get_origin(hint) is tuple}


def floods(kind: type[Message], most: int) -> Iterator[bytes]:
    """Bodies of as many bytes as may be, in which each field in turn is a long list, or the body is one itself."""
    names = kind.__struct_fields__
    for name in names:
        for element in elements(lists(kind).get(name)):
            count = (most - 20) // len(element)
            for header in (b"\xdd", b"\xdf") if element == b"\x00" else (b"\xdd",):
                filled = header + (count // (1 + (header == b"\xdf"))).to_bytes(4, "big") + element * count
                others = {other: b"\x90" if other in lists(kind) else b"\xc4\x00" for other in names}
                yield bytes([0x90 + len(names)]) + b"".join((others | {name: filled}).values())
    count = (most - 20) // 2
    yield b"\xdd" + count.to_bytes(4, "big") + b"\xc4\x00" * count


@pytest.mark.parametrize("small", settings(), ids=lambda each: each.label)
def test_message_with_too_many_elements_costs_no_more_than_its_bytes(small: Scenario) -> None:
    where = wide(small)
    server = Server(where.protocol, where.session)
    party = where.parties[-1]
    vector = where.inputs().get(party)
    client = where.client(party, vector, repeatable_entropy(b"flooded"))
    header = len(client._codec.encode(0, Message()))
    for number, row in enumerate(where.protocol.steps):
        for codec, kind in ((client._codec, row.request), (server._codec, row.reply)):
            if not lists(kind) and number:
                continue
            for body in floods(kind, codec._limit - header):
                start = codec.encode(number, Message())[:-1]
                for data in (start + body, start[:1] + b"\xcc" + start[1:] + body):  # canonical up to there, and not
                    tracemalloc.start()
                    try:
                        with pytest.raises(MalformedMessage):
                            codec.decode(number, kind, data)
                        peak = tracemalloc.get_traced_memory()[1]
                    finally:
                        tracemalloc.stop()
                    assert peak < len(data) + SLACK, (kind.__name__, body[:12])


def test_client_of_lightsecagg_refuses_a_flood_of_shares_at_the_cost_of_its_bytes() -> None:
    """Which took a hundred times its size: 557 MiB for 5.6 MB of empty strings."""
    where = wide(setting(LightSecAgg(privacy=1, responders=2), IDS[:4], 3))
    run = ProtocolRun(where).to_step(2)
    most = where.protocol.message_limit(where.session)
    count = (most - 100) // 2
    flood = b"\xdd" + count.to_bytes(4, "big") + b"\xc4\x00" * count
    honest = run.requests[IDS[0]]
    others = msgspec.msgpack.encode(tuple(sorted(set(IDS[1:4]))))
    request = honest[: len(run.clients[IDS[0]]._codec.encode(2, Message())) - 1] + b"\x92" + others + flood
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage, match=f"list: expected at most 4 elements, found {count}"):
            run.clients[IDS[0]].handle(request)
        assert tracemalloc.get_traced_memory()[1] < len(request) + SLACK
    finally:
        tracemalloc.stop()
    assert run.clients[IDS[0]].closed


def test_set_of_clients_of_another_length_is_refused_before_it_is_unpacked() -> None:
    where = settings()[-1]
    data = bytes(10**6)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedMessage, match=r"bitmap of clients: expected \d+ bytes, found 1000000"):
            decode_clients(data, where.session)
        assert tracemalloc.get_traced_memory()[1] < SLACK
    finally:
        tracemalloc.stop()
