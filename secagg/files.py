"""Reads of foreign array archives, complete or not at all, and writes that an interruption cannot leave half done."""

import lzma
import math
import os
import sys
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from dp.ledger.connection import sync_names
from secagg.errors import DataError
from secagg.interruption import HeldInterrupts

_PICKLE: Final = b"\x80"
_SHOWN_NAMES: Final = 8
_MOST_RATIO: Final = 1032
"""By how much deflate shortens at most: 258 bytes become 2 bits (RFC 1951)."""

# The errors that numpy's reader and its zip, zlib, lzma and header parsers raise on damaged or hostile archives.
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
    path: Path,
    names: Sequence[str] | None,
    *,
    canonical: Callable[[str], str] = lambda name: name,
    largest: int | None = None,
) -> dict[str, NDArray[Any]]:
    """Read named arrays from a `.npz` archive, without unpickling anything.

    Args:
        path: The archive.
        names: The names of the arrays to read. Other arrays in the archive are ignored. None reads all, in their order.
        canonical: Maps a name in the archive to the one of `names` that it stands for.
        largest: The largest number of bytes that an array may have, if the reader knows it. A larger array is refused
            before any of it is read: an archive may be a thousand times smaller than what it unpacks to.

    Returns:
        One array for each name, with the shape and dtype with which it was stored.

    Raises:
        DataError: There is no such file, it is not a complete `.npz` archive, or an array is missing from it, occurs
            twice, is too large or holds Python objects.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise DataError(f"expected a .npz file, found {found} at {path}. Check the path.")
    try:
        # If numpy opens a file itself and cannot read it, numpy leaves the file open.
        with path.open("rb") as file:
            _check_start(path, file)
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, NpzFile):
                raise DataError(f"expected a .npz archive of several arrays at {path}, found a single array")
            wanted = tuple(dict.fromkeys(archive.files)) if names is None else names
            stored = _stored(path, archive, wanted, canonical)
            return {name: _plain(path, archive, stored[name], largest) for name in wanted}
    except DataError:
        raise
    except PermissionError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except _DAMAGED as error:
        raise DataError(
            f"expected a complete .npz archive of plain arrays at {path}, found a damaged or foreign file "
            f"({type(error).__name__}). Write the archive with numpy.savez."
        ) from error


def _check_start(path: Path, file: IO[bytes]) -> None:
    start = file.read(1)
    file.seek(0)
    if start in (b"", _PICKLE):
        found = "a pickle, which could run code and is never read" if start else "an empty file"
        raise DataError(f"expected a .npz archive at {path}, found {found}. Write the archive with numpy.savez.")


def _stored(path: Path, archive: NpzFile, names: Sequence[str], canonical: Callable[[str], str]) -> dict[str, str]:
    """Return the archive's own name of each array to read."""
    stored: dict[str, list[str]] = {name: [] for name in names}
    for name in dict.fromkeys(archive.files):
        stored.get(canonical(name), []).append(name)
    missing = [name for name in names if not stored[name]]
    if missing:
        held = ", ".join(map(repr, archive.files[:_SHOWN_NAMES])) or "no arrays"
        more = ", ..." if len(archive.files) > _SHOWN_NAMES else ""
        raise DataError(
            f"expected the arrays {', '.join(names)} in {path}, found no {', '.join(missing)}. It holds {held}{more}."
        )
    for name, found in stored.items():
        if len(found) > 1:
            raise DataError(
                f"expected one array {name} in {path}, found {' and '.join(found)}, which mean the same. Remove one."
            )
    return {name: found[0] for name, found in stored.items()}


def _plain(path: Path, archive: NpzFile, name: str, largest: int | None) -> NDArray[Any]:
    member = name if name in archive.zip.namelist() else f"{name}.npy"
    shape, dtype = _header(archive, member)
    if dtype.hasobject:
        raise DataError(
            f"expected numbers in the array {name!r} of {path}, found Python objects, for example rows of different "
            "lengths. Give all rows one length and save an array of numbers."
        )
    # numpy makes room for the array that a header announces before it reads any of it.
    announced, stored = math.prod(shape) * dtype.itemsize, archive.zip.getinfo(member)
    most = min(stored.file_size, _MOST_RATIO * min(stored.compress_size, path.stat().st_size))
    if min(shape, default=0) < 0 or announced > most:
        raise DataError(
            f"expected {announced} bytes in the array {name!r} of {path}, as its header says, found at most {most}. "
            "Write the archive with numpy.savez."
        )
    if largest is not None and announced > largest:
        raise DataError(f"expected at most {largest} bytes in the array {name!r} of {path}, found {announced}.")
    found: NDArray[Any] = archive[name]
    if dtype.kind == "U" and not _is_text(found):
        raise DataError(f"expected text in the array {name!r} of {path}, found numbers that are no characters.")
    return found


def _header(archive: NpzFile, member: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and the type of an array, from its header.

    Raises:
        ValueError: It has no header of a plain array.
    """
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with archive.zip.open(member) as file:
        magic: Callable[[object], tuple[int, int]] = np.lib.format.read_magic
        read: Callable[[object], tuple[Any, ...]] | None = headers.get(magic(file))
        if read is None:  # Version 3 is for arrays with named fields alone.
            raise ValueError("another format")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                shape, _, dtype = read(file)
            except Warning:  # NumPy warns of types that later versions read in another way.
                raise ValueError("a header that is read in two ways") from None
    return shape, dtype


def _is_text(array: NDArray[Any]) -> bool:
    """Return whether all characters of an array of text are Unicode, as numpy does not check."""
    if not array.size or not array.dtype.itemsize:
        return True
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    points = native.reshape(-1).view(np.uint32)
    return int(points.max()) <= sys.maxunicode


def write_whole(path: Path, write: Callable[[Path], object], *, mode: int | None = None) -> None:
    """Let `write` fill a file beside `path`, then move it to `path` in one step.

    After an error or a power cut on the way, `path` is as it was before. An interruption takes effect after the move.

    Args:
        path: The path of the finished file. Its directory must exist.
        write: A callable that fills a file. It gets a temporary path in the same directory, with the same suffix.
        mode: The mode of the file from its first byte on; None for that of a new file.

    Raises:
        OSError: The file cannot be written there.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    partial.unlink(missing_ok=True)  # A killed process of the same number may have left one.
    with HeldInterrupts():
        try:
            if mode is not None:
                os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
            write(partial)
            with partial.open("rb+") as file:  # Windows syncs only a file that is open for writing.
                os.fsync(file.fileno())
            os.replace(partial, path)
            sync_names(path.parent)
        finally:
            partial.unlink(missing_ok=True)
