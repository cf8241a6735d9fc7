"""Targets of the product's files: key files, stores, data sets, models, settings and the folders of runs."""

import contextlib
import gzip
import hashlib
import io
import os
import sqlite3
import struct
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from protocols.errors import SessionReused, UnsafeOpening
from secagg.data.archive import load_archive
from secagg.data.idx import read_idx
from secagg.errors import CheckpointError, ConfigurationError, DataError, DataWarning, ModelError
from secagg.files import read_arrays
from secagg.models.softmax import SoftmaxRegression
from secagg.privacy.clipping import choose_clip
from secagg.runs.folder import RunFolder
from secagg.runs.lock import NAME as LOCK
from secagg.runs.parsing import parse, read_settings
from secagg.simulation.committee import SimulatedCommittee
from secagg.storage.key_files import KeyFileError, read_committee_key, read_key_share
from secagg.storage.opening_store import OpeningStore
from secagg.storage.session_store import SessionStore
from secagg.storage.store import Store, StoreError
from secagg.training.model_state import GlobalModel
from tests.fuzz.mutate import Mutator, mutate_bytes, mutate_fields, mutate_lines, mutate_text
from tests.fuzz.mutate_files import (
    mutate_folder,
    mutate_gzip,
    mutate_npz,
    mutate_sqlite,
    pack_folder,
    unpack_folder,
)
from tests.fuzz.mutate_tree import mutate_msgpack
from tests.fuzz.target import Entry, Finding, Target
from tests.support import committee_keys
from tests.vectors import record_stores
from tests.vectors.recorded import VECTORS

_RUN: Final = VECTORS / "checkpoint" / "run"
_KEYS: Final = VECTORS / "keys" / "committee"
_UNPACKED: Final = 8192
"""How many bytes may be allocated for each byte of a compressed file: deflate alone reaches 1032, and entries of one
byte become numbers of four."""

_OLD_HEADER: Final = UserWarning
"""What numpy warns with if an array's header was written by Python 2; the array is then read all the same."""


def entries() -> list[Entry]:
    """Return the targets."""
    return [
        Entry("keys/public", 20, partial(_key_file, "committee.pub")),
        Entry("keys/member", 20, partial(_key_file, "member-1.key")),
        Entry("keys/public/content", 4, partial(_key_content, "committee.pub")),
        Entry("keys/member/content", 8, partial(_key_content, "member-1.key")),
        Entry("keys/folder", 1, _key_folder),
        Entry("stores/sessions/file", 12, partial(_store_file, SessionStore, "sessions.sqlite")),
        Entry("stores/openings/file", 12, partial(_store_file, OpeningStore, "openings.sqlite")),
        Entry("stores/sessions/rows", 12, partial(_store_rows, SessionStore)),
        Entry("stores/openings/rows", 12, partial(_store_rows, OpeningStore)),
        Entry("data/archive", 20, _archive),
        Entry("data/arrays", 30, _arrays),
        Entry("data/idx/1", 40, partial(_idx, 1)),
        Entry("data/idx/3", 40, partial(_idx, 3)),
        Entry("data/model", 16, _model),
        Entry("run/settings", 30, _settings),
        Entry("run/goal", 4, partial(_part, "goal.toml", mutate_text)),
        Entry("run/metrics", 5, partial(_part, "metrics.jsonl", mutate_lines)),
        Entry("run/comparison", 5, partial(_part, "comparison.jsonl", mutate_lines)),
        Entry("run/checkpoint", 4, partial(_part, "checkpoint.npz", mutate_npz)),
        Entry("run/folder", 8, _run_folder),
    ]


