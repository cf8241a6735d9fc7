"""One process at a time in a folder: an advisory lock on a file of its own, gone with whoever held it."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from secagg.errors import CheckpointError

NAME: Final = "run.lock"


class FolderLock:
    """The exclusive use of a folder, for as long as a `with` block lasts; the same object may enter again inside it.

    The lock is the operating system's (flock), so that nothing is left locked by a process that was killed.  Its file
    stays behind, empty: who removes it could remove it from under another's lock.

    Args:
        folder: Made, with its parents, where there is none.

    Raises:
        CheckpointError: On entering: another run is using the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1
        self._depth = 0

    def __enter__(self) -> Self:
        if not self._depth:
            self._descriptor = self._locked()
        self._depth += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._depth -= 1
        if not self._depth:
            os.close(self._descriptor)

    def _locked(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise CheckpointError(
                f"another run is using {self._folder}; wait for its end, or name another folder"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor
