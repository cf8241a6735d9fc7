"""Parcels: what is sealed is opened again; every part is bound by the signature; other bytes are refused, cheaply."""

import tracemalloc
from dataclasses import replace
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import MalformedMessage, NotSigned, ParameterError, ProtocolError, RemoteError
from protocols.session import MAX_CLIENT_ID
from secagg.engines.wire.parcel import (
    LARGEST_SERIAL,
    LARGEST_STEP,
    OVERHEAD_BYTES,
    Limits,
    NotForMe,
    Refusal,
    Reply,
    Request,
    Sealer,
    open_reply,
    open_request,
)
from tests.support.parcels import COORDINATOR, STRANGER, digested

LIMITS: Final = Limits(work_bytes=10**6, body_bytes=10**6)
REQUEST: Final = Request(serial=300, step=2, receiver=70000, offer=b"offer" * 60, work=b"work", body=b"body")
REPLY: Final = Reply(serial=300, step=2, sender=70000, body=b"answer" * 50)

numbers = st.integers(0, LARGEST_SERIAL)
steps = st.integers(0, LARGEST_STEP)
ids = st.integers(0, MAX_CLIENT_ID)
parts = st.binary(max_size=300)
requests = st.builds(Request, serial=numbers, step=steps, receiver=ids, offer=parts, work=parts, body=parts)
answers = st.builds(Reply, serial=numbers, step=steps, sender=ids, body=parts)
refusals = st.builds(Reply, serial=numbers, step=steps, sender=ids, refusal=st.sampled_from(Refusal))
old = st.builds(Reply, serial=numbers, step=steps, sender=ids, refusal=st.just(Refusal.OLD), last=numbers)


def opened(data: Any, *, receiver: int = REQUEST.receiver, limits: Limits = LIMITS) -> Request:
    return open_request(data, coordinator=COORDINATOR.public, receiver=receiver, limits=limits)


def fields(data: bytes) -> list[Any]:
    """Return the fields of a parcel, in its order: version, serial, step, party, and what follows."""
    decoded: list[Any] = msgspec.msgpack.decode(data)
    return decoded


def with_field(data: bytes, at: int, value: Any) -> bytes:
    changed = fields(data)
    changed[at] = value
    return msgspec.msgpack.encode(changed)


def second_encodings(data: bytes) -> list[bytes]:
    """Return the parcel with one header longer than it has to be, for each of its headers."""
    values = fields(data)
    pieces = [msgspec.msgpack.encode(value) for value in values]
    found = [b"\xdc" + len(values).to_bytes(2, "big") + b"".join(pieces)]
    for at, value in enumerate(values):
        if isinstance(value, int):
            longer = [b"\xcf" + value.to_bytes(8, "big"), b"\xd3" + value.to_bytes(8, "big")]
        elif isinstance(value, bytes):
            longer = [b"\xc6" + len(value).to_bytes(4, "big") + value, b"\xc5" + len(value).to_bytes(2, "big") + value]
        elif isinstance(value, str):
            longer = [b"\xd9" + bytes([len(value)]) + value.encode()]
        else:
            continue
        for other in longer:
            if other != pieces[at]:
                found.append(bytes([0x90 | len(values)]) + b"".join([*pieces[:at], other, *pieces[at + 1 :]]))
    return found


@given(requests)
@settings(deadline=None)
def test_sealed_request_is_opened_again(request: Request) -> None:
    data = request.seal(COORDINATOR)
    assert opened(data, receiver=request.receiver) == request
    assert len(data) <= len(request.offer) + len(request.work) + len(request.body) + OVERHEAD_BYTES


@given(st.one_of(answers, refusals, old))
@settings(deadline=None)
def test_reply_is_opened_again(reply: Reply) -> None:
    data = reply.to_bytes()
    assert open_reply(data, 300) == reply
    assert len(data) <= len(reply.body) + OVERHEAD_BYTES