def _placed(path: Path, data: bytes, mode: int = 0o600) -> Path:
    """Write a file that only its owner may read, and return its path."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
    return path


def _key_reader(name: str, folder: Path) -> Callable[[bytes], None]:
    path, key = folder / name, committee_keys.threshold_key()

    def read(data: bytes) -> None:
        _placed(path, data)
        found = read_committee_key(path) if name == "committee.pub" else read_key_share(path, key)
        if found.to_bytes() not in data:
            raise Finding("a second encoding of one key was accepted")

    return read


def _secrets() -> tuple[str, ...]:
    shares = committee_keys.key_shares()
    return tuple(text for share in shares for text in (str(share.reveal()), f"{share.reveal():x}"))


_KEY_COVERS: Final = {
    "committee.pub": (
        "secagg.storage.key_files:read_committee_key",
        "protocols.crypto.paillier.threshold:ThresholdKey.from_bytes",
    ),
    "member-1.key": (
        "secagg.storage.key_files:read_key_share",
        "protocols.crypto.paillier.threshold:KeyShare.from_bytes",
    ),
}


def _key_file(name: str, folder: Path) -> Target:
    return Target(
        seeds=((_KEYS / name).read_bytes(),),
        run=_key_reader(name, folder),
        mutate=mutate_bytes,
        refusals=(KeyFileError,),
        covers=_KEY_COVERS[name],
        canaries=_secrets(),
    )


def _key_content(name: str, folder: Path) -> Target:
    """The bytes of the key, for which the label and the checksum are made anew."""
    whole = (_KEYS / name).read_bytes()
    label, _, rest = whole.partition(b"\n")
    read = _key_reader(name, folder)

    def wrapped(data: bytes) -> None:
        signed = label + b"\n" + data
        read(signed + hashlib.sha256(signed).digest())

    content = rest[:-32]
    head = content.index(b"\n") + 1
    sizes = (head, 1, 1, 1, 2, 256, 256, 512) if name == "committee.pub" else (head, 32, 1)
    return Target(
        seeds=(content,),
        run=wrapped,
        mutate=mutate_fields(sizes),
        refusals=(KeyFileError,),
        covers=_KEY_COVERS[name],
        canaries=_secrets(),
    )


def _key_folder(folder: Path) -> Target:
    names = sorted(path.name for path in _KEYS.iterdir() if path.name != "README.md")

    def read(data: bytes) -> None:
        for left in folder.iterdir():
            left.unlink()
        for name, content in unpack_folder(data).items():
            _placed(folder / name, content)
        SimulatedCommittee.read(folder, clients=8)

    mutators: dict[str, Mutator] = dict.fromkeys(names, mutate_bytes)
    return Target(
        seeds=(pack_folder({name: (_KEYS / name).read_bytes() for name in names}),),
        run=read,
        mutate=mutate_folder(mutators),
        refusals=(KeyFileError, ConfigurationError),
        covers=("secagg.simulation.committee:SimulatedCommittee.read",),
        canaries=_secrets(),
    )


def _use(store: Store) -> None:
    """Record one more step or opening, which compares with what the file holds."""
    if isinstance(store, SessionStore):
        store.record(record_stores.CLIENT, b"session number 1", 4)
    if isinstance(store, OpeningStore):
        contributors = tuple(range(3, 30))
        store.record(
            key=record_stores.SHARE,
            session_id=b"session number 9",
            context=b"model A",
            contributors=contributors,
            minimum=2,
        )


_STORE_REFUSALS: Final = (StoreError, SessionReused, UnsafeOpening)


def _store_file(kind: type[Store], name: str, folder: Path) -> Target:
    path = folder / name

    def read(data: bytes) -> None:
        path.with_name(f"{name}-journal").unlink(missing_ok=True)
        _placed(path, data)
        with kind(path) as store:
            _use(store)

    return Target(
        seeds=((VECTORS / "stores" / name).read_bytes(),),
        run=read,
        mutate=mutate_sqlite,
        refusals=_STORE_REFUSALS,
        covers=(f"{kind.__module__}:{kind.__name__}.record", "secagg.storage.store:Store.__init__"),
    )


class _NotRows(Exception):
    """An input that SQLite itself would not store."""


def _store_rows(kind: type[Store], folder: Path) -> Target:
    """Rows of a store, each with a digest that is computed anew."""
    path = folder / "rows.sqlite"
    name = "sessions.sqlite" if kind is SessionStore else "openings.sqlite"
    with contextlib.closing(sqlite3.connect(VECTORS / "stores" / name)) as connection:
        rows = [list(row[:-1]) for row in connection.execute(kind.rows)]

    def read(data: bytes) -> None:
        path.unlink(missing_ok=True)
        try:
            _write_rows(kind, path, data)
        except (
            sqlite3.Error,
            msgspec.MsgspecError,
            AttributeError,
            TypeError,
            ValueError,
            OverflowError,
            RecursionError,
        ):
            raise _NotRows from None
        with kind(path) as store:
            _use(store)

    return Target(
        seeds=(msgspec.msgpack.encode(rows), msgspec.msgpack.encode(rows[:1])),
        run=read,
        mutate=mutate_msgpack,
        refusals=(*_STORE_REFUSALS, _NotRows),
        covers=(f"{kind.__module__}:{kind.__name__}.record",),
    )


def _write_rows(kind: type[Store], path: Path, data: bytes) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(
            f"PRAGMA application_id = {kind.application_id}; PRAGMA user_version = {kind.format_version}; {kind.schema}"
        )
        for row in msgspec.msgpack.decode(data):
            digest = _row_digest(kind, row)
            marks = ", ".join("?" * (len(row) + 1))
            connection.execute(f"INSERT INTO {kind.table} VALUES ({marks})", (*row, digest))


def _row_digest(kind: type[Store], row: list[Any]) -> bytes:
    """Return the digest of a row as `secagg.storage` defines it."""
    if kind is SessionStore:
        identity, session_id, number = row
        return hashlib.sha256(identity + number.to_bytes(8, "big", signed=True) + session_id).digest()
    key, session_id, hashed, packed, minimum = row
    sizes = len(session_id).to_bytes(8, "big") + minimum.to_bytes(8, "big")
    return hashlib.sha256(key + hashed + sizes + session_id + packed).digest()


def _saved(**arrays: Any) -> tuple[bytes, bytes]:
    """Return an archive of arrays, and the same compressed."""
    plain, packed = io.BytesIO(), io.BytesIO()
    np.savez(plain, **arrays)
    np.savez_compressed(packed, **arrays)
    return plain.getvalue(), packed.getvalue()


def _archive(folder: Path) -> Target:
    path = folder / "data.npz"

    def read(data: bytes) -> None:
        load_archive(_placed(path, data))

    x, y = np.arange(12, dtype=np.uint8).reshape(6, 2), np.array([0, 1, 2, 0, 1, 2])
    seeds = _saved(x_train=x, y_train=y, x_test=x[:3], y_test=y[:3].reshape(3, 1))
    return Target(
        seeds=(*seeds, _saved(train_x=x / 2, train_y=y.astype(np.int8), test_x=x / 2, test_y=y)[0]),
        run=read,
        mutate=mutate_npz,
        refusals=(DataError, DataWarning, _OLD_HEADER),
        covers=("secagg.data.archive:load_archive",),
        memory_factor=_UNPACKED,
    )


def _arrays(folder: Path) -> Target:
    path = folder / "arrays.npz"

    def read(data: bytes) -> None:
        read_arrays(_placed(path, data), ["weights", "round"])

    return Target(
        seeds=_saved(weights=np.arange(6.0).reshape(2, 3), round=np.int64(3), other=np.array(["a", "b"])),
        run=read,
        mutate=mutate_npz,
        refusals=(DataError, _OLD_HEADER),
        covers=("secagg.files:read_arrays",),
        memory_factor=_UNPACKED,
    )


def _idx(dimensions: int, folder: Path) -> Target:
    path = folder / "idx.gz"

    def read(data: bytes) -> None:
        read_idx(_placed(path, data), dimensions)

    shape = (3, 2, 2)[:dimensions]
    content = bytes((0, 0, 8, dimensions)) + struct.pack(f">{dimensions}I", *shape) + bytes(int(np.prod(shape)))
    return Target(
        seeds=(gzip.compress(content, mtime=0),),
        run=read,
        mutate=mutate_gzip,
        refusals=(DataError,),
        covers=("secagg.data.idx:read_idx",),
        memory_factor=_UNPACKED,
    )


def _model(folder: Path) -> Target:
    path = folder / "model.npz"

    def read(data: bytes) -> None:
        model = SoftmaxRegression.load(_placed(path, data))
        model.save(folder / "again.npz")

    return Target(
        seeds=((_RUN / "model.npz").read_bytes(), *_saved(kernel=np.ones((2, 3)), bias=np.ones(3), learning_rate=0.5)),
        run=read,
        mutate=mutate_npz,
        refusals=(DataError, ModelError, _OLD_HEADER),
        covers=("secagg.models.softmax:SoftmaxRegression.load",),
        memory_factor=_UNPACKED,
        memory_base=2**22,
    )


def _settings(folder: Path) -> Target:
    path = folder / "config.toml"

    def read(data: bytes) -> None:
        config = parse(read_settings(_placed(path, data)))
        again = parse(tomllib.loads(config.as_toml()))
        if again != config or again.digest() != config.digest():
            raise Finding("settings are not read back as they were written")

    examples = sorted((VECTORS.parents[1] / "examples").glob("*.toml"))
    return Target(
        seeds=((_RUN / "config.toml").read_bytes(), *(example.read_bytes() for example in examples)),
        run=read,
        mutate=mutate_text,
        refusals=(ConfigurationError,),
        covers=("secagg.runs.parsing:read_settings", "secagg.runs.parsing:parse"),
    )


def _initial() -> GlobalModel:
    with np.load(_RUN / "checkpoint.npz", allow_pickle=False) as archive:
        weights = [np.asarray(archive[f"weights_{index}"]) for index in range(2)]
    config = parse(read_settings(_RUN / "config.toml"))
    clip = choose_clip(
        config.clipping,
        clip_l2=config.clip_l2,
        quantile=config.clip_quantile,
        arrays=len(weights),
        contributors=10,
        noise_multiplier=1.0,
    )
    return GlobalModel([np.zeros_like(each) for each in weights], [np.zeros_like(each) for each in weights], clip=clip)


def _read_run(path: Path, like: GlobalModel) -> None:
    """Read a run's folder as a run that is continued does."""
    with RunFolder(path) as run:
        run.check_free(overwrite=True)
        config = run.config()
        run.goal(config)
        run.rounds_done()
        run.metrics()
        run.comparison()
        run.has_ledger()
        run.restore(like, config)


