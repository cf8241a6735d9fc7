"""The one logger of the package, silent until an application adds a handler.

Records name sessions, steps, parties by their ids, counts, and the class and text of errors. They never hold bytes of
a message or anything secret. A server logs refused replies and what ends it early as warnings, finished sums as
information, and steps for debugging; a client logs the step that it has answered, for debugging, and nothing else.

If it must stay secret who is in a session, or how many parties are, `unlogged` keeps all of these records back.
"""

import contextlib
import logging
from collections.abc import Collection, Iterator
from contextvars import ContextVar
from typing import Final

from protocols.errors import RemoteError, TooFewSurvivors

LOGGER: Final = logging.getLogger("protocols")
LOGGER.addHandler(logging.NullHandler())

_UNLOGGED: Final[ContextVar[bool]] = ContextVar("unlogged", default=False)
LOGGER.addFilter(lambda _: not _UNLOGGED.get())

_MOST_LISTED = 20


@contextlib.contextmanager
def unlogged() -> Iterator[None]:
    """Keep back all records of the package that this thread makes, at every level.

    Records count the parties of a session and name them. Use it for sessions of clients that were drawn in secret.
    """
    token = _UNLOGGED.set(True)
    try:
        yield
    finally:
        _UNLOGGED.reset(token)


def listed(parties: Collection[int]) -> str:
    """Return how many parties there are, and the ids of the first twenty."""
    first = sorted(parties)[:_MOST_LISTED]
    more = ", ..." if len(parties) > len(first) else ""
    return f"{len(parties)} ({', '.join(map(str, first))}{more})" if first else "0"


@contextlib.contextmanager
def refusals_logged(session_id: bytes, what: str) -> Iterator[None]:
    """Log a peer's misbehaviour, and too few survivors, as a warning, and pass the error on.

    The record contains the error's class and text. It does not contain the error itself, which keeps local variables
    alive.
    """
    try:
        yield
    except (RemoteError, TooFewSurvivors) as error:
        LOGGER.warning("session %s: %s: %s: %s", session_id.hex(), what, type(error).__name__, str(error))
        raise
