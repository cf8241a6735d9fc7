"""Long vectors in files: an input that is read piece by piece, and a sum that is added up in a file.

Both hold little-endian words of the smallest unsigned type for the session's modulus, one for each entry, and nothing
else. NumPy reads them with `np.fromfile` or `np.memmap`.
"""

import mmap
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from protocols.crypto.keystream import Words, word_dtype
from protocols.pieces import VectorReader
from protocols.session import Session
from secagg.errors import VectorFileError


class VectorFile(VectorReader):
    """A vector in a file, which is opened for each piece, and must stay the same file as long as it is in use.

    Args:
        path: The file.
        modulus: The modulus of the session, which decides the type of the words.

    Raises:
        VectorFileError: There is no such file, or it does not consist of such words.
    """

    def __init__(self, path: Path, *, modulus: int) -> None:
        self._path, self._word = path, word_dtype(modulus)
        try:
            self._state = _state(path.stat())
        except OSError as error:
            raise VectorFileError(f"vector: expected a file at {path}, found none: {error.strerror}.") from None
        size = self._state[-1]
        if not size or size % self._word.itemsize:
            raise VectorFileError(
                f"vector: expected words of {self._word.itemsize} bytes in {path}, found {size} bytes. Write it with "
                f"`array.astype({self._word.str!r}).tofile(path)`."
            )
        self.length = size // self._word.itemsize

    def read(self, start: int, size: int) -> Words:
        """See `VectorReader.read`.

        Raises:
            VectorFileError: The file is no longer the one that it was.
        """
        words = np.empty(size, dtype=self._word)
        try:
            with self._path.open("rb", buffering=0) as file:
                file.seek(start * self._word.itemsize)
                found = file.readinto(words.view(np.uint8).data)
                state = _state(os.fstat(file.fileno()))
        except OSError as error:
            raise VectorFileError(f"vector: expected the file {self._path}, found none: {error.strerror}.") from None
        if found != words.nbytes or state != self._state:
            raise VectorFileError(
                f"vector: expected the file {self._path} to stay as it was, found a change. Begin a new session."
            )
        return words


def _state(found: os.stat_result) -> tuple[int, int, int, int]:
    """Return what tells a file from another one, and from itself after a change; the size comes last."""
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


class SumFile:
    """A sum in a file, which has its name only once it is complete; close it after use.

    Give `array` to a `Server` as its `total`, and call `complete` after the server has returned its `Finish`. Until
    then, the file's name ends in `.part`. A process that stops in the middle leaves that file, and the next one begins
    it anew.

    Args:
        path: The file, which must not exist.
        session: The session.

    Raises:
        VectorFileError: There is something at the path, or the file cannot be made.

    Attributes:
        array: Zeros of shape `(length,)`, in the file.
    """

    def __init__(self, path: Path, session: Session) -> None:
        word = word_dtype(session.modulus)
        self._path, self._part = path, path.with_name(f"{path.name}.part")
        self._check_free()
        try:
            with self._part.open("w+b") as file:
                file.truncate(session.length * word.itemsize)
                self._map = mmap.mmap(file.fileno(), session.length * word.itemsize)
        except OSError as error:
            raise VectorFileError(
                f"sum: expected a file that can be made at {self._part}, found: {error.strerror}. Use another folder."
            ) from None
        self.array: Words = np.frombuffer(self._map, dtype=word)

    def complete(self) -> None:
        """Write the sum to the disk, and give the file its name.

        Raises:
            VectorFileError: There is something at the path now.
        """
        self._map.flush()
        self._check_free()
        self._part.replace(self._path)

    def close(self) -> None:
        """Remove the file unless it is complete. The memory of the array stays as long as anybody has the array."""
        self._part.unlink(missing_ok=True)

    def _check_free(self) -> None:
        if self._path.exists():
            raise VectorFileError(
                f"sum: expected no file at {self._path}, found one. Remove it, or choose another path."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