_RUN_FILES: Final[dict[str, Mutator]] = {
    "config.toml": mutate_text,
    "goal.toml": mutate_text,
    "metrics.jsonl": mutate_lines,
    "comparison.jsonl": mutate_lines,
    "checkpoint.npz": mutate_npz,
}


def _part(name: str, mutate: Mutator, folder: Path) -> Target:
    """One file of a run's folder; all others are as they were."""
    contents = {each: (_RUN / each).read_bytes() for each in _RUN_FILES}
    like = _initial()
    for each, content in contents.items():
        _placed(folder / each, content)

    def read(data: bytes) -> None:
        _placed(folder / "metrics.jsonl", contents["metrics.jsonl"])  # `restore` writes it again.
        _placed(folder / name, data)
        _read_run(folder, like)

    return Target(
        seeds=(contents[name],),
        run=read,
        mutate=mutate,
        refusals=(CheckpointError, _OLD_HEADER),
        covers=("secagg.runs.folder:RunFolder.restore",),
        memory_base=2**22,
        memory_factor=_UNPACKED,
    )


def _run_folder(folder: Path) -> Target:
    contents = {each: (_RUN / each).read_bytes() for each in _RUN_FILES}
    like = _initial()

    def read(data: bytes) -> None:
        for left in folder.iterdir():
            left.unlink()
        for name, content in unpack_folder(data).items():
            _placed(folder / name, content)
        _read_run(folder, like)

    return Target(
        seeds=(pack_folder(contents),),
        run=read,
        mutate=mutate_folder(_RUN_FILES | {LOCK: mutate_bytes}),
        refusals=(CheckpointError, _OLD_HEADER),
        covers=(
            "secagg.runs.folder:RunFolder.config",
            "secagg.runs.folder:RunFolder.restore",
            "secagg.runs.lock:FolderLock.__enter__",
        ),
        memory_base=2**22,
        memory_factor=_UNPACKED,
    )
