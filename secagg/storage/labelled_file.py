"""Small files with a label and a checksum, and folders that are written whole.

A labelled file holds a line that names its kind, its content, and a SHA-256 checksum of both. A file that was truncated
or altered by accident is refused, never read as another one. The checksum is not a signature: anyone who can write to
a file can replace it.

A secret file can be used by its owner only, from the moment that it exists. A secret file that others may use is
refused. This rule relies on POSIX modes and owners. Windows has neither: there `MODES_ARE_CHECKED` is false, and files
get the permissions of the folder in which they are made. The maker and the receiver of a file must restrict it by other
means.
"""

import contextlib
import hashlib
import itertools
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from dp.ledger.connection import sync_names
from secagg.errors import SecaggError

MODES_ARE_CHECKED: Final = hasattr(os, "geteuid")
"""Whether this system has the modes and owners that keep a secret file readable for its owner only."""

_CHECKSUM_BYTES: Final = 32


class KeyFileError(SecaggError, ValueError):
    """Base class of errors about key files that cannot be read or written as asked. Each error names the file."""


class DamagedKeyFile(KeyFileError):
    """A file is not a key file of this kind, was truncated or altered, or belongs to another key."""


class ExposedKeyFile(KeyFileError):
    """Users other than its owner may read or write a secret file. Never raised if modes are not checked."""


@contextlib.contextmanager
def filled_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder that is renamed to `folder` at the end of the `with` block, whole or not at all.

    An error or an interruption on the way leaves nothing behind. Only its owner can use the folder. Nothing is ever
    overwritten.

    Args:
        folder: The absolute path of a folder that is empty or does not exist. Its parent exists.

    Raises:
        OSError: The folder cannot be written to, or is not empty.
    """
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.partial")
    try:
        partial.mkdir(mode=0o700)
        yield partial
        sync_names(partial)
        if sys.platform == "win32" and folder.exists():
            folder.rmdir()  # Windows never renames over a folder. A folder that is not empty stays.
        os.rename(partial, folder)  # The operating system refuses to replace a folder that is not empty.
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_names(folder.parent)


def write_new(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file that must not exist yet; its content is on the disk when this returns.

    Raises:
        OSError: The file exists, or cannot be written.
    """
    # Child processes do not inherit the files that Python opens.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def write_labelled(path: Path, label: bytes, content: bytes, *, mode: int) -> None:
    """Write a labelled file that must not exist yet; see `write_new`."""
    write_new(path, b"".join(_labelled(label, [content])), mode=mode)


def fill_labelled(path: Path, label: bytes, content: Iterable[bytes | memoryview]) -> None:
    """Write a labelled file in the place of what is there, from pieces of its content, of which none is copied.

    Raises:
        OSError: The file cannot be written.
    """
    with path.open("wb") as file:
        file.writelines(_labelled(label, content))


