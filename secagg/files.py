"""Files taken whole or refused: array archives from elsewhere, and outputs that an interruption cannot halve."""

import lzma
import os
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.errors import DataError

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


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read named arrays from a `.npz` archive, without unpickling anything.

    Args:
        path: The archive.
        names: The arrays wanted; others in the archive are left alone.

    Returns:
        One array for each name, with the shape and dtype it was stored with.

    Raises:
        DataError: There is no such file, it is not a whole `.npz` archive, or an array is missing from it.
    """
    if not path.is_file():
        raise DataError(f"expected a .npz file, found nothing at {path}")
    try:
        # numpy leaves a file open that it opened itself and cannot read.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"expected a .npz archive of several arrays at {path}, found a single array")
            missing = [name for name in names if name not in archive.files]
            if missing:
                raise DataError(f"expected the arrays {', '.join(names)} in {path}, found no {', '.join(missing)}")
            return {name: archive[name] for name in names}
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(
            f"expected a whole .npz archive of plain arrays at {path}, found a damaged or foreign file "
            f"({type(error).__name__}); numpy.savez writes such archives"
        ) from error


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