def test_sealer_makes_the_requests_of_a_step() -> None:
    sealer = Sealer(COORDINATOR, REQUEST.serial, REQUEST.step, REQUEST.offer, REQUEST.work)
    for receiver, body in ((70000, b"body"), (3, b""), (4, b"other")):
        expected = replace(REQUEST, receiver=receiver, body=body)
        assert sealer.seal(receiver, body) == expected.seal(COORDINATOR)


def test_largest_numbers_fit_the_overhead() -> None:
    largest = Request(serial=LARGEST_SERIAL, step=LARGEST_STEP, receiver=MAX_CLIENT_ID, offer=b"", work=b"", body=b"")
    assert len(largest.seal(COORDINATOR)) <= OVERHEAD_BYTES
    last = Reply(serial=LARGEST_SERIAL, step=LARGEST_STEP, sender=0, refusal=Refusal.OLD, last=LARGEST_SERIAL)
    assert len(last.to_bytes()) <= OVERHEAD_BYTES


def test_work_of_an_opened_request_is_no_copy() -> None:
    data = replace(REQUEST, work=bytes(400_000)).seal(COORDINATOR)
    tracemalloc.start()
    request = opened(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(request.work, memoryview)
    assert request.work.obj is data
    assert peak < 100_000


def test_representation_contains_no_part() -> None:
    assert "body" not in repr(REQUEST)
    assert "answer" not in repr(REPLY)


@pytest.mark.parametrize(
    "changes",
    [
        {"serial": -1},
        {"serial": LARGEST_SERIAL + 1},
        {"serial": True},
        {"step": LARGEST_STEP + 1},
        {"receiver": MAX_CLIENT_ID + 1},
        {"receiver": 1.0},
    ],
)
def test_request_with_a_number_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(changes))):
        replace(REQUEST, **changes)


def test_reply_that_tells_more_than_it_may_is_refused() -> None:
    with pytest.raises(ParameterError, match="last"):
        Reply(serial=1, step=0, sender=1, last=2)
    with pytest.raises(ParameterError, match="last"):
        Reply(serial=1, step=0, sender=1, refusal=Refusal.POLICY, last=2)
    with pytest.raises(ParameterError, match="body"):
        Reply(serial=1, step=0, sender=1, refusal=Refusal.FAILED, body=b"the examples")


@pytest.mark.parametrize(("last", "body", "match"), [(2, b"", "last: expected 0"), (0, b"the examples", "no bytes")])
def test_received_refusal_that_tells_more_than_it_may_is_refused(last: int, body: bytes, match: str) -> None:
    assert open_reply(digested([1, 1, 0, 1, "policy", 0, b""]), 100).refusal is Refusal.POLICY
    with pytest.raises(MalformedMessage, match=match):
        open_reply(digested([1, 1, 0, 1, "policy", last, body]), 100)


@pytest.mark.parametrize("code", ["no such code", "", 3, b"old", "OLD", "Failed"])
def test_refusal_outside_of_the_closed_list_is_refused(code: object) -> None:
    with pytest.raises(MalformedMessage, match="other bytes"):
        open_reply(digested([1, 1, 0, 1, code, 0, b""]), 100)


def test_request_of_a_stranger_is_refused() -> None:
    with pytest.raises(NotSigned):
        opened(REQUEST.seal(STRANGER))
    with pytest.raises(NotSigned):  # Also if it is for another node: a stranger learns nothing from the order.
        opened(REQUEST.seal(STRANGER), receiver=1)


def test_request_for_another_node_is_refused() -> None:
    with pytest.raises(NotForMe):
        opened(REQUEST.seal(COORDINATOR), receiver=70001)


def test_request_for_another_node_with_this_nodes_id_is_refused() -> None:
    with pytest.raises(NotSigned):
        opened(with_field(REQUEST.seal(COORDINATOR), 3, 1), receiver=1)


