"""Signals that end the command: Ctrl-C, a termination and a terminal that closes are told alike, and none is lost.

This module imports little, so that it can be in force before the slow imports of the rest.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

TYPE_CHECKING = False  # As type checkers take it; `typing` itself takes milliseconds to import.
if TYPE_CHECKING:
    from sys import UnraisableHookArgs

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP.
"""The signals that end a command."""

_SHELL_BASE = 128
_AGAIN_AFTER_S = 0.01


class Interrupted(SystemExit):
    """One of the signals has come; uncaught, it ends the process with the exit code that shells give, and silently.

    Attributes:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(exit_code(number))
        self.number = number


def exit_code(number: int) -> int:
    """Return the exit code of a process that a signal has ended: 130 for Ctrl-C, 143 for SIGTERM."""
    return _SHELL_BASE + number


def raise_interrupted(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signal module's interface
    """Raise `Interrupted`; a handler of signals.

    Raises:
        Interrupted: Always.
    """
    raise Interrupted(number)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """End the process at a signal, without a word, inside a block that has nothing to undo or to tell.

    An exception would do less: extension modules that are being imported turn it into errors of their own.
    """
    with _handled_by(_exit_at_once):
        yield


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Raise `Interrupted` at a signal inside the block; after it, signals end the process as the system does.

    One that comes inside a finaliser or the callback of a weak reference, where Python drops exceptions, comes again.
    """
    before, sys.unraisablehook = sys.unraisablehook, _again_where_lost
    try:
        with _handled_by(raise_interrupted, afterwards=signal.SIG_DFL):
            yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def _handled_by(handler: "signal._HANDLER", afterwards: "signal._HANDLER | None" = None) -> Iterator[None]:
    """Handle the signals inside the block that nobody else handles or ignores, as `nohup` does.

    Args:
        handler: Of the signals.
        afterwards: Their handler after the block; the one before it by default.
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
    """Send a signal to the main thread, also where that waits for something."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)
