"""Mutations of files with parts: `.npz` archives, gzip streams, SQLite files and folders of named files."""

import gzip
import io
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Final

import msgspec

from tests.fuzz.mutate import Mutator, mutate_bytes, mutate_text

_DTYPES: Final = (
    *(b"<f8", b"<f4", b"<i8", b"<u8", b"|u1", b"|O", b"|b1", b"<c16", b"|S0", b"<U0", b"|V8", b"<M8[ns]", b"<f2"),
    *(b">f8", b"<i9", b"<f16", b"|S2147483647", b"<U536870911", b"(3,)<f8", b"<f8,<f8", b"O"),
)
_SHAPES: Final = (
    *(b"()", b"(0,)", b"(1,)", b"(-1,)", b"(2**40,)", b"(1099511627776,)", b"(4294967296, 4294967296)", b"(True,)"),
    *(b"(1, 0)", b"(1.5,)", b"5", b"[1]", b"(9223372036854775807,)", b"(" + b"1," * 70 + b")", b"('a',)", b"(64, 64)"),
)


def mutate_npz(data: bytes, choices: Random, others: Sequence[bytes]) -> bytes:
    """Return an archive of arrays in which an entry was dropped, repeated, renamed or changed, or any byte was."""
    entries = list(_entries(data))
    if not entries or choices.random() < 0.25:
        return mutate_bytes(data, choices, others)
    method = choices.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    for _ in range(choices.choice((1, 1, 2))):
        at = choices.randrange(len(entries))
        name, content = entries[at]
        match choices.randrange(10):
            case 0:
                del entries[at]
            case 1:
                entries.append((name, content))
            case 2:
                entries[at] = (mutate_text(name.encode(), choices, ()).decode("utf-8", "replace")[:200] or "x", content)
            case 3:
                entries[at] = (name, entries[choices.randrange(len(entries))][1])
            case 4 if others:
                donors = _entries(choices.choice(others))
                if donors:
                    entries[at] = (name, choices.choice(donors)[1])
            case 5:
                entries[at] = (name, content[: choices.randrange(len(content) + 1)])
            case _:
                entries[at] = (name, mutate_npy(content, choices, others))
        if not entries:
            break
    archive = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(archive, "w", method) as file:
        warnings.simplefilter("ignore")  # A name that occurs twice.
        for name, content in entries:
            file.writestr(zipfile.ZipInfo(name), content, method)
    return archive.getvalue()


def mutate_npy(data: bytes, choices: Random, others: Sequence[bytes]) -> bytes:
    """Return an array file with another type, shape or header, or with other bytes in it."""
    if len(data) < 10 or not data.startswith(b"\x93NUMPY\x01") or choices.random() < 0.2:
        return mutate_bytes(data, choices, others)
    size = int.from_bytes(data[8:10], "little")
    header, body = data[10 : 10 + size], data[10 + size :]
    match choices.randrange(6):
        case 0 | 1:
            header = b"{'descr': '" + choices.choice(_DTYPES) + b"'," + header.partition(b",")[2]
        case 2 | 3:
            head, key, _ = header.partition(b"'shape': ")
            header = head + key + choices.choice(_SHAPES) + b", }\n"
        case 4:
            header = mutate_text(header, choices, ())
        case _:
            body = mutate_bytes(body, choices, others)
    return b"\x93NUMPY\x01\x00" + (len(header) % 2**16).to_bytes(2, "little") + header + body


@lru_cache(maxsize=256)
def _entries(data: bytes) -> tuple[tuple[str, bytes], ...]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return tuple((name, archive.read(name)) for name in archive.namelist()[:32])
    except Exception:  # noqa: BLE001 - an input that the fuzzer itself has damaged in any way
        return ()


def mutate_gzip(data: bytes, choices: Random, others: Sequence[bytes]) -> bytes:
    """Return a gzip stream of other content, or with its own bytes changed."""
    if choices.random() < 0.3:
        return mutate_bytes(data, choices, others)
    try:
        content = gzip.decompress(data)
    except Exception:  # noqa: BLE001 - an input that the fuzzer itself has damaged in any way
        return mutate_bytes(data, choices, others)
    if choices.random() < 0.5:
        head = bytearray(content[:16])
        head[choices.randrange(len(head)) if head else 0 : 16] = choices.randbytes(choices.choice((1, 4)))
        content = bytes(head) + content[16:]
    else:
        content = mutate_bytes(content, choices, others)
    return gzip.compress(content, 1, mtime=0)


def mutate_sqlite(data: bytes, choices: Random, others: Sequence[bytes]) -> bytes:
    """Return a SQLite file with its header, the head of a page or any other byte changed."""
    where = choices.random()
    if where < 0.4:
        return mutate_bytes(data, choices, others)
    page = 4096 * choices.randrange(max(1, len(data) // 4096))
    start = choices.choice((0, 16, 18, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 68, 92, 96, 100, page, page + 8))
    end = start + choices.choice((1, 2, 4, 100))
    return data[:start] + mutate_bytes(data[start:end], choices, others) + data[end:]


def pack_folder(files: Mapping[str, bytes]) -> bytes:
    """Return a folder's files as one byte string."""
    return msgspec.msgpack.encode(dict(files))


def unpack_folder(data: bytes) -> dict[str, bytes]:
    """Return the files of a folder that `pack_folder` packed."""
    return msgspec.msgpack.decode(data, type=dict[str, bytes])


def mutate_folder(mutators: Mapping[str, Mutator]) -> Mutator:
    """Return a mutator of packed folders: one file is changed by the mutator of its name, dropped or exchanged."""

    def mutate(data: bytes, choices: Random, others: Sequence[bytes]) -> bytes:
        files = unpack_folder(data)
        for _ in range(choices.choice((1, 1, 2))):
            name = choices.choice(sorted(files)) if files else choices.choice(sorted(mutators))
            content = files.get(name, b"")
            match choices.randrange(12):
                case 0:
                    files.pop(name, None)
                case 1:
                    files[name] = b""
                case 2:
                    files[name] = files.get(choices.choice(sorted(mutators)), b"")
                case 3 if others:
                    files[name] = unpack_folder(choices.choice(others)).get(name, b"")
                case _:
                    files[name] = mutators.get(name, mutate_bytes)(content, choices, ())
        return pack_folder(files)

    return mutate
