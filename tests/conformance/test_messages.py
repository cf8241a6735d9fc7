"""Every protocol's messages: canonical bytes, bounded, and every other byte string refused with a typed error.

A client closes on a bad request.  A server that refuses a reply is what it was before: the honest reply is still
taken and the sum is still exact.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

import msgspec
import pytest

from protocols import (
    Finish,
    MalformedMessage,
    OrderError,
    ParameterError,
    ProtocolError,
    RemoteError,
    Role,
    TooFewSurvivors,
)
from protocols.codec import Codec, Message
from protocols.snapshot import write_state
from tests.conformance.cohorts import Checkpoint, Run, Setting, refusal, unchecked

HEADER = 37
"""Bytes of every message before its body: version, digest and round, each flipped in `malformed`."""


def limit(setting: Setting) -> int:
    return setting.protocol.message_limit(setting.session)


def malformed(data: bytes, most: int) -> Iterator[tuple[str, bytes]]:
    """Byte strings that are no message because of `data`, whatever it says."""
    version, digest, number, body = msgspec.msgpack.decode(data)
    encoded = msgspec.msgpack.encode(body)
    header, raw = data[: len(data) - len(encoded)], msgspec.Raw(encoded)
    for length in {0, 1, 2, 35, 36, len(data) // 2, len(data) - 1}:
        yield f"cut to {length}", data[:length]
    for position in range(len(header)):
        for bit in (0, 3, 7):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            yield f"bit {bit} of byte {position}", bytes(flipped)
    yield "empty message after it", data + b"\xc0"
    yield "itself after it", data + data
    yield "oversized", data + bytes(most + 1 - len(data))
    yield "oversized by far", data + bytes(10 * most)
    for label, value in {
        "future version": [version + 1, digest, number, raw],
        "negative step": [version, digest, -1, raw],
        "later step": [version, digest, number + 1, raw],
        "short digest": [version, digest[:-1], number, raw],
        "no digest": [version, None, number, raw],
        "text digest": [version, "d" * 32, number, raw],
        "fractional step": [version, digest, float(number), raw],
        "no body": [version, digest, number],
        "five fields": [version, digest, number, raw, 0],
        "map": {"version": version, "digest": digest, "step": number, "body": raw},
        "one more field in the body": [version, digest, number, [*body, 0]],
        "fields as text": [version, digest, number, ["x" for _ in body] or ["x"]],
        "fields as null": [version, digest, number, [None for _ in body] or [None]],
        "fields as negative numbers": [version, digest, number, [-1 for _ in body] or [-1]],
        "body as null": [version, digest, number, None],
        "body as number": [version, digest, number, 2**63],
        "body as bytes": [version, digest, number, encoded],
        "body in a body": [version, digest, number, [body]],
    }.items():
        yield label, msgspec.msgpack.encode(value)
    if body:
        yield "one field fewer in the body", msgspec.msgpack.encode([version, digest, number, body[:-1]])
    yield "array header of 3 bytes", b"\xdc\x00\x04" + data[1:]
    yield "array header of 5 bytes", b"\xdd\x00\x00\x00\x04" + data[1:]
    yield "version in 2 bytes", data[:1] + b"\xcc" + data[1:]
    yield "digest in a longer header", data[:2] + b"\xc5\x00" + data[3:]
    yield "body with a longer header", header + b"\xdc\x00" + bytes([len(body)]) + encoded[1:]
    for depth in (900, 5000):
        yield f"{depth} nested arrays", (header + b"\x91" * depth)[: most - 1] + b"\x00"
        yield f"{depth} nested maps", (header + b"\x81\x00" * depth)[: most - 1] + b"\x00"
    yield "array that claims 2^32 - 1 elements", header + b"\xdd\xff\xff\xff\xff"
    yield "bytes that claim 2^32 - 1", header + b"\x91\xc6\xff\xff\xff\xff"


def test_messages_survive_decoding_and_encoding(point: tuple[Setting, int]) -> None:
    setting, number = point
    run = Run(setting).to_round(number)
    codec = Codec(setting.protocol.digest(setting.session), limit(setting))
    row = setting.protocol.steps[number]
    sides: list[tuple[type[Message], list[bytes]]] = [(row.request, list(run.requests.values()))]
    sides.append((row.reply, list(run.replies().values())))
    for kind, sent in sides:
        for data in sent:
            message = codec.decode(number, kind, data)
            assert type(message) is kind
            assert codec.encode(number, message) == data
            assert len(data) <= limit(setting)


def test_same_entropy_gives_the_same_bytes_and_other_entropy_the_same_sum(setting: Setting) -> None:
    first, again, other = Run(setting), Run(setting), Run(setting, seed=b"other")
    while not isinstance(first.step, Finish):
        replies = first.replies()
        assert replies == again.replies()
        for run in (first, again):
            run.deliver(replies)
        other.deliver(other.replies())
    assert isinstance(other.step, Finish)
    assert (first.step.total == other.step.total).all()


def test_client_closes_on_a_malformed_request(point: tuple[Setting, int]) -> None:
    setting, number = point
    run = Run(setting).to_round(number)
    checkpoint = Checkpoint(run)
    client = setting.asked(number)[-1]
    honest = run.requests[client]
    for label, bad in malformed(honest, limit(setting)):
        machine = checkpoint.resume(clients=[client]).clients[client]
        with pytest.raises(MalformedMessage):
            machine.handle(bad)
        assert machine.closed, label
        with pytest.raises(OrderError):
            machine.handle(honest)


def test_server_is_unchanged_by_malformed_replies(point: tuple[Setting, int]) -> None:
    setting, number = point
    run = Run(setting).to_round(number)
    replies = run.replies()
    for client, honest in replies.items():
        for label, bad in itertools.islice(malformed(honest, limit(setting)), None if client < 5 else 9):
            with pytest.raises(MalformedMessage) as caught:
                run.server.receive(client, bad)
            assert caught.value.culprits == {client}, label
            assert client in run.server.missing, label
    run.deliver(replies)
    assert run.is_exact(run.finish())


@pytest.mark.parametrize("data", [None, "text", 7, [1], bytearray(b"\x94"), memoryview(b"\x94")])
def test_what_is_not_bytes_is_refused(setting: Setting, data: object) -> None:
    run = Run(setting)
    replies = run.replies()
    sender = next(iter(replies))
    with pytest.raises(MalformedMessage):
        run.server.receive(sender, data)  # type: ignore[arg-type]  # that is the test
    client = Run(setting).clients[sender]
    with pytest.raises(MalformedMessage):
        client.handle(data)  # type: ignore[arg-type]  # that is the test
    run.deliver(replies)
    assert run.is_exact(run.finish())


def test_replayed_reply_is_refused(point: tuple[Setting, int]) -> None:
    setting, number = point
    run, earlier = Run(setting), list[bytes]()
    client = setting.asked(number)[0]
    for _ in range(number):
        replies = run.replies()
        earlier.append(replies.get(client, next(iter(replies.values()))))
        run.deliver(replies)
    replies = run.replies()
    for reply in earlier:
        with pytest.raises(MalformedMessage):
            run.server.receive(client, reply)
    run.server.receive(client, replies.pop(client))
    with pytest.raises(RemoteError) as caught:
        run.server.receive(client, next(iter(replies.values())))
    assert caught.value.culprits == {client}
    run.deliver(replies)
    assert run.is_exact(run.finish())


def test_replayed_or_reordered_request_closes_the_client(setting: Setting) -> None:
    """Of any other round, whomever it was for; every party that is asked in the round."""
    opening = {number for number, row in enumerate(setting.protocol.steps) if row.role is Role.COMMITTEE}
    run, history, checkpoints = Run(setting), list[bytes](), list[Checkpoint]()
    while not isinstance(run.step, Finish):
        history.append(next(iter(run.requests.values())))
        checkpoints.append(Checkpoint(run))
        run.deliver(run.replies())
    for (number, checkpoint), later in itertools.product(enumerate(checkpoints), range(len(history))):
        if number == later:
            continue
        for client in setting.asked(number):
            machine = checkpoint.resume(clients=[client]).clients[client]
            if later > number and client in setting.session.committee_members and later in opening:
                assert machine.handle(history[later])  # a client that missed its own steps is a member all the same
            else:
                with pytest.raises(MalformedMessage):
                    machine.handle(history[later])
            assert machine.closed
    for finished in run.clients.values():
        assert finished.closed
        for request in history:
            with pytest.raises(OrderError):
                finished.handle(request)


def test_messages_of_another_session_are_refused(point: tuple[Setting, int]) -> None:
    own, number = point
    session = own.session
    other = replace(own, session=replace(session, context=b"another round of training"))
    here, there = Run(own).to_round(number), Run(other).to_round(number)
    client = own.asked(number)[0]
    machine = Run(own).to_round(number).clients[client]
    with pytest.raises(MalformedMessage):
        machine.handle(there.requests[client])
    replies = here.replies()
    for sender, foreign in there.replies().items():
        with pytest.raises(MalformedMessage):
            here.server.receive(sender, foreign)
    here.deliver(replies)
    assert here.is_exact(here.finish())


@pytest.mark.parametrize("stranger", [4, -1, 2**32 - 1, 2**70, True, 0.0, None, "0", [1]], ids=repr)
def test_replies_of_strangers_are_refused(setting: Setting, stranger: object) -> None:
    run = Run(setting)
    replies = run.replies()
    with pytest.raises((RemoteError, ParameterError)):
        run.server.receive(stranger, next(iter(replies.values())))  # type: ignore[arg-type]  # that is the test
    run.deliver(replies)
    assert run.is_exact(run.finish())


def flips(data: bytes, start: int, count: int) -> Iterator[tuple[int, bytes]]:
    """Copies with one bit changed each, `count` positions from `start` on to the end, and the last byte always."""
    for position in {*range(start, len(data), 1 + (len(data) - start) // count), len(data) - 1}:
        yield position, data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :]


def test_bit_flips_in_requests_end_in_an_exact_sum_or_a_typed_error(point: tuple[Setting, int]) -> None:
    setting, number = point
    asked, answered, replies = moments(setting, number)
    victim, seen = min(replies), set[Standing]()
    for position, bad in flips(answered.resume().requests[victim], HEADER, 40):
        run = answered.resume()
        run.clients[victim] = asked.resume(clients=[victim]).clients[victim]
        others = {client: reply for client, reply in replies.items() if client != victim}
        assert ends_well(run, others | answers(run, {victim: bad}), seen), f"byte {position}"


def test_bit_flips_in_replies_end_in_an_exact_sum_or_a_typed_error(point: tuple[Setting, int]) -> None:
    """Except in the bytes of masked vectors, which nobody can check: see `cohorts.unchecked`."""
    setting, number = point
    _, answered, replies = moments(setting, number)
    sender, seen = min(replies), set[Standing]()
    free = unchecked(setting, number, replies[sender])
    for position, bad in flips(replies[sender], HEADER, 40):
        run = answered.resume()
        assert ends_well(run, replies | {sender: bad}, seen, exactly=position not in free), f"byte {position}"


def moments(setting: Setting, number: int) -> tuple[Checkpoint, Checkpoint, dict[int, bytes]]:
    """A round in which all are asked; the same when all have answered; and the answers."""
    run = Run(setting).to_round(number)
    asked = Checkpoint(run)
    replies = run.replies()
    return asked, Checkpoint(run), replies


Standing = tuple[bytes, frozenset[int], tuple[tuple[int, bytes], ...]]


def standing(run: Run) -> Standing:
    """What is left of a sum depends on this: what the server has, whom it misses, and what open machines have."""
    machines = (
        (c, bytes(write_state(machine._party.state))) for c, machine in run.clients.items() if not machine.closed
    )
    return bytes(write_state(run.server._party.state)), run.server.missing, tuple(sorted(machines))


def answers(run: Run, requests: Mapping[int, bytes]) -> dict[int, bytes]:
    """What the clients reply, where they do; one that refuses is closed."""
    replies = {}
    for client, request in requests.items():
        try:
            replies[client] = run.clients[client].handle(request)
        except ProtocolError:
            assert run.clients[client].closed
    return replies


def ends_well(run: Run, replies: dict[int, bytes], seen: set[Standing], *, exactly: bool = True) -> bool:
    """Go on as a driver does, taking peers' misbehaviour for a drop; whether the sum ended in a way that is allowed.

    Where another change has left all machines as they are now, what follows is what followed then.
    """
    deliver(run, replies)
    now = standing(run)
    if now in seen:
        return True
    seen.add(now)
    while True:
        try:
            step = run.server.advance()
        except (RemoteError, TooFewSurvivors):
            with pytest.raises(OrderError):
                run.server.advance()
            return True
        if isinstance(step, Finish):
            return run.is_exact(step) or (not exactly and len(step.contributors) >= run.setting.session.threshold)
        deliver(run, answers(run, step.requests))


def deliver(run: Run, replies: Mapping[int, bytes]) -> None:
    """Hand replies to the server, which is what it was where it refuses one."""
    for client, reply in replies.items():
        before = write_state(run.server._party.state)
        if refusal(run, client, reply) is not None:
            assert client in run.server.missing
            assert write_state(run.server._party.state) == before


def test_server_closes_where_a_reply_may_have_been_taken_in_by_half(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interruption in the middle of a reply: delivering it again must not count it twice."""
    run = Run(setting)
    sender, reply = next(iter(run.replies().items()))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    row = run.server._steps[0]
    monkeypatch.setattr(run.server, "_steps", (replace(row, absorb=interrupted),))
    with pytest.raises(KeyboardInterrupt):
        run.server.receive(sender, reply)
    with pytest.raises(OrderError):
        run.server.receive(sender, reply)