@pytest.mark.parametrize("part", ["serial", "step", "receiver", "offer", "work", "body"])
def test_part_of_another_signed_request_is_refused(part: str) -> None:
    others: dict[str, Any] = {"serial": 301, "step": 3, "receiver": 1, "offer": b"x", "work": b"y", "body": b"z"}
    one, other = REQUEST.seal(COORDINATOR), replace(REQUEST, **{part: others[part]}).seal(COORDINATOR)
    at = {"serial": 1, "step": 2, "receiver": 3, "offer": 5, "work": 6, "body": 7}[part]
    mixed = with_field(one, at, fields(other)[at])
    with pytest.raises(NotSigned):
        opened(mixed, receiver=1 if part == "receiver" else REQUEST.receiver)


def test_parts_that_change_places_are_refused() -> None:
    data = replace(REQUEST, offer=b"one", work=b"two").seal(COORDINATOR)
    with pytest.raises(NotSigned):
        opened(with_field(with_field(data, 5, b"two"), 6, b"one"))


def test_parts_that_are_joined_otherwise_are_refused() -> None:
    data = replace(REQUEST, offer=b"one", work=b"two").seal(COORDINATOR)
    with pytest.raises(NotSigned):
        opened(with_field(with_field(data, 5, b"onetwo"), 6, b""))


@pytest.mark.parametrize("version", [0, 2, 255, -1, 2**64 - 1])
def test_other_version_is_refused(version: int) -> None:
    with pytest.raises(MalformedMessage, match="version"):
        opened(with_field(REQUEST.seal(COORDINATOR), 0, version))
    with pytest.raises(MalformedMessage, match="version"):
        open_reply(digested([version, 1, 0, 1, None, 0, b"answer"]), 1000)


def test_every_flipped_bit_of_a_request_is_refused() -> None:
    data = replace(REQUEST, offer=b"offer").seal(COORDINATOR)
    for at in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises((MalformedMessage, NotSigned)):
            opened(bytes(flipped))


def test_every_flipped_bit_of_a_reply_is_refused() -> None:
    data = replace(REPLY, body=b"answer").to_bytes()
    for at in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(MalformedMessage):
            open_reply(bytes(flipped), 1000)


@pytest.mark.parametrize("changes", [{"serial": 1}, {"step": 3}, {"sender": 5}, {"body": b"another"}])
def test_reply_with_the_digest_of_another_is_refused(changes: dict[str, Any]) -> None:
    digest = fields(replace(REPLY, **changes).to_bytes())[6]
    with pytest.raises(MalformedMessage, match="damaged"):
        open_reply(with_field(REPLY.to_bytes(), 6, digest), 1000)


def test_work_in_pieces_makes_the_same_request() -> None:
    pieces: list[bytes | memoryview] = [b"wo", memoryview(b"r"), b"", b"k"]
    sealer = Sealer(COORDINATOR, REQUEST.serial, REQUEST.step, REQUEST.offer, pieces)
    assert sealer.seal(REQUEST.receiver, REQUEST.body) == REQUEST.seal(COORDINATOR)


def test_every_cut_is_refused() -> None:
    for data, function in ((REQUEST.seal(COORDINATOR), opened), (REPLY.to_bytes(), lambda cut: open_reply(cut, 1000))):
        for at in range(len(data)):
            with pytest.raises(MalformedMessage):
                function(data[:at])
        with pytest.raises(MalformedMessage):
            function(data + b"\x00")


def test_second_encoding_of_a_parcel_is_refused() -> None:
    found = second_encodings(REQUEST.seal(COORDINATOR))
    assert len(found) > 10
    for data in found:
        assert fields(data) == fields(REQUEST.seal(COORDINATOR))
        with pytest.raises(MalformedMessage):
            opened(data)
    for data in second_encodings(replace(REPLY, refusal=Refusal.OTHER_INPUTS, body=b"").to_bytes()):
        with pytest.raises(MalformedMessage):
            open_reply(data, 1000)


