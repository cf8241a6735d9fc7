"""The key files of a committee: a public one, and a secret one for each member.

Each file holds a line that names its kind, the bytes of `protocols.crypto.paillier.threshold`, and a SHA-256 checksum
of both (`secagg.storage.labelled_file`). So compare the fingerprint of the public key over a channel that the server
does not control.

From the moment that a member's file exists, only its owner can read it. A file that others may use is refused.
"""

import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from protocols.crypto.paillier.threshold import KeyShare, ThresholdKey
from protocols.errors import ParameterError
from secagg.storage.labelled_file import (
    MODES_ARE_CHECKED,
    DamagedKeyFile,
    ExposedKeyFile,
    KeyFileError,
    filled_folder,
    read_labelled,
    write_labelled,
)

__all__ = [
    "MODES_ARE_CHECKED",
    "PUBLIC_NAME",
    "DamagedKeyFile",
    "ExposedKeyFile",
    "KeyFileError",
    "check_free",
    "member_name",
    "read_committee_key",
    "read_key_share",
    "write_committee",
]

PUBLIC_NAME: Final = "committee.pub"

_PUBLIC_LABEL: Final = b"secagg committee's public key, file format 1\n"
_MEMBER_LABEL: Final = b"secagg committee member's secret key, file format 1\n"
_MOST_BYTES: Final = 2**19
"""A size above that of any key: 64 members of 8192 bits, s = 3, have a public key of 266 kB."""
_RISK: Final = "Anyone who has read it can decrypt like this member."


def member_name(index: int) -> str:
    """Return the name of a member's file. Members are counted from 1."""
    return f"member-{index}.key"


def write_committee(folder: str | Path, key: ThresholdKey, shares: Sequence[KeyShare]) -> None:
    """Write the public key and every member's file into a new folder, all of them or none.

    The files are written into a folder beside it, which is then renamed. An error or an interruption on the way leaves
    nothing behind. Only its owner can use the folder and the members' files. Nothing is ever overwritten.

    Args:
        folder: A folder that is empty or does not exist. Its parents are made.
        key: The committee's public key.
        shares: The key shares of all members, in the order of the members.

    Raises:
        KeyFileError: The key shares are not those of all members, or the folder is not free; see `check_free`.
        OSError: The folder cannot be written to.
    """
    if [share.index for share in shares] != list(range(1, key.members + 1)) or any(
        share.key != key for share in shares
    ):
        raise KeyFileError(
            f"shares: expected the key shares of all {key.members} members of this key, in order, found others"
        )
    with filled_folder(check_free(folder)) as partial:
        for share in shares:
            write_labelled(partial / member_name(share.index), _MEMBER_LABEL, share.to_bytes(), mode=0o600)
        write_labelled(partial / PUBLIC_NAME, _PUBLIC_LABEL, key.to_bytes(), mode=0o644)


def check_free(folder: str | Path, *, example: str = "committee") -> Path:
    """Check that key files can be written into a folder, before hours are spent on generating a key.

    Args:
        folder: The folder.
        example: The name of a folder inside it that an error may suggest.

    Returns:
        The absolute path of the folder.

    Raises:
        KeyFileError: The folder holds a committee's key or anything else, is not a folder, cannot be renamed, or cannot
            be made.
    """
    path = Path(os.path.abspath(folder))
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise KeyFileError(f"{folder}: expected a new or empty folder, found a link or a file. Name another folder.")
    if path.exists():
        found = sorted(entry.name for entry in path.iterdir())
        if found:
            what = "a committee's key, which is never overwritten" if _are_keys(found) else f"{found[0]!r} in it"
            raise KeyFileError(f"{folder}: expected a new or empty folder, found {what}. Name a new folder.")
        if os.path.ismount(path) or path.samefile(Path.cwd()):
            raise KeyFileError(
                f"{folder}: expected a folder that can be replaced, found one that is in use. Name a new folder, "
                f"such as {Path(folder) / example}"
            )
    probe = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            probe.mkdir(mode=0o700)
        finally:
            with contextlib.suppress(FileNotFoundError):
                probe.rmdir()
    except OSError as error:
        raise KeyFileError(f"{folder} cannot be made: {error.strerror}. Name another folder.") from None
    return path


def read_committee_key(path: str | Path) -> ThresholdKey:
    """Return the public key of a committee from its file.

    Raises:
        KeyFileError: The file cannot be read, is damaged, or is another file.
    """
    content = read_labelled(Path(path), _PUBLIC_LABEL, most_bytes=_MOST_BYTES)
    try:
        return ThresholdKey.from_bytes(content)
    except ParameterError as error:
        raise DamagedKeyFile(f"{path}: {error}") from None


def read_key_share(path: str | Path, key: ThresholdKey) -> KeyShare:
    """Return a member's key share from its file. `index` says whose it is, not the file's name.

    Args:
        path: The member's file.
        key: The committee's public key, from the public file.

    Raises:
        ExposedKeyFile: Users other than its owner may read or write the file.
        KeyFileError: The file cannot be read, is damaged, belongs to another committee, or is another file.
    """
    content = read_labelled(Path(path), _MEMBER_LABEL, most_bytes=_MOST_BYTES, risk=_RISK)
    try:
        return KeyShare.from_bytes(content, key)
    except ParameterError as error:
        raise DamagedKeyFile(f"{path}: {error}") from None


def _are_keys(names: Sequence[str]) -> bool:
    return any(name == PUBLIC_NAME or name.startswith("member-") for name in names)
