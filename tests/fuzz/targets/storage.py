"""Targets of what parties keep on the disk: key files, and stores of sessions and openings."""

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from protocols.errors import ParticipationRefused, SessionReused, UnsafeOpening
from secagg.errors import ConfigurationError
from secagg.simulation.committee import SimulatedCommittee
from secagg.storage.key_files import KeyFileError, read_committee_key, read_key_share
from secagg.storage.opening_store import OpeningStore
from secagg.storage.session_store import SessionStore
from secagg.storage.store import Store, StoreError
from tests.fuzz.mutate import Mutator, mutate_bytes, mutate_fields
from tests.fuzz.mutate_files import mutate_folder, mutate_sqlite, pack_folder, unpack_folder
from tests.fuzz.mutate_tree import mutate_msgpack
from tests.fuzz.target import Entry, Finding, Target, placed
from tests.support import committee_keys
from tests.vectors import record_stores
from tests.vectors.recorded import VECTORS

_KEYS: Final = VECTORS / "keys" / "committee"
_SESSIONS: Final = ("sessions.sqlite", "sessions-2.sqlite", "sessions-1.sqlite")
_OPENINGS: Final = ("openings.sqlite", "openings-2.sqlite", "openings-1.sqlite")


def entries() -> list[Entry]:
    """Return the targets."""
    return [
        Entry("keys/public", 20, partial(_key_file, "committee.pub")),
        Entry("keys/member", 20, partial(_key_file, "member-1.key")),
        Entry("keys/public/content", 4, partial(_key_content, "committee.pub")),
        Entry("keys/member/content", 8, partial(_key_content, "member-1.key")),
        Entry("keys/folder", 1, _key_folder),
        Entry("stores/sessions/file", 12, partial(_store_file, SessionStore, _SESSIONS)),
        Entry("stores/openings/file", 12, partial(_store_file, OpeningStore, _OPENINGS)),
        Entry("stores/sessions/rows", 12, partial(_store_rows, SessionStore)),
        Entry("stores/openings/rows", 12, partial(_store_rows, OpeningStore)),
    ]


def _key_reader(name: str, folder: Path) -> Callable[[bytes], None]:
    path, key = folder / name, committee_keys.threshold_key()

    def read(data: bytes) -> None:
        placed(path, data)
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
            placed(folder / name, content)
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
        store.record(record_stores.CLIENT, b"session number 1", 4, vector=True, cap=2)
    if isinstance(store, OpeningStore):
        contributors = tuple(range(3, 30))
        store.record(
            key=record_stores.SHARE,
            session_id=b"session number 9",
            context=b"model A",
            contributors=contributors,
            minimum=2,
        )


_STORE_REFUSALS: Final = (StoreError, SessionReused, ParticipationRefused, UnsafeOpening)


def _store_file(kind: type[Store], names: tuple[str, ...], folder: Path) -> Target:
    path = folder / names[0]

    def read(data: bytes) -> None:
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
        placed(path, data)
        with kind(path) as store:
            _use(store)

    return Target(
        seeds=tuple((VECTORS / "stores" / name).read_bytes() for name in names),
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
        identity, session_id, number, counted, context, committee = row
        sizes = _sizes(number, counted, len(session_id), len(context), len(committee))
        return hashlib.sha256(identity + sizes + session_id + context + committee).digest()
    key, session_id, hashed, packed, minimum, root, weights = row
    sizes = _sizes(len(session_id), len(root), len(weights), minimum)
    return hashlib.sha256(key + hashed + sizes + session_id + root + weights + packed).digest()


def _sizes(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, "big", signed=True) for number in numbers)
