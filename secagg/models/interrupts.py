"""Ctrl-C around TensorFlow: an interruption that arrives inside its C++ code may be lost, or come out garbled.

Seen with TensorFlow 2.21: a KeyboardInterrupt raised while an array is being converted became a SystemError, and one
raised inside a traced function was swallowed.  So the signal is held back while such code runs.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class HeldInterrupts:
    """A context manager: a Ctrl-C inside the block takes effect at the next `check`, or at the block's end.

    It does nothing outside the main thread, or where somebody else handles the signal.
    """

    def __init__(self) -> None:
        self._pending = False
        self._former: Any = None

    def __enter__(self) -> "HeldInterrupts":
        on_main = threading.current_thread() is threading.main_thread()
        if on_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._former = signal.signal(signal.SIGINT, self._hold)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._former is not None:
            signal.signal(signal.SIGINT, self._former)
        if kind is None:
            self.check()

    def check(self) -> None:
        """Let a Ctrl-C that has come take effect.

        Raises:
            KeyboardInterrupt: One has.
        """
        if self._pending:
            raise KeyboardInterrupt

    def _hold(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's interface
        self._pending = True
