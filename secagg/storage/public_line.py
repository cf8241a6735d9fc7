"""Public keys as lines of text that people can send, compare and put into a file.

A node's line is `NAME secagg-node-KEY`, or `ID NAME secagg-node-KEY` if its id is fixed already. The coordinator's line
is `secagg-coordinator-KEY`. KEY is an Ed25519 public key (RFC 8032) in 64 hexadecimal digits. A line is not secret, and
it is not signed: anyone who passes it on could replace it. So both ends compare the `fingerprint` of the key over a
channel that the server does not control.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

from protocols.identity import PUBLIC_BYTES
from protocols.session import MAX_CLIENT_ID
from secagg.checks import shown
from secagg.errors import ConfigurationError

LONGEST_NAME: Final = 64

_DOMAIN: Final = b"secagg identity fingerprint v1"
_NODE: Final = "secagg-node-"
_COORDINATOR: Final = "secagg-coordinator-"
_NAME: Final = re.compile(rf"[A-Za-z0-9._@-]{{1,{LONGEST_NAME}}}")
_KEY: Final = re.compile(rf"[0-9a-f]{{{2 * PUBLIC_BYTES}}}")
_ID: Final = re.compile(r"0|[1-9][0-9]{0,9}")


def fingerprint(key: bytes) -> str:
    """Return the SHA-256 hash of a public identity key, in hexadecimal, for people to compare."""
    return hashlib.sha256(_DOMAIN + key).hexdigest()


def check_name(name: object) -> str:
    """Return a node's name if it is valid.

    Raises:
        ConfigurationError: It is not a text of 1 to 64 ASCII letters, digits, and the characters `.`, `_`, `@`, `-`.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"name of a node: expected 1 to {LONGEST_NAME} ASCII letters, digits, and any of . _ @ -, found "
            f"{shown(name)}. Choose another name."
        )
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicLine:
    """The public line of a node.

    Attributes:
        name: The node's name.
        key: The node's public identity key, 32 bytes.
        id: The node's id in [0, 2^32 - 2]; None if the maker of the roster is to choose one.

    Raises:
        ConfigurationError: The name, the key or the id is not valid.
    """

    name: str
    key: bytes = field(repr=False)
    id: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if type(self.key) is not bytes or len(self.key) != PUBLIC_BYTES:
            raise ConfigurationError(f"key of node {self.name}: expected {PUBLIC_BYTES} bytes, found another value")
        if self.id is not None and (type(self.id) is not int or not 0 <= self.id <= MAX_CLIENT_ID):
            raise ConfigurationError(
                f"id of node {self.name}: expected an int in [0, {MAX_CLIENT_ID}], found {shown(self.id)}"
            )

    def __str__(self) -> str:
        """Return the line, without the end of the line."""
        start = "" if self.id is None else f"{self.id} "
        return f"{start}{self.name} {_NODE}{self.key.hex()}"

    @classmethod
    def parse(cls, line: str) -> "PublicLine":
        """Return the node of a line.

        Raises:
            ConfigurationError: It is not the public line of a node.
        """
        *number, name, key = line.split() if len(line.split()) in (2, 3) else ("", "", "")
        if not key or (number and not _ID.fullmatch(number[0])):
            raise ConfigurationError(
                f"public line: expected NAME {_NODE}KEY or ID NAME {_NODE}KEY, found {shown(line)}. Put each line into "
                "quotation marks, as `secagg keys node` printed it."
            )
        if key.startswith(_COORDINATOR):
            raise ConfigurationError(
                f"public line of {shown(name)}: expected the key of a node, found that of a coordinator. Use the line "
                "that `secagg keys node` printed."
            )
        return cls(name=name, key=_read(key, _NODE), id=int(number[0]) if number else None)


def coordinator_line(key: bytes) -> str:
    """Return the public line of a coordinator, without the end of the line."""
    return f"{_COORDINATOR}{key.hex()}"


def parse_coordinator_line(line: str) -> bytes:
    """Return the public key, 32 bytes, of a coordinator's line.

    Raises:
        ConfigurationError: It is not the public line of a coordinator.
    """
    return _read(line.strip(), _COORDINATOR)


def _read(text: str, kind: str) -> bytes:
    digits = text.removeprefix(kind)
    if not text.startswith(kind) or not _KEY.fullmatch(digits):
        raise ConfigurationError(
            f"public key: expected {kind} and {2 * PUBLIC_BYTES} digits of 0-9 and a-f, found {shown(text)}. Copy the "
            "whole line."
        )
    return bytes.fromhex(digits)
