"""Mutations of MessagePack: a tree of values is changed, and encoded again, canonically or not."""

from collections.abc import Sequence
from random import Random
from typing import Any, Final

import msgspec

from tests.fuzz.mutate import INTEGERS, mutate_bytes

_CLAIMS: Final = (
    *(b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"),
    *(b"\xdc\xff\xff", b"\xc5\xff\xff", b"\xc9\xff\xff\xff\xff\x01", b"\xc1", b"\xdd\x00\x10\x00\x00"),
)
"""Headers that claim more elements or bytes than follow, and a byte that MessagePack never uses."""


def mutate_message(data: bytes, choices: Random, others: Sequence[bytes]) -> bytes:
    """Return a message whose body, or more rarely whose envelope, was changed."""
    return _mutate(data, choices, others, body_only=0.9)


def mutate_msgpack(data: bytes, choices: Random, others: Sequence[bytes]) -> bytes:
    """Return a value in MessagePack that was changed anywhere."""
    return _mutate(data, choices, others, body_only=0.0)


def _mutate(data: bytes, choices: Random, others: Sequence[bytes], *, body_only: float) -> bytes:
    kind = choices.random()
    if kind < 0.06 or not data:
        return mutate_bytes(data, choices, others)
    try:
        tree = msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError, TypeError):
        return mutate_bytes(data, choices, others)
    if not isinstance(tree, list) or not tree:
        return mutate_bytes(data, choices, others)
    for _ in range(choices.choice((1, 1, 1, 2, 3))):
        _change_node(tree, choices, others, inside=3 if choices.random() < body_only and len(tree) == 4 else None)
    if kind < 0.12:
        return encode_otherwise(tree, choices)
    try:
        changed = msgspec.msgpack.encode(tree)
    except (OverflowError, RecursionError, ValueError, TypeError):
        return encode_otherwise(tree, choices)
    if kind < 0.16:
        at = choices.randrange(len(changed))
        changed = changed[:at] + choices.choice(_CLAIMS) + changed[at + choices.randrange(4) :]
    return changed if kind < 0.9 else mutate_bytes(changed, choices, others)


def _change_node(tree: list[Any], choices: Random, others: Sequence[bytes], *, inside: int | None) -> None:
    """Change one node below the root, found by a random walk that begins with the element `inside` if it is a list."""
    parent: list[Any] = tree
    if inside is not None and isinstance(tree[inside], list):
        parent = tree[inside]
    while True:
        if not parent:
            parent.append(other_value(choices))
            return
        at = int(choices.random() * len(parent))
        node = parent[at]
        if not isinstance(node, list) or choices.random() < 0.4:
            break
        parent = node
    if choices.random() < 0.12:
        _relist(parent, at, choices)
    elif isinstance(node, bytes):
        parent[at] = _other_bytes(node, choices, others)
    elif isinstance(node, list):
        parent[at] = _other_list(node, choices, others)
    else:
        parent[at] = other_value(choices) if choices.random() < 0.4 else choices.choice(INTEGERS)


def _relist(parent: list[Any], at: int, choices: Random) -> None:
    match choices.randrange(4):
        case 0:
            del parent[at]
        case 1:
            parent.insert(at, parent[at])
        case 2:
            other = choices.randrange(len(parent))
            parent[at], parent[other] = parent[other], parent[at]
        case _:
            parent.insert(at, other_value(choices))


def _other_bytes(node: bytes, choices: Random, others: Sequence[bytes]) -> Any:
    match choices.randrange(9):
        case 0:
            return b""
        case 1:
            return node[:-1]
        case 2:
            return node + b"\x00"
        case 3:
            return node + node
        case 4:
            return bytes(len(node))
        case 5:
            return choices.randbytes(len(node))
        case 6:
            return other_value(choices)
        case _:
            return mutate_bytes(node, choices, others)


def _other_list(node: list[Any], choices: Random, others: Sequence[bytes]) -> Any:
    match choices.randrange(8):
        case 0:
            return []
        case 1:
            return node[:-1]
        case 2:
            return node[::-1]
        case 3:
            return node + node[:1]
        case 4:
            return (node * choices.choice((2, 17)))[:40]
        case 5 if others:
            return _donated(choices.choice(others), choices)
        case 6:
            return [node]
        case _:
            return other_value(choices)


def _donated(other: bytes, choices: Random) -> Any:
    """Return a part of another message."""
    try:
        node = msgspec.msgpack.decode(other)
    except (msgspec.MsgspecError, RecursionError, ValueError, TypeError):
        return other[:64]
    while isinstance(node, list) and node and choices.random() < 0.6:
        node = choices.choice(node)
    return node


def other_value(choices: Random) -> Any:
    """Return a value of any type that MessagePack has."""
    match choices.randrange(12):
        case 0:
            return None
        case 1:
            return choices.random() < 0.5
        case 2:
            return choices.choice((0.0, -0.0, 1.0, 1e308, float("inf"), float("nan")))
        case 3:
            return "text"
        case 4:
            return {"a": 1, 0: b""}
        case 5:
            return [[] for _ in range(choices.choice((1, 3, 20)))]  # Lists of their own: later changes do not multiply.
        case 6:
            return choices.randbytes(choices.choice((0, 1, 31, 32, 33, 64)))
        case 7:
            nested: list[Any] = []
            for _ in range(choices.choice((2, 40, 400))):
                nested = [nested]
            return nested
        case _:
            return choices.choice(INTEGERS)


def encode_otherwise(value: Any, choices: Random, depth: int = 0) -> bytes:
    """Return a value in MessagePack whose headers may be longer than they need to be, and keys may occur twice."""
    longer = choices.random() < 0.2
    if depth > 200:
        return b"\xc0"
    if isinstance(value, list):
        head = b"\xdc" + len(value).to_bytes(2, "big") if longer or len(value) > 15 else bytes([0x90 | len(value)])
        return head + b"".join(encode_otherwise(each, choices, depth + 1) for each in value)
    if isinstance(value, dict):
        pairs = [(key, each) for key, each in value.items() for _ in range(1 + longer)]
        body = b"".join(encode_otherwise(part, choices, depth + 1) for pair in pairs for part in pair)
        return b"\xde" + len(pairs).to_bytes(2, "big") + body
    if isinstance(value, bytes):
        return (
            b"\xc6" + len(value).to_bytes(4, "big") if longer else msgspec.msgpack.encode(value)[: -len(value) or None]
        ) + value
    if isinstance(value, int) and not isinstance(value, bool) and longer:
        if 0 <= value < 2**64:
            return b"\xcf" + value.to_bytes(8, "big")
        if -(2**63) <= value < 0:
            return b"\xd3" + value.to_bytes(8, "big", signed=True)
    try:
        return msgspec.msgpack.encode(value)
    except (OverflowError, ValueError, TypeError):
        return b"\xc0"