@pytest.mark.parametrize("at", range(8))
@pytest.mark.parametrize("value", [None, True, 1.0, "text", [], {}, -1, b"bytes", msgspec.msgpack.Ext(1, b"bytes")])
def test_field_of_another_type_is_refused(at: int, value: object) -> None:
    if at > 4 and isinstance(value, bytes):
        return
    with pytest.raises(MalformedMessage):
        opened(with_field(REQUEST.seal(COORDINATOR), at, value))


def test_unknown_field_is_refused() -> None:
    for extra in ([*fields(REQUEST.seal(COORDINATOR)), 0], fields(REQUEST.seal(COORDINATOR))[:-1]):
        with pytest.raises(MalformedMessage):
            opened(msgspec.msgpack.encode(extra))


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc0", b"\x90", b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff", None, 3, "text", bytearray(b"\x90"), []],
    ids=["empty", "nil", "empty list", "nested lists", "long map", "None", "integer", "text", "bytearray", "list"],
)
def test_what_is_no_parcel_is_refused(data: Any) -> None:
    with pytest.raises(MalformedMessage):
        opened(data)
    with pytest.raises(MalformedMessage):
        open_reply(data, 1000)


@pytest.mark.parametrize("part", ["offer", "work", "body"])
def test_part_beyond_its_limit_is_refused(part: str) -> None:
    limits = Limits(offer_bytes=400, work_bytes=400, body_bytes=400)
    fitting, longer = (replace(REQUEST, **{part: bytes(size)}) for size in (400, 401))  # type: ignore[arg-type]  # It is a name of bytes.
    assert opened(fitting.seal(COORDINATOR), limits=limits) == fitting
    with pytest.raises(MalformedMessage, match=f"`{part}` of at most 400 bytes, found 401"):
        opened(longer.seal(COORDINATOR), limits=limits)


def test_reply_beyond_its_limit_is_refused() -> None:
    data = REPLY.to_bytes()
    assert open_reply(data, 300) == REPLY
    for limit in (299, 100):  # The first is found in the part, the second in the length of all bytes.
        with pytest.raises(MalformedMessage, match="at most"):
            open_reply(data, limit)


def test_request_beyond_all_limits_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(MalformedMessage, match=f"at most {2**20 + OVERHEAD_BYTES + 30} bytes"):
        opened(bytes(2**20 + OVERHEAD_BYTES + 31), limits=Limits(work_bytes=10, body_bytes=20))


@pytest.mark.parametrize(
    "claim",
    [
        b"\xc6\x3f\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
    ],
)
@pytest.mark.parametrize("at", range(9))
def test_announced_gigabyte_costs_nothing(claim: bytes, at: int) -> None:
    pieces = [msgspec.msgpack.encode(value) for value in fields(REQUEST.seal(COORDINATOR))]
    data = b"\x98" + b"".join(pieces[:at]) + claim + b"".join(pieces[at + 1 :]) if at < 8 else claim
    tracemalloc.start()
    with pytest.raises(MalformedMessage):
        opened(data, limits=Limits(work_bytes=2**32, body_bytes=2**32))
    with pytest.raises(MalformedMessage):
        open_reply(data, 2**32)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteError):
        opened(data)


@given(st.data(), requests)
@settings(deadline=None)
def test_arbitrary_change_of_one_byte_is_refused(data: st.DataObject, request: Request) -> None:
    sealed = request.seal(COORDINATOR)
    at = data.draw(st.integers(0, len(sealed) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != sealed[at]))
    changed = sealed[:at] + bytes([byte]) + sealed[at + 1 :]
    with pytest.raises((MalformedMessage, NotSigned)):
        opened(changed, receiver=request.receiver)


def test_public_key_of_another_length_is_the_callers_mistake() -> None:
    with pytest.raises(ParameterError, match="coordinator"):
        open_request(REQUEST.seal(COORDINATOR), coordinator=b"short", receiver=1, limits=LIMITS)


def test_errors_are_of_the_one_hierarchy() -> None:
    assert issubclass(NotForMe, RemoteError)
    assert issubclass(NotForMe, ProtocolError)
