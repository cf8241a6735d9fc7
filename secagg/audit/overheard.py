"""Everything that code writes while it is observed: log records of every logger at every level, warnings, prints.

Python's own reprs and tracebacks are made here too, with the local variables of every frame that is not the audit's.
"""

import contextlib
import io
import logging
import traceback
import warnings
from collections.abc import Iterator
from typing import Final

_OWN: Final = "secagg.audit."
_PLANTED: Final = "secagg.audit.planted."


Text = tuple[str, str]
"""What a text is, such as "a log record", and the text itself."""


class _Collector(logging.Handler):
    """A handler that keeps the text of each record with everything that it carries."""

    def __init__(self, texts: list[Text]) -> None:
        super().__init__(level=logging.NOTSET)
        self._texts = texts

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self._texts.append(("a log record", f"{self.format(record)} {vars(record)}"))


@contextlib.contextmanager
def overheard() -> Iterator[list[Text]]:
    """Collect all that is logged, warned or printed, and let none of it out; the list is complete at the end."""
    texts: list[Text] = []
    collector, manager = _Collector(texts), logging.root.manager
    loggers = [logging.root, *(each for each in manager.loggerDict.values() if isinstance(each, logging.Logger))]
    kept = [(each, each.level, each.propagate, each.disabled, list(each.handlers)) for each in loggers]
    threshold = manager.disable
    out, err = io.StringIO(), io.StringIO()
    try:
        for each in loggers:
            each.setLevel(logging.DEBUG)
            each.propagate, each.disabled, each.handlers = False, False, [collector]
        logging.disable(logging.NOTSET)
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("always")
            yield texts
    finally:
        logging.disable(threshold)
        for each, level, propagate, disabled, handlers in kept:
            each.setLevel(level)
            each.propagate, each.disabled, each.handlers = propagate, disabled, handlers
        texts += [("a warning", str(one.message)) for one in warned]
        texts += [("what is printed", one.getvalue()) for one in (out, err) if one.getvalue()]


def told_by(error: BaseException) -> Text:
    """Return what an error tells: its repr, its text, and the local variables of the frames that it passed."""
    chain: BaseException | None = error
    texts, seen = list[str](), set[int]()
    while chain is not None and id(chain) not in seen:
        seen.add(id(chain))
        texts += [repr(chain), str(chain), "".join(traceback.format_exception_only(chain))]
        for frame, _ in traceback.walk_tb(chain.__traceback__):
            name = str(frame.f_globals.get("__name__", ""))
            if not name.startswith(_OWN) or name.startswith(_PLANTED):
                texts += [f"{key} = {_shown(value)}" for key, value in frame.f_locals.items()]
        chain = chain.__cause__ or chain.__context__
    return f"an error of class {type(error).__name__}, or its traceback", "\n".join(texts)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - Other people's reprs may fail in any way.
        return f"({type(error).__name__})"
