"""The signals that ask a process to end, as far as this system has them: Windows has no SIGHUP."""

import signal
from typing import Final

TERMINATIONS: Final[tuple[signal.Signals, ...]] = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""All but Ctrl-C (SIGINT)."""
