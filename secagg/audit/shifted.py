"""Another time: the clocks that Python code can read are shifted, for the time of an observation."""

import contextlib
import datetime
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from secagg.audit.everywhere import replaced_everywhere

SHIFT_S: Final = 123_456_789.25
"""Nearly four years: another year, month, day, hour, minute and second, and another fraction of a second."""

_DATETIME: Final = datetime.datetime
_SECONDS: Final = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
_BROKEN_DOWN: Final = ("gmtime", "localtime")


@contextlib.contextmanager
def shifted_clocks() -> Iterator[None]:
    """Shift the clocks of the modules `time` and `datetime` by `SHIFT_S`."""
    pairs: list[tuple[object, object]] = [(_DATETIME, _Later)]
    for name in _SECONDS:
        seconds, nanoseconds = getattr(time, name), getattr(time, f"{name}_ns")
        pairs += [(seconds, _plus(seconds, SHIFT_S)), (nanoseconds, _plus(nanoseconds, int(SHIFT_S * 10**9)))]
    pairs += [(getattr(time, name), _broken_down(getattr(time, name))) for name in _BROKEN_DOWN]
    with replaced_everywhere(pairs):
        yield


def _plus(clock: Callable[[], Any], shift: float) -> Callable[[], Any]:
    return lambda: clock() + shift


def _broken_down(clock: Callable[..., Any]) -> Callable[..., Any]:
    now = time.time
    return lambda seconds=None: clock(now() + SHIFT_S if seconds is None else seconds)


class _Later(datetime.datetime):
    """The class of dates and times, whose present is shifted."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _DATETIME.now(tz) + datetime.timedelta(seconds=SHIFT_S)

    @classmethod
    def utcnow(cls) -> Any:
        return _DATETIME.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(seconds=SHIFT_S)

    @classmethod
    def today(cls) -> Any:
        return cls.now()
