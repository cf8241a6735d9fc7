"""Targets of a node's home: its key, its policy, the roster, public lines, and the whole folder."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Final

from protocols import Secret
from protocols.identity import Identity
from secagg.engines.node.home import Home
from secagg.engines.node.home_error import HomeError
from secagg.engines.node.live_folder import LiveFolderError
from secagg.engines.node.policy import NodePolicy
from secagg.engines.node.policy_file import PolicyError
from secagg.errors import ConfigurationError
from secagg.storage.labelled_file import KeyFileError
from secagg.storage.node_keys import (
    IDENTITY_NAME,
    RUN_NAME,
    create_coordinator,
    read_coordinator,
    read_coordinator_key,
    read_node_identity,
    write_node_identity,
)
from secagg.storage.public_line import PublicLine, coordinator_line
from secagg.storage.roster_file import RosterFile
from tests.fuzz.mutate import Mutator, mutate_bytes, mutate_fields, mutate_text
from tests.fuzz.mutate_files import mutate_folder, pack_folder, unpack_folder
from tests.fuzz.target import Entry, Finding, Target, placed
from tests.support.homes import exact_text, policy_text

_LINES: Final = tuple(PublicLine(name=name, key=hashlib.sha256(name.encode()).digest()) for name in ("a", "b.c", "d@e"))
_IDENTITY: Final = Identity(Secret(hashlib.sha256(b"a node of the fuzzer").digest()))


def entries() -> list[Entry]:
    """Return the targets."""
    return [
        Entry("home/roster", 30, _roster),
        Entry("home/policy", 30, _policy),
        Entry("home/line", 20, _line),
        Entry("home/coordinator", 10, _coordinator),
        Entry("home/identity", 10, partial(_identity, checksummed=False)),
        Entry("home/identity/content", 10, partial(_identity, checksummed=True)),
        Entry("home/coordinator/folder", 5, _coordinator_folder),
        Entry("home/folder", 4, _home),
    ]


def _roster(folder: Path) -> Target:
    path = folder / "roster.json"

    def read(data: bytes) -> None:
        found = RosterFile.read(placed(path, data))
        if found.to_bytes() != data or dict(found.roster).keys() != found.names.keys():
            raise Finding("a second spelling of one roster was accepted")

    one = RosterFile.of(_LINES)
    other = RosterFile.of(PublicLine(id=2**number, name=line.name, key=line.key) for number, line in enumerate(_LINES))
    return Target(
        seeds=(one.to_bytes(), other.to_bytes()),
        run=read,
        mutate=mutate_text,
        refusals=(KeyFileError,),
        covers=("secagg.storage.roster_file:RosterFile.read", "secagg.storage.roster_file:RosterFile.from_bytes"),
    )


def _policy(folder: Path) -> Target:
    path = folder / "policy.toml"

    def read(data: bytes) -> None:
        found = NodePolicy.read(placed(path, data))
        if found.least_contributors < 2 or not found.protocols or found.has_budget is (found.delta is None):
            raise Finding("a policy that permits too much was accepted")
        found.limits()

    return Target(
        seeds=(policy_text(), exact_text(), policy_text(ledger="/a/ledger.db", live_folder="/run/secagg")),
        run=read,
        mutate=mutate_text,
        refusals=(PolicyError, KeyFileError),
        covers=("secagg.engines.node.policy_file:PolicyFile.parse",),
        memory_base=2**22,
    )


def _line(_: Path) -> Target:
    def read(data: bytes) -> None:
        found = PublicLine.parse(data.decode("utf-8", "replace"))
        if PublicLine.parse(str(found)) != found:
            raise Finding("a line is not read as it was written")

    return Target(
        seeds=(*(str(line).encode() for line in _LINES), f"7 {_LINES[0]}".encode()),
        run=read,
        mutate=mutate_text,
        refusals=(ConfigurationError,),
        covers=("secagg.storage.public_line:PublicLine.parse",),
    )


def _coordinator(folder: Path) -> Target:
    path = folder / "coordinator.pub"

    def read(data: bytes) -> None:
        found = read_coordinator_key(placed(path, data))
        if coordinator_line(found).encode() not in data:
            raise Finding("a second spelling of one key was accepted")

    return Target(
        seeds=(f"{coordinator_line(_LINES[0].key)}\n".encode(),),
        run=read,
        mutate=mutate_text,
        refusals=(KeyFileError,),
        covers=("secagg.storage.node_keys:read_coordinator_key",),
    )


def _identity(folder: Path, *, checksummed: bool) -> Target:
    """A node's key file; with `checksummed`, its checksum is made anew."""
    path = folder / IDENTITY_NAME

    def read(data: bytes) -> None:
        if checksummed:
            data = data[:-32] + hashlib.sha256(data[:-32]).digest()
        found = read_node_identity(placed(path, data).parent)
        if found.secret.reveal() not in data:
            raise Finding("another key than that of the file was read")

    return Target(
        seeds=(_key_file(folder),),
        run=read,
        mutate=mutate_fields((17, 32, 32)) if checksummed else mutate_bytes,
        refusals=(KeyFileError,),
        covers=("secagg.storage.node_keys:read_node_identity",),
        canaries=(_IDENTITY.secret.reveal().hex(),),
    )


