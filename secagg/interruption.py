"""Signals that end the command. Ctrl-C, a termination and a closed terminal are handled alike, and none is lost.

This module imports little, so that its handlers are in place before the slow imports of other modules.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType

TYPE_CHECKING = False  # Type checkers assume True; importing `typing` itself takes milliseconds.
if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from typing import Any

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP.
"""The signals that end a command."""

_SHELL_BASE = 128
_AGAIN_AFTER_S = 0.01


class Interrupted(SystemExit):
    """One of the signals has arrived. If uncaught, it ends the process silently, with the exit code that shells use.

    Attributes:
        is_interruption: Tells those who handle any exception of other people's code that this is none of it.
        number: The number of the signal.
    """

    is_interruption = True

    def __init__(self, number: int) -> None:
        super().__init__(exit_code(number))
        self.number = number


def exit_code(number: int) -> int:
    """Return the exit code of a process that a signal has ended, for example 130 for Ctrl-C and 143 for SIGTERM."""
    return _SHELL_BASE + number


def raise_interrupted(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's interface
    """Raise `Interrupted`. This is a signal handler.

    Raises:
        Interrupted: Always.
    """
    raise Interrupted(number)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """End the process silently at a signal, inside a block that has nothing to undo or to report.

    An exception would not be reliable: extension modules that are being imported turn it into errors of their own.
    """
    with _handled_by(_exit_at_once):
        yield


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Raise `Interrupted` at a signal inside the block. After the block, signals have the system's default action.

    Python drops exceptions inside a finaliser or the callback of a weak reference. A signal that arrives there is sent
    again.
    """
    before, sys.unraisablehook = sys.unraisablehook, _again_where_lost
    try:
        with _handled_by(raise_interrupted, afterwards=signal.SIG_DFL):
            yield
    finally:
        sys.unraisablehook = before


class HeldInterrupts:
    """A context manager that delays an interruption inside its block until the next `check` or the block's end.

    An error of the block passes unchanged. `check` then still lets the interruption take effect, after the block too.

    It is for code inside which an interruption would be lost or would come out as another error. Observed with
    TensorFlow 2.21: a KeyboardInterrupt raised while an array was being converted became a SystemError, and one raised
    inside a traced function disappeared. Observed with Python 3.12: an interruption while an array was written into an
    archive became a ValueError, raised while the archive was closed.

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


@contextlib.contextmanager
def _handled_by(handler: "signal._HANDLER", afterwards: "signal._HANDLER | None" = None) -> Iterator[None]:
    """Handle the signals inside the block, except those that other code handles, or ignores as `nohup` does.

    Args:
        handler: The handler of the signals inside the block.
        afterwards: The handler of the signals after the block. None restores the handler from before the block.
    """
    former = {}
    for number in ENDING:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler, raise_interrupted):
            former[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before if afterwards is None else afterwards)


def _exit_at_once(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's interface
    os._exit(exit_code(number))


def _again_where_lost(lost: "UnraisableHookArgs") -> None:
    if not isinstance(lost.exc_value, Interrupted):
        sys.__unraisablehook__(lost)
        return
    timer = threading.Timer(_AGAIN_AFTER_S, _deliver, [lost.exc_value.number])
    timer.daemon = True
    timer.start()


def _deliver(number: int) -> None:
    """Send a signal to the main thread, even if that thread is waiting for something."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)
