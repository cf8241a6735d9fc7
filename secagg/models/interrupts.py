"""Ctrl-C around TensorFlow: an interruption inside its C++ code may be lost, or may come out as another error.

Observed with TensorFlow 2.21: a KeyboardInterrupt raised while an array was being converted became a SystemError, and
one raised inside a traced function disappeared. So the signal is held back while such code runs. So are the other
signals that the command `secagg` treats as an interruption.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from secagg.interruption import ENDING, raise_interrupted


class HeldInterrupts:
    """A context manager that delays an interruption inside its block until the next `check` or the block's end.

    It does nothing outside the main thread, or if other code handles the signal.
    """

    def __init__(self) -> None:
        self._pending: int | None = None
        self._former: dict[int, Any] = {}

    def __enter__(self) -> "HeldInterrupts":
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                if signal.getsignal(number) in (signal.default_int_handler, raise_interrupted):
                    self._former[number] = signal.signal(number, self._hold)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)
        if kind is None:
            self.check()

    def check(self) -> None:
        """Let an interruption that has arrived take effect.

        Raises:
            KeyboardInterrupt: An interruption has arrived.
            secagg.interruption.Interrupted: An interruption has arrived, in the command `secagg`.
        """
        if self._pending is not None:
            self._former[self._pending](self._pending, None)

    def _hold(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal module's interface
        self._pending = number
