"""Byte strings that are not a message, made from one that is, and messages with one bit or one field changed."""

from collections.abc import Iterator
from typing import Any

import msgspec

from protocols.codec import Message

HEADER_BYTES = 37
"""The number of bytes before the body of a message: version, digest and step."""


def malformed(data: bytes, most: int) -> Iterator[tuple[str, bytes]]:
    """Yield byte strings that are not a message of this session and step, each with a label.

    Args:
        data: A message.
        most: The largest number of bytes of a message.
    """
    version, digest, number, body = msgspec.msgpack.decode(data)
    encoded = msgspec.msgpack.encode(body)
    header = data[: len(data) - len(encoded)]
    yield from _cut_or_flipped(data, len(header), most)
    for label, value in _other_envelopes(version, digest, number, body, encoded).items():
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


def _cut_or_flipped(data: bytes, header: int, most: int) -> Iterator[tuple[str, bytes]]:
    for length in {0, 1, 2, 35, 36, len(data) // 2, len(data) - 1}:
        yield f"cut to {length}", data[:length]
    for position in range(header):
        for bit in (0, 3, 7):
            yield f"bit {bit} of byte {position}", flipped(data, position, bit)
    yield "empty message after it", data + b"\xc0"
    yield "itself after it", data + data
    yield "oversized", data + bytes(most + 1 - len(data))
    yield "oversized by far", data + bytes(10 * most)


def _other_envelopes(version: int, digest: bytes, number: int, body: list[Any], encoded: bytes) -> dict[str, Any]:
    raw = msgspec.Raw(encoded)
    return {
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
    }


def flipped(data: bytes, position: int, bit: int) -> bytes:
    """Return a copy with one bit of one byte changed."""
    return data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]


def flips(data: bytes, start: int, count: int) -> Iterator[tuple[int, bytes]]:
    """Yield copies with one bit changed, at about `count` positions from `start` on, and always in the last byte."""
    for position in {*range(start, len(data), 1 + (len(data) - start) // count), len(data) - 1}:
        yield position, flipped(data, position, position % 8)


def relisted(message: Message) -> Iterator[tuple[str, Message]]:
    """Yield copies in which one field that is a list has another size or order, each with a label."""
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, tuple):
            others = {"empty": (), "one shorter": value[:-1], "with a repeated element": value[:1] + value[:-1]}
            for label, other in (others | {"reversed": value[::-1]}).items():
                if other != value:
                    yield f"{name} {label}", msgspec.structs.replace(message, **{name: other})


def resized(message: Message) -> Iterator[tuple[str, Message]]:
    """Yield copies in which one field that is a byte string has another size, each with a label."""
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, bytes | memoryview):
            data = bytes(value)
            for label, other in (
                ("empty", b""),
                ("one byte shorter", data[:-1]),
                ("one byte longer", data + b"\x00"),
                ("doubled", data + data),
            ):
                if other != data:
                    yield f"{name} {label}", msgspec.structs.replace(message, **{name: other})
