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
from secagg.storage.labelled_file import KeyFileError, fill_labelled, read_labelled

_LABEL: Final = b"secagg FLARE checkpoint, file format 1\n"
_RUN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DIGEST_BYTES: Final = 32
_ATTEMPTS: Final = 3


class CheckpointFile:
    """The next work of a run, in a file of the coordinator's folder.

    Args:
        folder: The coordinator's folder.
        first: The work of the first round, which is not kept in memory. The name of its run must be 1 to 64 letters,
            digits, dots, hyphens and underscores, the first a letter or digit.

    Raises:
        ConfigurationError: The name is another text.
        CheckpointError: There is a checkpoint of that name, which is damaged, or of a run that began with another work
            and is past its first round.
        OSError: There is none, and it cannot be written.
    """

    def __init__(self, folder: str | Path, first: Work) -> None:
        if not _RUN.fullmatch(first.run):
            raise ConfigurationError(
                f"run: expected 1 to 64 letters, digits, dots, hyphens and underscores, found {shown(first.run)}"
            )
        self._path = Path(folder, f"flare-{first.run}")
        self._begun = hashlib.sha256(first.digest()).digest()
        if self._path.exists():
            begun, work = self._content()
            if begun == self._begun:
                return
            if work.round > 1:
                raise CheckpointError(
                    f"{self._path}: expected the checkpoint of a run with this model and these settings, found "
                    "another's. Give the run another name, which no run has had."
                )
        self.write(first)

    def read(self) -> Work:
        """Return the work to go on with.

        Raises:
            CheckpointError: The checkpoint is damaged.
        """
        return self._content()[1]

    def write(self, work: Work) -> None:
        """Write the work to go on with, on the disk before this returns."""
        content = self._begun, *work.pieces()
        write_whole(self._path, lambda path: fill_labelled(path, _LABEL, content), mode=0o600)

    def _content(self) -> tuple[bytes, Work]:
        """Return what stands for the first work, and the work to go on with."""
        try:
            content = read_labelled(self._path, _LABEL, most_bytes=self._path.stat().st_size + 1)
            return content[:_DIGEST_BYTES], Work.from_bytes(memoryview(content)[_DIGEST_BYTES:])
        except (KeyFileError, MalformedMessage) as error:
            raise CheckpointError(f"{self._path}: expected a checkpoint, found: {error}") from None


def run_rounds(
    rounds: int,
    *,
    checkpoint: CheckpointFile,
    mean_of: Callable[[Work], Sequence[NDArray[Any]]],
    forget: Callable[[int], None],
    may_try_again: Callable[[Exception], bool],
) -> Work:
    """Run all rounds that are left, and return the work that would be next, whose arrays are the model.

    Args:
        rounds: The number of the last round.
        checkpoint: Where the run is kept.
        mean_of: Returns the mean update of a work, the same one for the same work.
        forget: Called with the number of each round that the checkpoint is past.
        may_try_again: Returns whether a round that has failed may begin again at once. It does so twice.
    """
    work = checkpoint.read()
    while work.round <= rounds:
        work = _moved(work, _tried(mean_of, work, may_try_again))
        checkpoint.write(work)
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
