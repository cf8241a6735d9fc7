"""A coordinator's folder on a disk that loses what was not synced, and the points at which the process ends.

The files are real. The disk is a model: it keeps the content that a file had when it was synced, and the names that a
folder had when it was synced. A power cut puts both back. A killed process loses nothing. The ledger is left out, since
SQLite syncs it; `tests/dp/ledger` has its crashes.
"""

import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import pytest

from dp.ledger.ledger import Ledger

_LEFT_OUT: Final = re.compile(r"ledger|.*\.lock$")
"""The names of files that the model leaves as they are."""


class Crash(BaseException):
    """The process ends here."""


class LossyFolder:
    """The folder, and every write to it and to the ledger; the process ends before or after some of them.

    Args:
        folder: The folder, whose files are on the disk.
        patch: Puts the counting writes in the place of the real ones.
        crashes: The points at which the process ends, each once.

    Attributes:
        points: How many points were passed: one before each write and one after it, and those of `pass_point`.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, crashes: Iterable[int] = ()) -> None:
        self.points = 0
        self._ended = False
        self._folder = folder
        self._crashes = set(crashes)
        self._contents: dict[int, bytes] = {path.stat().st_ino: path.read_bytes() for path in self._files()}
        self._names = self._current()
        fsync, replace, unlink = os.fsync, os.replace, os.unlink
        self._remove: Callable[[Path], None] = unlink
        patch.setattr(os, "fsync", lambda file: self._sync_file(fsync, file))
        patch.setattr(os, "replace", lambda source, target: self._write(lambda: replace(source, target)))
        patch.setattr(os, "unlink", lambda path, **given: self._write(lambda: unlink(path, **given)))
        patch.setattr("secagg.files.sync_names", lambda _: self._write(self._sync_names))
        for name in ("reserve", "commit"):
            patch.setattr(Ledger, name, self._counted(getattr(Ledger, name)))

    def pass_point(self) -> None:
        """Pass a point, at which the process may end."""
        self.points += 1
        if self.points - 1 in self._crashes:
            self._crashes.remove(self.points - 1)
            self._ended = True
            raise Crash

    def start(self) -> None:
        """Let a process begin after one that has ended."""
        self._ended = False

    def cut_power(self) -> None:
        """Put back the content and the names that were synced last."""
        for path in self._files():
            if path.name not in self._names:
                self._remove(path)
        for name, content in self._names.items():
            path = self._folder / name
            if not path.exists():
                path.touch(mode=0o600)
            if path.read_bytes() != content:
                path.write_bytes(content)

    def _write(self, write: Callable[[], object]) -> None:
        """Write, unless the process has ended: then no `finally` of it is reached."""
        if self._ended:
            return
        self.pass_point()
        write()
        self.pass_point()

    def _counted(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.pass_point()
            found = write(*arguments, **named)
            self.pass_point()
            return found

        return counted

    def _files(self) -> list[Path]:
        return [path for path in sorted(self._folder.iterdir()) if path.is_file() and not _LEFT_OUT.match(path.name)]

    def _sync_file(self, fsync: Callable[[int], None], file: int) -> None:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):  # The folder of a ledger that was written to.
            fsync(file)
            return

        def sync() -> None:
            fsync(file)
            self._contents[status.st_ino] = os.pread(file, status.st_size, 0)

        self._write(sync)

    def _sync_names(self) -> None:
        self._names = self._current()

    def _current(self) -> dict[str, bytes]:
        """Return the names that there are, each with the content that was synced; what was not has none."""
        return {path.name: self._contents.get(path.stat().st_ino, b"") for path in self._files()}
