"""What the owner of a node is told of trainings that have failed, and nobody else.

If nodes add noise, a node whose training fails, or whose update is not finite, sends zeros with its noise share: who
drops out must not depend on data. Neither a reply nor the log of the process says so, since an engine may pass its log
on. So it is written into a file of the home, which `secagg node check` reads. The file has the serial and the kind of
error. It has no text of an error, which may contain data.

The file is a note and no record: a write that fails is ignored, since only a node whose training has failed writes at
all. A node that is killed and trains again under one reservation notes both failures.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dp.checks import printable

FAILURES_NAME: Final = "failed-training.txt"
_LONGEST: Final = 100


@dataclass(frozen=True, slots=True)
class FailureLog:
    """The file of the trainings that have failed, of a node that takes part in sums with noise.

    Attributes:
        path: The file, which the first failure makes. Only its owner can read it.
    """

    path: Path

    def note(self, serial: int, error: BaseException) -> None:
        """Add a failed training, as one line. Nothing is raised if it cannot be written.

        Args:
            serial: The serial of the session.
            error: What training, or the check of its update, has raised. Only the name of its class is kept.
        """
        line = f"serial {serial}: {printable(type(error).__name__)[:_LONGEST]}\n"
        with contextlib.suppress(OSError):
            descriptor = os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
            with open(descriptor, "ab") as file:
                file.write(line.encode("utf-8", "replace"))

    def lines(self) -> tuple[str, ...]:
        """Return what was noted, the latest last; nothing if the file cannot be read."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ()
        return tuple(printable(line) for line in text.splitlines())
