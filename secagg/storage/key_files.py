"""The key files of a committee: a public one, and a secret one for each member.

Each file holds a line that names its kind, the bytes of `protocols.crypto.paillier.threshold`, and a SHA-256 checksum
of both. A file that was truncated or altered by accident is refused, never read as another key. The checksum is not a
signature: anyone who can write to a file can replace it. So compare the fingerprint of the public key over a channel
that the server does not control.

From the moment that a member's file exists, only its owner can read it. A file that others may use is refused. This
rule relies on POSIX modes and owners. Windows has neither: there `MODES_ARE_CHECKED` is false, and files get the
permissions of the folder in which they are made. The maker and the receiver of a file must restrict it by other means.
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
"""Whether this system has the modes and owners that keep a member's file readable for its owner only."""

_PUBLIC_LABEL: Final = b"secagg committee's public key, file format 1\n"
_MEMBER_LABEL: Final = b"secagg committee member's secret key, file format 1\n"
_CHECKSUM_BYTES: Final = 32
_MOST_BYTES: Final = 2**19
"""A size above that of any key: 64 members of 8192 bits, s = 3, have a public key of 266 kB."""


class KeyFileError(SecaggError, ValueError):
    """Base class of errors about key files that cannot be read or written as asked. Each error names the file."""


class DamagedKeyFile(KeyFileError):
    """A file is not a key file of this kind, was truncated or altered, or belongs to another committee."""


class ExposedKeyFile(KeyFileError):
    """Users other than its owner may read or write a member's file. Never raised if modes are not checked."""


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
    folder = check_free(folder)
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.partial")
    try:
        partial.mkdir(mode=0o700)
        for share in shares:
            _write_new(partial / member_name(share.index), _MEMBER_LABEL, share.to_bytes(), mode=0o600)
        _write_new(partial / PUBLIC_NAME, _PUBLIC_LABEL, key.to_bytes(), mode=0o644)
        sync_names(partial)
        if sys.platform == "win32" and folder.exists():
            folder.rmdir()  # Windows never renames over a folder. A folder that is not empty stays.
        os.rename(partial, folder)  # The operating system refuses to replace a folder that is not empty.
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_names(folder.parent)


def check_free(folder: str | Path) -> Path:
    """Check that key files can be written into a folder, before hours are spent on generating a key.

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
                f"such as {Path(folder) / 'committee'}"
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
    content = _read(Path(path), _PUBLIC_LABEL, secret=False)
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
    content = _read(Path(path), _MEMBER_LABEL, secret=True)
    try:
        return KeyShare.from_bytes(content, key)
    except ParameterError as error:
        raise DamagedKeyFile(f"{path}: {error}") from None


def _are_keys(names: Sequence[str]) -> bool:
    return any(name == PUBLIC_NAME or name.startswith("member-") for name in names)


def _write_new(path: Path, label: bytes, content: bytes, *, mode: int) -> None:
    # Child processes do not inherit the files that Python opens.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:
        file.write(label + content + hashlib.sha256(label + content).digest())
        file.flush()
        os.fsync(descriptor)


def _read(path: Path, label: bytes, *, secret: bool) -> bytes:
    """Return what lies between the label and the checksum of a file."""
    try:
        # Without O_NONBLOCK, opening a pipe at this path would block.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{path}: expected a key file, found something that is not a regular file")
            if secret and MODES_ARE_CHECKED and status.st_mode & 0o077:
                mode = f"{status.st_mode & 0o777:04o}"
                raise ExposedKeyFile(
                    f"{path}: expected a secret file that only its owner may use, found mode {mode}. Anyone who has "
                    f"read it can decrypt like this member. If nobody has, run: chmod 600 {path}"
                )
            if secret and sys.platform != "win32" and MODES_ARE_CHECKED and status.st_uid not in (0, os.geteuid()):
                raise ExposedKeyFile(
                    f"{path}: expected a secret file of the current user, found one that belongs to another user, who "
                    "may read or replace it"
                )
            whole = file.read(_MOST_BYTES) if status.st_size < _MOST_BYTES else b""
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from None
    kind = label.decode().partition(",")[0]
    if not whole.startswith(label):
        raise DamagedKeyFile(f"{path}: expected a file that begins with {kind!r}, of format 1, found another beginning")
    signed, checksum = whole[:-_CHECKSUM_BYTES], whole[-_CHECKSUM_BYTES:]
    if hashlib.sha256(signed).digest() != checksum:
        raise DamagedKeyFile(
            f"{path}: the checksum does not match, so the file was truncated or altered. Use an intact copy."
        )
    return signed[len(label) :]