def _labelled(label: bytes, content: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a labelled file in pieces."""
    checksum = hashlib.sha256()
    for piece in itertools.chain([label], content):
        checksum.update(piece)
        yield piece
    yield checksum.digest()


def read_labelled(path: Path, label: bytes, *, most_bytes: int, risk: str | None = None) -> bytes:
    """Return what lies between the label and the checksum of a file.

    Args:
        path: The file.
        label: The line with which a file of this kind begins.
        most_bytes: Files of this size and above are refused.
        risk: What anyone can do who has read the file, as a sentence; None if it is public.

    Raises:
        ExposedKeyFile: The file is secret, and users other than its owner may read or write it.
        KeyFileError: The file cannot be read, is damaged, or is another file.
    """
    whole = read_regular(path, most_bytes=most_bytes, risk=risk)
    kind = label.decode().partition(",")[0]
    if not whole.startswith(label):
        raise DamagedKeyFile(
            f"{path}: expected a file that begins with {kind!r}, of format 1, found another beginning. Use the "
            "right file."
        )
    if hashlib.sha256(memoryview(whole)[:-_CHECKSUM_BYTES]).digest() != whole[-_CHECKSUM_BYTES:]:
        raise DamagedKeyFile(
            f"{path}: the checksum does not match, so the file was truncated or altered. Use an intact copy."
        )
    return whole[len(label) : -_CHECKSUM_BYTES]


def read_regular(path: Path, *, most_bytes: int, risk: str | None = None) -> bytes:
    """Return the content of a regular file; nothing if it has `most_bytes` or more.

    Args:
        path: The file.
        most_bytes: See above; this is also the most that is read.
        risk: As for `read_labelled`.

    Raises:
        ExposedKeyFile: As for `read_labelled`.
        KeyFileError: The file cannot be read, or is no regular file.
    """
    try:
        # Without O_NONBLOCK, opening a pipe at this path would block.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{path}: expected a key file, found something that is not a regular file")
            if risk is not None:
                _check_private(path, status, risk)
            return file.read(status.st_size + 1) if status.st_size < most_bytes else b""
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}. Check the path and its rights.") from None


def check_private_folder(path: Path) -> None:
    """Check that a folder exists, is no link, belongs to the current user, and that nobody else may use it.

    Raises:
        ExposedKeyFile: It belongs to another user, or others may use it.
        KeyFileError: It is not a folder, or cannot be looked at.
    """
    try:
        status = os.lstat(path)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}. Check the path and its rights.") from None
    if not stat.S_ISDIR(status.st_mode):
        raise KeyFileError(f"{path}: expected a folder, found something else. Name another folder.")
    if sys.platform != "win32" and MODES_ARE_CHECKED:
        if status.st_uid != os.geteuid():
            raise ExposedKeyFile(
                f"{path}: expected a folder of the current user, found one that belongs to another user, who may read "
                "or replace what is in it. Name another folder."
            )
        if status.st_mode & 0o077:
            mode = f"{status.st_mode & 0o777:04o}"
            raise ExposedKeyFile(
                f"{path}: expected a folder that only its owner may use, found mode {mode}. If nobody else has used "
                f"it, run: chmod 700 {path}"
            )


def make_private_folder(path: Path) -> None:
    """Make a folder and its missing parents for their owner only, and check it as `check_private_path` does.

    Raises:
        KeyFileError: As from `check_private_path`.
        OSError: It cannot be made.
    """
    for missing in reversed([each for each in (path, *path.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    check_private_path(path)


def check_private_path(path: Path) -> None:
    """Check a folder as `check_private_folder` does, and that no other user can put another one in its place.

    So every folder above it, and every link that leads to it, belongs to the current user or to root. Other users may
    write to a folder above it only if it has the sticky bit, with which they can rename only what is theirs.

    Args:
        path: The absolute path of the folder.

    Raises:
        ExposedKeyFile: It belongs to another user, others may use it, or others may replace it.
        KeyFileError: It is not a folder, or cannot be looked at.
    """
    check_private_folder(path)
    if sys.platform == "win32" or not MODES_ARE_CHECKED:
        return
    for above, status in _above(path):
        if status.st_uid not in (0, os.geteuid()):
            raise ExposedKeyFile(
                f"{above}: expected a folder of the current user or of root, found one of another user, who may "
                f"replace {path}. Name another folder."
            )
        if stat.S_ISDIR(status.st_mode) and status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
            raise ExposedKeyFile(
                f"{above}: expected a folder in which other users cannot rename anything, found mode "
                f"{status.st_mode & 0o7777:04o}. They may replace {path}. Name another folder, or run: "
                f"chmod go-w {above}"
            )


def _above(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield every folder above a path and every link on the way to it, each once."""
    seen, waiting = set[Path](), [*path.parents]
    while waiting:
        above = waiting.pop()
        if above in seen:
            continue
        seen.add(above)
        try:
            status = os.lstat(above)
            if stat.S_ISLNK(status.st_mode):
                target = above.parent / os.readlink(above)
                waiting += (target, *target.parents)
        except OSError as error:
            raise KeyFileError(f"{above}: cannot be read: {error.strerror}. Check the path and its rights.") from None
        yield above, status


def _check_private(path: Path, status: os.stat_result, risk: str) -> None:
    if MODES_ARE_CHECKED and status.st_mode & 0o077:
        mode = f"{status.st_mode & 0o777:04o}"
        raise ExposedKeyFile(
            f"{path}: expected a secret file that only its owner may use, found mode {mode}. {risk} If nobody has, "
            f"run: chmod 600 {path}"
        )
    if sys.platform != "win32" and MODES_ARE_CHECKED and status.st_uid not in (0, os.geteuid()):
        raise ExposedKeyFile(
            f"{path}: expected a secret file of the current user, found one that belongs to another user, who may read "
            "or replace it"
        )
