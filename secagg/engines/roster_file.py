"""The roster file: the ids, names and public identity keys of all nodes of a federation, as canonical JSON.

Every node pins a copy of it. The file is not signed: it must reach each node by a way that the server does not control,
or the nodes compare its `fingerprint` over such a way. A federation has one file, since a party that could show two
nodes two different rosters could add members of its own to one of them.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from protocols.errors import ParameterError
from protocols.identity import Roster
from secagg.checks import shown
from secagg.errors import ConfigurationError
from secagg.storage.labelled_file import DamagedKeyFile, read_regular, write_new
from secagg.storage.public_line import PublicLine

ROSTER_NAME: Final = "roster.json"
MOST_BYTES: Final = 2**24
"""Room for 100,000 nodes with the longest names."""

_FORMAT: Final = 1
_DOMAIN: Final = b"secagg roster fingerprint v1"


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: int
    name: str
    key: str


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: int
    nodes: list[_Entry]


@dataclass(frozen=True, slots=True)
class RosterFile:
    """The nodes of a federation, by id in ascending order.

    Attributes:
        nodes: The public line of each node, with its id.

    Raises:
        ConfigurationError: There are fewer than two nodes, a node has no id, the ids do not ascend, or two nodes have
            the same name or key.
    """

    nodes: tuple[PublicLine, ...]

    def __post_init__(self) -> None:
        if len(self.nodes) < 2:
            raise ConfigurationError(f"roster: expected at least 2 nodes, found {len(self.nodes)}. Add nodes.")
        ids = [-1 if node.id is None else node.id for node in self.nodes]
        if any(one >= other for one, other in itertools.pairwise([-1, *ids])):
            raise ConfigurationError("roster: expected a different id for each node, in ascending order, found others")
        names: set[str] = set()
        keys: set[bytes] = set()
        for node in self.nodes:
            if node.name in names or node.key in keys:
                what = "name" if node.name in names else "key"
                raise ConfigurationError(
                    f"roster: expected a different {what} for each node, found that of {node.name} twice. Remove one."
                )
            names.add(node.name)
            keys.add(node.key)

    @classmethod
    def of(cls, lines: Iterable[PublicLine]) -> "RosterFile":
        """Return the roster of some public lines.

        Args:
            lines: Either all with ids of their own, in any order, or all without. Then they get the ids from 0 on, in
                the given order.

        Raises:
            ConfigurationError: Only some of the lines have an id, two have the same, or as for the class.
        """
        nodes = list(lines)
        without = [node.name for node in nodes if node.id is None]
        if len(without) == len(nodes):
            nodes = [PublicLine(id=number, name=node.name, key=node.key) for number, node in enumerate(nodes)]
        elif without:
            raise ConfigurationError(
                f"roster: expected an id in all public lines or in none, found none in that of {without[0]}. Put an id "
                "before each name."
            )
        return cls(tuple(sorted(nodes, key=lambda node: node.id or 0)))

    @property
    def roster(self) -> Roster:
        """The public identity keys by id."""
        return Roster({node.id: node.key for node in self.nodes if node.id is not None})

    @property
    def names(self) -> Mapping[int, str]:
        """The names by id."""
        return {node.id: node.name for node in self.nodes if node.id is not None}

    @property
    def fingerprint(self) -> str:
        """The SHA-256 hash of the whole file, in hexadecimal, for people to compare."""
        return hashlib.sha256(_DOMAIN + self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the only bytes that stand for this roster in a file."""
        nodes = [{"id": node.id, "name": node.name, "key": node.key.hex()} for node in self.nodes]
        return json.dumps({"format": _FORMAT, "nodes": nodes}, indent=1).encode("ascii") + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> "RosterFile":
        """Return the roster that a file stands for.

        Raises:
            ConfigurationError: The bytes are not those that `to_bytes` makes of a roster.
        """
        if len(data) >= MOST_BYTES:
            raise ConfigurationError(f"roster: expected less than {MOST_BYTES} bytes, found {len(data)}")
        try:
            document = msgspec.json.decode(data, type=_Document)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"roster: expected the JSON of a roster file, found: {error}") from None
        if document.format != _FORMAT:
            raise ConfigurationError(f"roster: expected format {_FORMAT}, found {shown(document.format)}")
        found = cls(tuple(_line(entry) for entry in document.nodes))
        if found.to_bytes() != data:
            raise ConfigurationError(
                "roster: expected a file as `secagg keys roster` writes it, found another spelling of it. Never edit a "
                "roster by hand."
            )
        return found

    @classmethod
    def read(cls, path: Path) -> "RosterFile":
        """Return the roster in a file.

        Raises:
            KeyFileError: The file cannot be read, or is not a roster file.
        """
        data = read_regular(path, most_bytes=MOST_BYTES)
        try:
            return cls.from_bytes(data)
        except (ConfigurationError, ParameterError) as error:
            raise DamagedKeyFile(f"{path}: {error}") from None

    def write(self, path: Path) -> None:
        """Write the roster to a new file; an existing one is never overwritten.

        Raises:
            ConfigurationError: The file exists.
            OSError: The file cannot be written.
        """
        try:
            write_new(path, self.to_bytes(), mode=0o644)
        except FileExistsError:
            raise ConfigurationError(
                f"{path}: expected a new file, found one that exists. Name another file."
            ) from None


def _line(entry: _Entry) -> PublicLine:
    try:
        key = bytes.fromhex(entry.key)
    except ValueError:
        raise ConfigurationError(f"key of node {shown(entry.name)}: expected hexadecimal digits") from None
    return PublicLine(id=entry.id, name=entry.name, key=key)
