"""Mutations: the same for the same choices, never an error whatever they are given, and structured as they say."""

import gzip
import io
import json
import zipfile
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.fuzz.mutate import Mutator, mutate_bytes, mutate_fields, mutate_lines, mutate_text
from tests.fuzz.mutate_files import (
    mutate_folder,
    mutate_gzip,
    mutate_npy,
    mutate_npz,
    mutate_sqlite,
    pack_folder,
    unpack_folder,
)
from tests.fuzz.mutate_tree import encode_otherwise, mutate_message, mutate_msgpack

MESSAGE = msgspec.msgpack.encode([1, bytes(32), 2, [b"key", [1, 2, 3], "text", {"a": None}]])
JSON = json.dumps({"round": 1, "loss": 0.5, "names": ["a", "b"]}).encode()


def archive() -> bytes:
    content = io.BytesIO()
    np.savez(content, weights=np.arange(6.0), round=np.int64(3))
    return content.getvalue()


CASES: list[tuple[Mutator, bytes]] = [
    (mutate_bytes, MESSAGE),
    (mutate_text, JSON),
    (mutate_lines, JSON + b"\n" + JSON),
    (mutate_fields((4, 8)), bytes(40)),
    (mutate_message, MESSAGE),
    (mutate_msgpack, MESSAGE),
    (mutate_npz, archive()),
    (mutate_npy, archive()),
    (mutate_gzip, gzip.compress(bytes(40), mtime=0)),
    (mutate_sqlite, bytes(8192)),
]


@pytest.mark.parametrize(("mutate", "data"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_mutation_is_the_same_for_the_same_choices(mutate: Mutator, data: bytes) -> None:
    made = [[mutate(data, choices, (data, MESSAGE)) for _ in range(200)] for choices in (Random(7), Random(7))]
    assert made[0] == made[1]
    assert len(set(made[0])) > 100
    assert [mutate(data, Random(8), (data, MESSAGE)) for _ in range(1)] != made[0][:1]


@pytest.mark.parametrize(("mutate", "data"), CASES, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize(
    "bad",
    [b"", b"\x00", b"\xff" * 9, b"\x91" * 900, b"PK\x03\x04", b"\x1f\x8b\x08"],
    ids=["empty", "zero", "ones", "nested lists", "archive", "gzip"],
)
def test_mutation_takes_any_bytes(mutate: Mutator, data: bytes, bad: bytes) -> None:
    choices = Random(1)
    for _ in range(100):
        assert isinstance(mutate(bad, choices, (bad, data)), bytes)
        assert isinstance(mutate(data, choices, (bad,)), bytes)


def test_mutated_messages_mostly_keep_their_envelope_and_their_encoding() -> None:
    choices, kept, decoded = Random(3), 0, 0
    for _ in range(1000):
        made = mutate_message(MESSAGE, choices, (MESSAGE,))
        kept += made.startswith(MESSAGE[:37])
        try:
            decoded += msgspec.msgpack.decode(made) is not None
        except (msgspec.MsgspecError, ValueError):
            continue
    assert kept > 700
    assert decoded > 700


@pytest.mark.parametrize("value", [[1, [b"ab", 300]], {"a": 1}, -5, 2**63, b"x" * 300, None, True, 0.5, "text"])
def test_other_encodings_mean_the_same(value: Any) -> None:
    choices = Random(5)
    made = {encode_otherwise(value, choices) for _ in range(50)}
    assert all(msgspec.msgpack.decode(each) == value for each in made)
    assert len(made) > 1 or not isinstance(value, list | dict | bytes)


def test_mutated_archives_are_often_archives_with_other_headers() -> None:
    choices, headers, seed = Random(4), set[bytes](), archive()
    for _ in range(300):
        try:
            with zipfile.ZipFile(io.BytesIO(mutate_npz(seed, choices, (seed,)))) as made:
                headers |= {made.read(name)[10:70] for name in made.namelist()[:1]}
        except Exception:  # noqa: BLE001 - an archive that is damaged in any way
            continue
    assert len(headers) > 30


def test_mutated_folders_lose_exchange_or_change_files() -> None:
    files: dict[str, bytes] = {"a.json": JSON, "b.bin": bytes(20)}
    mutate = mutate_folder({"a.json": mutate_text, "b.bin": mutate_bytes})
    choices, seed = Random(6), pack_folder(files)
    made = [unpack_folder(mutate(seed, choices, (seed,))) for _ in range(200)]
    assert any("a.json" not in each for each in made)
    assert any(each.get("b.bin") == JSON for each in made)
    assert all(each.keys() <= files.keys() for each in made)
