"""An app for the tests with real processes: each node moves the model by a step that its node config states."""

import os
import signal
from pathlib import Path


def end_once(mark: str) -> None:
    """Kill this process, unless that was done before; a file with the path `mark` remembers it. "" does nothing."""
    if mark and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
