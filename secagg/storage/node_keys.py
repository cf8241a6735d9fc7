"""The key files of a node and of a coordinator: secret Ed25519 identity keys, and the coordinator's public line.

The secret files are labelled files (`secagg.storage.labelled_file`): they have a checksum, only their owner can use
them, and they are never overwritten. The public line is text (`secagg.storage.public_line`).
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from protocols import Secret
from protocols.identity import Identity
from secagg.errors import ConfigurationError
from secagg.storage.key_files import check_free
from secagg.storage.labelled_file import (
    DamagedKeyFile,
    check_private_folder,
    filled_folder,
    read_labelled,
    read_regular,
    write_labelled,
    write_new,
)
from secagg.storage.public_line import coordinator_line, parse_coordinator_line

IDENTITY_NAME: Final = "identity.key"
COORDINATOR_NAME: Final = "coordinator.pub"
RUN_NAME: Final = "run.id"
RUN_BYTES: Final = 16

_NODE_LABEL: Final = b"secagg node's secret identity key, file format 1\n"
_COORDINATOR_LABEL: Final = b"secagg coordinator's secret identity key, file format 1\n"
_RUN_LABEL: Final = b"secagg coordinator's run, file format 1\n"
_SECRET_BYTES: Final = 32
_MOST_BYTES: Final = 1024
_NODE_RISK: Final = "Anyone who has read it can take part as this node."
_COORDINATOR_RISK: Final = "Anyone who has read it can give orders to all nodes."


def write_node_identity(folder: Path, identity: Identity) -> None:
    """Write a node's secret identity key into a folder that has none.

    Raises:
        OSError: The file exists, or cannot be written.
    """
    write_labelled(folder / IDENTITY_NAME, _NODE_LABEL, identity.secret.reveal(), mode=0o600)


def read_node_identity(folder: Path) -> Identity:
    """Return a node's identity from its folder.

    Raises:
        KeyFileError: The file cannot be read, is damaged, is another file, or others may use it.
    """
    return _read_identity(folder / IDENTITY_NAME, _NODE_LABEL, _NODE_RISK)


def create_coordinator(folder: str | Path, *, entropy: Callable[[int], bytes] = os.urandom) -> Identity:
    """Make the folder of a coordinator: its secret identity key, its public line, and the id of its run.

    The folder is made whole or not at all. Only its owner can use it. Nothing is ever overwritten.

    Args:
        folder: A folder that is empty or does not exist. Its parents are made.
        entropy: The source of the id of the run. The key is drawn from the operating system's randomness.

    Returns:
        The coordinator's identity.

    Raises:
        KeyFileError: The folder is not free.
        OSError: The folder cannot be written to.
    """
    identity = Identity.generate()
    with filled_folder(check_free(folder, example="coordinator")) as partial:
        write_labelled(partial / IDENTITY_NAME, _COORDINATOR_LABEL, identity.secret.reveal(), mode=0o600)
        write_labelled(partial / RUN_NAME, _RUN_LABEL, entropy(RUN_BYTES), mode=0o600)
        write_new(partial / COORDINATOR_NAME, f"{coordinator_line(identity.public)}\n".encode(), mode=0o644)
    return identity


def read_coordinator(folder: str | Path) -> tuple[Identity, bytes]:
    """Return a coordinator's identity and the 16 random bytes that identify its run.

    Raises:
        ExposedKeyFile: Users other than its owner may use the folder or its secret file.
        KeyFileError: A file cannot be read, is damaged, or is another file.
    """
    folder = Path(folder)
    check_private_folder(folder)
    identity = _read_identity(folder / IDENTITY_NAME, _COORDINATOR_LABEL, _COORDINATOR_RISK)
    run = read_labelled(folder / RUN_NAME, _RUN_LABEL, most_bytes=_MOST_BYTES)
    if len(run) != RUN_BYTES:
        raise DamagedKeyFile(f"{folder / RUN_NAME}: expected {RUN_BYTES} bytes, found {len(run)}. Use an intact copy.")
    return identity, run


def read_coordinator_key(path: Path) -> bytes:
    """Return the public key of a coordinator, 32 bytes, from the file of its public line.

    Raises:
        KeyFileError: The file cannot be read, or is not such a file.
    """
    content = read_regular(path, most_bytes=_MOST_BYTES)
    try:
        return parse_coordinator_line(content.decode("ascii"))
    except UnicodeDecodeError:
        raise DamagedKeyFile(
            f"{path}: expected the public line of a coordinator, found bytes that are not ASCII text"
        ) from None
    except ConfigurationError as error:
        raise DamagedKeyFile(f"{path}: {error}") from None


def _read_identity(path: Path, label: bytes, risk: str) -> Identity:
    secret = read_labelled(path, label, most_bytes=_MOST_BYTES, risk=risk)
    if len(secret) != _SECRET_BYTES:
        raise DamagedKeyFile(f"{path}: expected a key of {_SECRET_BYTES} bytes, found {len(secret)} bytes")
    return Identity(Secret(secret))