def _coordinator_folder(folder: Path) -> Target:
    own = folder / "coordinator"
    create_coordinator(own, entropy=bytes)
    contents = {name: (own / name).read_bytes() for name in (IDENTITY_NAME, RUN_NAME)}

    def read(data: bytes) -> None:
        for name in contents:
            (own / name).unlink(missing_ok=True)
        for name, content in unpack_folder(data).items():
            placed(own / name, content)
        read_coordinator(own)

    return Target(
        seeds=(pack_folder(contents),),
        run=read,
        mutate=mutate_folder(dict.fromkeys(contents, mutate_bytes)),
        refusals=(KeyFileError,),
        covers=("secagg.storage.node_keys:read_coordinator",),
    )


def _home(folder: Path) -> Target:
    own, roster = folder / "home", RosterFile.of((PublicLine(name="own", key=_IDENTITY.public), *_LINES))
    Home.create(own)
    contents = {
        IDENTITY_NAME: _key_file(folder),
        "coordinator.pub": f"{coordinator_line(_LINES[0].key)}\n".encode(),
        "roster.json": roster.to_bytes(),
        "policy.toml": policy_text(encrypted_live_folder=str(folder / "live")),
        "record/lock": b"",
    }

    def read(data: bytes) -> None:
        for name in contents:
            (own / name).unlink(missing_ok=True)
        for name, content in unpack_folder(data).items():
            placed(own / name, content)
        home = Home.open(own, environment={})
        if home.roster[home.node] != home.identity.public:
            raise Finding("the node has the id of another one")
        with home.lock(0.0, lambda: 0.0):
            pass

    mutators: dict[str, Mutator] = {
        IDENTITY_NAME: mutate_bytes,
        "coordinator.pub": mutate_text,
        "roster.json": mutate_text,
        "policy.toml": mutate_text,
        "record/lock": mutate_bytes,
    }
    return Target(
        seeds=(pack_folder(contents),),
        run=read,
        mutate=mutate_folder(mutators),
        refusals=(HomeError, KeyFileError, PolicyError, LiveFolderError, OSError),
        covers=("secagg.engines.node.home:Home.open", "secagg.engines.node.home_lock:HomeLock._taken"),
        canaries=(_IDENTITY.secret.reveal().hex(),),
        memory_base=2**22,
    )


def _key_file(folder: Path) -> bytes:
    own = folder / "key"
    own.mkdir(exist_ok=True)
    if not (own / IDENTITY_NAME).exists():
        write_node_identity(own, _IDENTITY)
    return (own / IDENTITY_NAME).read_bytes()
