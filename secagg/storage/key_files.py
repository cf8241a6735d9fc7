"""The key files of a committee: one for everybody, and a secret one for each member.

Each is a line that names what it is, the bytes of `protocols.crypto.paillier.threshold`, and a SHA-256 checksum of
both: a file that was cut or altered by accident is refused, never read as another key.  The checksum is no signature:
who can write to a file can replace it, so the fingerprint of the public key is to be compared by a way that the server
does not control.  A member's file is for its owner's eyes alone from the moment that it exists, and refused once it is
not.

That last rule rests on POSIX modes and owners.  Windows has neither: there `MODES_ARE_CHECKED` is false, files get the
permissions of the folder that they are made in, and whoever makes or receives one restricts it by other means.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dp.ledger.connection import sync_names
from protocols.crypto.paillier.threshold import KeyShare, ThresholdKey
from protocols.errors import ParameterError
from secagg.errors import SecaggError

PUBLIC_NAME: Final = "committee.pub"

MODES_ARE_CHECKED: Final = hasattr(os, "geteuid")
"""Whether this system has modes and owners by which a member's file is kept for its owner alone."""

_PUBLIC_LABEL: Final = b"secagg committee's public key, file format 1\n"
_MEMBER_LABEL: Final = b"secagg committee member's secret key, file format 1\n"
_CHECKSUM_BYTES: Final = 32
_MOST_BYTES: Final = 2**19
"""More than any key takes: 64 members of 8192 bits, s = 3, have a public key of 266 kB."""


class KeyFileError(SecaggError, ValueError):
    """Key files that cannot be read or written as asked; each error names the file."""


class DamagedKeyFile(KeyFileError):
    """A file that is no key file of this kind, was cut or altered, or belongs to another committee."""


class ExposedKeyFile(KeyFileError):
    """A member's file that others than its owner may read or write; never raised where modes are not checked."""


def member_name(index: int) -> str:
    """The name of a member's file, counted from 1."""
    return f"member-{index}.key"


def write_committee(folder: str | Path, key: ThresholdKey, shares: Sequence[KeyShare]) -> None:
    """Write the public key and every member's file into a new folder, all of them or none.

    They are written into a folder beside it, which is then renamed: an error or an interruption on the way leaves
    nothing behind.  The folder is for its owner alone, and so are the members' files; nothing is ever overwritten.

    Args:
        folder: One that is empty or does not exist; its parents are made.
        key: The committee's.
        shares: Of all members, in their order.

    Raises:
        KeyFileError: The shares are not those of all members, or the folder is not free; see `check_free`.
        OSError: It cannot be written to.
    """
    if [share.index for share in shares] != list(range(1, key.members + 1)) or any(
        share.key != key for share in shares
    ):
        raise KeyFileError(f"expected the shares of all {key.members} members of this key, in their order")
    folder = check_free(folder)
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.partial")
    try:
        partial.mkdir(mode=0o700)
        for share in shares:
            _write_new(partial / member_name(share.index), _MEMBER_LABEL, share.to_bytes(), mode=0o600)
        _write_new(partial / PUBLIC_NAME, _PUBLIC_LABEL, key.to_bytes(), mode=0o644)
        sync_names(partial)
        if sys.platform == "win32" and folder.exists():
            folder.rmdir()  # A renaming never takes the place of a folder there; one that is not empty stays.
        os.rename(partial, folder)  # Over an empty folder at most: any other is refused by the operating system.
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_names(folder.parent)


def check_free(folder: str | Path) -> Path:
    """Make sure that key files can be written into a folder, before a key is generated for hours.

    Returns:
        Its absolute path.

    Raises:
        KeyFileError: It holds a committee's key or anything else, is no folder, is one that cannot be renamed, or
            cannot be made.
    """
    path = Path(os.path.abspath(folder))
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise KeyFileError(f"{folder} is no folder; name another one")
    if path.exists():
        found = sorted(entry.name for entry in path.iterdir())
        if found:
            what = "a committee's key, which is never overwritten" if _are_keys(found) else f"{found[0]!r} already"
            raise KeyFileError(f"{folder} holds {what}; name a new folder")
        if os.path.ismount(path) or path.samefile(Path.cwd()):
            raise KeyFileError(f"{folder} is in use as it is; name a new folder, such as {Path(folder) / 'committee'}")
    probe = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            probe.mkdir(mode=0o700)
        finally:
            with contextlib.suppress(FileNotFoundError):
                probe.rmdir()
    except OSError as error:
        raise KeyFileError(f"{folder} cannot be made: {error.strerror}") from None
    return path


def read_committee_key(path: str | Path) -> ThresholdKey:
    """The public key of a committee, from its file.

    Raises:
        KeyFileError: It cannot be read, is damaged, or is another file.
    """
    content = _read(Path(path), _PUBLIC_LABEL, secret=False)
    try:
        return ThresholdKey.from_bytes(content)
    except ParameterError as error:
        raise DamagedKeyFile(f"{path}: {error}") from None


def read_key_share(path: str | Path, key: ThresholdKey) -> KeyShare:
    """A member's share, from its file; whose it is, `index` says, whatever the file's name.

    Args:
        path: The member's file.
        key: The committee's, from the public file.

    Raises:
        ExposedKeyFile: Others than its owner may read or write it.
        KeyFileError: It cannot be read, is damaged, is of another committee, or is another file.
    """
    content = _read(Path(path), _MEMBER_LABEL, secret=True)
    try:
        return KeyShare.from_bytes(content, key)
    except ParameterError as error:
        raise DamagedKeyFile(f"{path}: {error}") from None


def _are_keys(names: Sequence[str]) -> bool:
    return any(name == PUBLIC_NAME or name.startswith("member-") for name in names)


def _write_new(path: Path, label: bytes, content: bytes, *, mode: int) -> None:
    # Python lets no child process inherit what it opens.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:
        file.write(label + content + hashlib.sha256(label + content).digest())
        file.flush()
        os.fsync(descriptor)


def _read(path: Path, label: bytes, *, secret: bool) -> bytes:
    """What lies between the label and the checksum of a file."""
    try:
        # A pipe at this path would otherwise keep us waiting.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{path}: expected a key file, found no file at all")
            if secret and MODES_ARE_CHECKED and status.st_mode & 0o077:
                mode = f"{status.st_mode & 0o777:04o}"
                raise ExposedKeyFile(
                    f"{path}: others than its owner may use this secret file (mode {mode}); whoever did can decrypt "
                    f"like this member; if nobody did: chmod 600 {path}"
                )
            if secret and sys.platform != "win32" and MODES_ARE_CHECKED and status.st_uid not in (0, os.geteuid()):
                raise ExposedKeyFile(f"{path}: this secret file belongs to another user, who may read or replace it")
            whole = file.read(_MOST_BYTES) if status.st_size < _MOST_BYTES else b""
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from None
    kind = label.decode().partition(",")[0]
    if not whole.startswith(label):
        raise DamagedKeyFile(f"{path}: expected a file that begins with {kind!r}, of format 1")
    signed, checksum = whole[:-_CHECKSUM_BYTES], whole[-_CHECKSUM_BYTES:]
    if hashlib.sha256(signed).digest() != checksum:
        raise DamagedKeyFile(f"{path}: the file was cut or altered; its checksum is another one")
    return signed[len(label) :]
