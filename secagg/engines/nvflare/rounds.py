"""All rounds of a job, with a checkpoint after each: a job that is submitted again goes on where the last one ended.

The checkpoint is the work of the next round. A coordinator returns the release that it has kept for a work, so a crash
between a release and its checkpoint moves the model once, not twice.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocols.errors import MalformedMessage
from secagg.checks import shown
from secagg.engines.wire.work import Work
from secagg.errors import CheckpointError, ConfigurationError
from secagg.files import write_whole
from secagg.logger import LOGGER
from secagg.storage.labelled_file import KeyFileError, labelled, read_labelled

_LABEL: Final = b"secagg FLARE checkpoint, file format 1\n"
_RUN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DIGEST_BYTES: Final = 32
_ATTEMPTS: Final = 3


class CheckpointFile:
    """The next work of a run, in a file of the coordinator's folder.

    Args:
        folder: The coordinator's folder.
        run: The name of the run: 1 to 64 letters, digits, dots, hyphens and underscores, the first a letter or digit.

    Raises:
        ConfigurationError: The name is another text.
    """

    def __init__(self, folder: str | Path, run: str) -> None:
        if not _RUN.fullmatch(run):
            raise ConfigurationError(
                f"run: expected 1 to 64 letters, digits, dots, hyphens and underscores, found {shown(run)}"
            )
        self._path = Path(folder, f"flare-{run}")

    def read(self, first: Work) -> Work:
        """Return the work to go on with: `first` if there is no checkpoint yet.

        Raises:
            CheckpointError: The checkpoint is damaged, or of a run that began with another work.
        """
        if not self._path.exists():
            return first
        try:
            content = read_labelled(self._path, _LABEL, most_bytes=self._path.stat().st_size + 1)
            begun, work = content[:_DIGEST_BYTES], Work.from_bytes(content[_DIGEST_BYTES:])
        except (KeyFileError, MalformedMessage) as error:
            raise CheckpointError(f"{self._path}: expected a checkpoint, found: {error}") from None
        if begun != _identity(first):
            raise CheckpointError(
                f"{self._path}: expected the checkpoint of a run with this model and these settings, found another's. "
                "Give the run another name, which no run has had."
            )
        return work

    def write(self, first: Work, work: Work) -> None:
        """Write the work to go on with, on the disk before this returns."""
        content = labelled(_LABEL, _identity(first) + work.to_bytes())
        write_whole(self._path, lambda path: path.write_bytes(content), mode=0o600)


def run_rounds(
    first: Work,
    rounds: int,
    *,
    checkpoint: CheckpointFile,
    mean_of: Callable[[Work], Sequence[NDArray[Any]]],
    forget: Callable[[int], None],
    may_try_again: Callable[[Exception], bool],
) -> Work:
    """Run all rounds that are left, and return the work that would be next, whose arrays are the model.

    Args:
        first: The work of the first round.
        rounds: The number of the last round.
        checkpoint: Where the run is kept.
        mean_of: Returns the mean update of a work, the same one for the same work.
        forget: Called with the number of each round that the checkpoint is past.
        may_try_again: Returns whether a round that has failed may begin again at once. It does so twice.
    """
    work = checkpoint.read(first)
    while work.round <= rounds:
        work = _moved(work, _tried(mean_of, work, may_try_again))
        checkpoint.write(first, work)
        forget(work.round - 1)
    return work


def _tried(
    mean_of: Callable[[Work], Sequence[NDArray[Any]]], work: Work, may_try_again: Callable[[Exception], bool]
) -> Sequence[NDArray[Any]]:
    left = _ATTEMPTS
    while True:
        left -= 1
        try:
            return mean_of(work)
        except Exception as error:
            if not left or not may_try_again(error):
                raise
            LOGGER.warning("round %d begins again: %s", work.round, error)


def _moved(work: Work, mean: Sequence[NDArray[Any]]) -> Work:
    arrays = {
        name: np.asarray(array + update, dtype=array.dtype)
        for name, array, update in zip(work.names, work.arrays, mean, strict=True)
    }
    return Work(work.run, work.round + 1, arrays, work.settings, clip=work.clip, parts=work.parts)


def _identity(first: Work) -> bytes:
    return hashlib.sha256(first.digest()).digest()
