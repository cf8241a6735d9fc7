"""Files taken whole or refused: array archives from elsewhere, and outputs that an interruption cannot halve."""

import lzma
import os
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from secagg.errors import DataError

_PICKLE: Final = b"\x80"
_SHOWN_NAMES: Final = 8

# What numpy's reader and the zip, zlib, lzma and header parsers below it raise on damaged or hostile archives.
_DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    SyntaxError,
    RuntimeError,
    MemoryError,
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tokenize.TokenError,
)


def read_arrays(
    path: Path, names: Sequence[str], *, canonical: Callable[[str], str] = lambda name: name
) -> dict[str, NDArray[Any]]:
    """Read named arrays from a `.npz` archive, without unpickling anything.

    Args:
        path: The archive.
        names: The arrays wanted; others in the archive are left alone.
        canonical: The name out of `names` that a name in the archive stands for.

    Returns:
        One array for each name, with the shape and dtype it was stored with.

    Raises:
        DataError: There is no such file, it is not a whole `.npz` archive, or an array is missing from it, is there
            twice or holds Python objects.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise DataError(f"expected a .npz file, found {found} at {path}")
    try:
        # numpy leaves a file open that it opened itself and cannot read.
        with path.open("rb") as file:
            _check_start(path, file)
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, NpzFile):
                raise DataError(f"expected a .npz archive of several arrays at {path}, found a single array")
            stored = _stored(path, archive, names, canonical)
            return {name: _plain(path, archive, stored[name]) for name in names}
    except DataError:
        raise
    except PermissionError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except _DAMAGED as error:
        raise DataError(
            f"expected a whole .npz archive of plain arrays at {path}, found a damaged or foreign file "
            f"({type(error).__name__}); numpy.savez writes such archives"
        ) from error


def _check_start(path: Path, file: IO[bytes]) -> None:
    start = file.read(1)
    file.seek(0)
    if start in (b"", _PICKLE):
        found = "a pickle, which could run code and is never read" if start else "an empty file"
        raise DataError(f"expected a .npz archive at {path}, found {found}; numpy.savez writes such archives")


def _stored(path: Path, archive: NpzFile, names: Sequence[str], canonical: Callable[[str], str]) -> dict[str, str]:
    """The archive's own name of each array that is wanted."""
    stored: dict[str, list[str]] = {name: [] for name in names}
    for name in dict.fromkeys(archive.files):
        stored.get(canonical(name), []).append(name)
    missing = [name for name in names if not stored[name]]
    if missing:
        held = ", ".join(map(repr, archive.files[:_SHOWN_NAMES])) or "no arrays"
        more = ", ..." if len(archive.files) > _SHOWN_NAMES else ""
        raise DataError(
            f"expected the arrays {', '.join(names)} in {path}, found no {', '.join(missing)}; it holds {held}{more}"
        )
    for name, found in stored.items():
        if len(found) > 1:
            raise DataError(f"expected one array {name} in {path}, found {' and '.join(found)}, which mean the same")
    return {name: found[0] for name, found in stored.items()}


def _plain(path: Path, archive: NpzFile, name: str) -> NDArray[Any]:
    if _holds_objects(archive, name):
        raise DataError(
            f"expected numbers in the array {name!r} of {path}, found Python objects, as where rows differ in length. "
            "Give all rows one length and save an array of numbers."
        )
    found: NDArray[Any] = archive[name]
    return found


def _holds_objects(archive: NpzFile, name: str) -> bool:
    """Whether an array's header says so, as far as it can be read; what is damaged is found out by reading it all."""
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with archive.zip.open(f"{name}.npy") as member:
            magic: Callable[[object], tuple[int, int]] = np.lib.format.read_magic
            read: Callable[[object], tuple[Any, ...]] | None = headers.get(magic(member))
            return read is not None and bool(read(member)[2].hasobject)
    except _DAMAGED:
        return False


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, then put it in place in one step.

    An error, a Ctrl-C or a power cut on the way leaves whatever was at `path` before.

    Args:
        path: Where the finished file belongs; its directory exists.
        write: Called with a temporary path in the same directory and with the same suffix.

    Raises:
        OSError: The file cannot be written there.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    partial.unlink(missing_ok=True)  # Of a process that was killed and had the same number.
    try:
        write(partial)
        with partial.open("rb+") as file:  # Windows brings only a file that is open for writing to the disk.
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
