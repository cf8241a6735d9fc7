"""The weights after every round of a run, one file a round in its folder, for an audit of the finished run.

`weights/0000.npz` has the weights that the run began with, and `weights/0007.npz` those after round 7. A round that
released nothing has a file too, equal to the one before it, so that a missing file is never a question of what the
round did. The server's velocity and the clip are not kept: the first follows from the weights, and the second is in
the metrics.

A round's file is written before its line of the metrics and before its checkpoint. So an interruption leaves at most
one file too many, and resuming removes it.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from secagg.arrays import Arrays
from secagg.errors import DataError
from secagg.files import read_arrays, write_whole

WEIGHTS: Final = "weights"
"""The name of the folder, within that of the run."""

_NUMBER: Final = "([0-9]{4}|[1-9][0-9]{4,9})"
_FILE: Final = re.compile(rf"{_NUMBER}\.npz")
_PARTIAL: Final = re.compile(rf"\.{_NUMBER}\.[0-9]+\.partial\.npz")


def path_of(folder: Path, number: int) -> Path:
    """Return the file with the weights after a round; round 0 is the start."""
    return folder / WEIGHTS / f"{number:04d}.npz"


def keep_weights(folder: Path, number: int, weights: Sequence[NDArray[Any]]) -> None:
    """Write the weights after a round.

    Args:
        folder: The run's folder.
        number: The number of the round; 0 for the weights that the run begins with.
        weights: All arrays of the global model.

    Raises:
        OSError: The file cannot be written.
    """
    path = path_of(folder, number)
    path.parent.mkdir(exist_ok=True)
    arrays = {f"weights_{index}": np.asarray(array) for index, array in enumerate(weights)}
    write_whole(path, lambda partial: np.savez(partial, **arrays))


def read_weights(folder: Path, number: int, shapes: Sequence[tuple[int, ...]]) -> Arrays:
    """Return the weights after a round.

    Args:
        folder: The run's folder.
        number: The number of the round.
        shapes: The shapes of all arrays of the model.

    Raises:
        DataError: The file is missing or damaged, or holds other arrays than those of such a model.
    """
    path, names = path_of(folder, number), [f"weights_{index}" for index in range(len(shapes))]
    found = read_arrays(path, names, largest=max(map(bytes_of, shapes), default=0))
    arrays = [found[name] for name in names]
    if any(
        array.shape != tuple(shape) or array.dtype != np.float64 for array, shape in zip(arrays, shapes, strict=True)
    ):
        raise DataError(f"{path}: expected the weights of this run's model, found other arrays.")
    return arrays


def bytes_of(shape: tuple[int, ...]) -> int:
    """Return the number of bytes of an array of 64-bit numbers."""
    return math.prod(shape) * np.dtype(np.float64).itemsize


def kept_rounds(folder: Path) -> tuple[int, ...]:
    """Return the rounds whose weights are kept, ascending; 0 is the start."""
    found = (_FILE.fullmatch(path.name) for path in _entries(folder))
    return tuple(sorted(int(match[1]) for match in found if match))


def foreign_entry(folder: Path) -> str | None:
    """Return the name of something in a run's folder of weights that no run has put there; None if there is nothing."""
    path = folder / WEIGHTS
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        return WEIGHTS
    return next((f"{WEIGHTS}/{entry.name}" for entry in sorted(_entries(folder)) if not _is_ours(entry)), None)


def remove_weights(folder: Path, *, after: int = -1) -> None:
    """Remove the weights of all rounds after this one, and what an interruption has left; anything else stays."""
    path = folder / WEIGHTS
    if path.is_symlink() or not path.is_dir():
        return
    for entry in list(_entries(folder)):
        match = _FILE.fullmatch(entry.name)
        if _is_ours(entry) and (match is None or int(match[1]) > after):
            entry.unlink()
    if not any(path.iterdir()):
        path.rmdir()


def _entries(folder: Path) -> list[Path]:
    path = folder / WEIGHTS
    return list(path.iterdir()) if path.is_dir() and not path.is_symlink() else []


def _is_ours(entry: Path) -> bool:
    known = _FILE.fullmatch(entry.name) or _PARTIAL.fullmatch(entry.name)
    return known is not None and (entry.is_symlink() or not entry.is_dir())
