"""Mutations: byte strings made from one that a decoder accepts, with its structure in mind.

A mutator takes a seed, a source of choices and other seeds to take parts from. The same choices give the same bytes.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random
from typing import Final

Mutator = Callable[[bytes, Random, Sequence[bytes]], bytes]

INTEGERS: Final = (
    *(0, 1, 2, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 1023, 4096, 32767, 65535, 65536),
    *(2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1),
    *(-1, -2, -32, -33, -128, -129, -32769, -(2**31), -(2**63)),
)
"""Integers at the borders of the types and encodings that hold them."""

_TOKEN: Final = re.compile(rb'"(?:[^"\\\n]|\\.)*"|[-+]?[0-9][0-9_.eE+-]*|[A-Za-z_][A-Za-z_0-9-]*|\s+|.', re.DOTALL)
_WORDS: Final = (
    *(b"", b"0", b"-0", b"-1", b"1", b"2", b"0.5", b"1e308", b"1e400", b"-1e400", b"1e-320", b"NaN", b"nan", b"inf"),
    *(b"Infinity", b"true", b"false", b"null", b"None", b"[]", b"{}", b'""', b'"\\u0000"', b'"\\ud800"', b"\xff\xfe"),
    *(b"9" * 5000, b"[" * 600, b'{"a":' * 600, b"(" * 300, b'"' + b"x" * 300 + b'"', b"2020-01-01", b"0x10", b"\x00"),
    *(str(number).encode() for number in INTEGERS),
)


def mutate_bytes(data: bytes, choices: Random, others: Sequence[bytes]) -> bytes:
    """Return a copy with one to four changes that know nothing of the structure."""
    changed = bytearray(data)
    for _ in range(choices.choice((1, 1, 1, 2, 4))):
        _change(changed, choices, others)
    return bytes(changed)


def _change(data: bytearray, choices: Random, others: Sequence[bytes]) -> None:
    size = len(data)
    at = int(choices.random() * (size + 1))
    match choices.randrange(9):
        case 0 | 1 if at < size:
            data[at] ^= 1 << choices.randrange(8)
        case 2 if at < size:
            data[at] = choices.choice((0, 1, 0x7F, 0x80, 0xFF, choices.randrange(256)))
        case 3:
            del data[at : at + 1 + int(choices.random() ** 3 * size)]
        case 4:
            data[at:at] = choices.randbytes(choices.choice((1, 2, 4, 16)))
        case 5:
            data[at:at] = data[at : at + 1 + choices.randrange(64)]
        case 6:
            data[at : at + 8] = border_bytes(choices)
        case 7 if others:
            other = choices.choice(others)
            start = int(choices.random() * (len(other) + 1))
            length = 1 + int(choices.random() ** 2 * 64)
            data[at : at + choices.choice((0, length))] = other[start : start + length]
        case _:
            del data[at:]


def border_bytes(choices: Random) -> bytes:
    """Return an integer at a border in 1, 2, 4 or 8 bytes of either order."""
    size = choices.choice((1, 2, 4, 8))
    number: int = choices.choice(INTEGERS) % 256**size
    return number.to_bytes(size, "big" if choices.random() < 0.5 else "little")


def mutate_text(data: bytes, choices: Random, others: Sequence[bytes]) -> bytes:
    """Return a copy of a text (TOML, JSON, lines of JSON) with one to three tokens or lines changed."""
    if choices.random() < 0.08:
        return mutate_bytes(data, choices, others)
    tokens = list(_tokens(data))
    for _ in range(choices.choice((1, 1, 2, 3))):
        _retoken(tokens, choices, others)
    return b"".join(tokens)


def _retoken(tokens: list[bytes], choices: Random, others: Sequence[bytes]) -> None:
    if not tokens:
        tokens.append(b"x")
    at = int(choices.random() * len(tokens))
    match choices.randrange(8):
        case 0 | 1 | 2:
            tokens[at] = choices.choice(_WORDS)
        case 3:
            del tokens[at : at + choices.choice((1, 1, 3, 10))]
        case 4:
            tokens[at:at] = tokens[at : at + choices.choice((1, 4, 12))]
        case 5:
            other = int(choices.random() * len(tokens))
            tokens[at], tokens[other] = tokens[other], tokens[at]
        case 6 if others:
            donor = _tokens(choices.choice(others))
            if donor:
                start = int(choices.random() * len(donor))
                tokens[at : at + 1] = donor[start : start + choices.choice((1, 1, 4))]
        case _:
            token = bytearray(tokens[at])
            _change(token, choices, ())
            tokens[at] = bytes(token)


@lru_cache(maxsize=512)
def _tokens(data: bytes) -> tuple[bytes, ...]:
    return tuple(_TOKEN.findall(data))


def mutate_lines(data: bytes, choices: Random, others: Sequence[bytes]) -> bytes:
    """Return a copy in which a line is dropped, repeated, moved or exchanged, or a token of a line is changed."""
    lines = data.split(b"\n")
    at = choices.randrange(len(lines))
    match choices.randrange(10):
        case 0:
            del lines[at]
        case 1:
            lines.insert(choices.randrange(len(lines) + 1), lines[at])
        case 2:
            other = choices.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case 3 if others:
            lines[at] = choices.choice(choices.choice(others).split(b"\n"))
        case _:
            lines[at] = mutate_text(lines[at], choices, others)
    return b"\n".join(lines)


def mutate_fields(sizes: Sequence[int]) -> Mutator:
    """Return a mutator for fields of fixed sizes, joined, and one more that has the rest of the bytes."""

    def mutate(data: bytes, choices: Random, others: Sequence[bytes]) -> bytes:
        if choices.random() < 0.3:
            return mutate_bytes(data, choices, others)
        ends = list(itertools.accumulate(sizes, initial=0))
        fields = [data[start:end] for start, end in itertools.pairwise(ends)] + [data[ends[-1] :]]
        at = choices.randrange(len(fields))
        size = len(fields[at])
        match choices.randrange(6):
            case 0:
                fields[at] = bytes(size)
            case 1:
                fields[at] = b"\xff" * size
            case 2:
                fields[at] = choices.choice((1, 2, 255)).to_bytes(max(1, size), choices.choice(("big", "little")))
            case 3:
                fields[at] = choices.randbytes(size)
            case 4:
                other = choices.randrange(len(fields))
                fields[at], fields[other] = fields[other], fields[at]
            case _:
                fields[at] = mutate_bytes(fields[at], choices, others)
        return b"".join(fields)

    return mutate
