"""The one logger of the package, silent until an application gives it a handler.

Records name releases by their labels, and give epsilon, delta and what was refused. They hold no data and no noise.
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import Final

from dp.errors import DpError

LOGGER: Final = logging.getLogger("dp")
LOGGER.addHandler(logging.NullHandler())


@contextlib.contextmanager
def refusals_logged(what: str) -> Iterator[None]:
    """Log an error that the package raises on purpose as a warning, and pass it on."""
    try:
        yield
    except DpError as error:
        LOGGER.warning("%s is refused: %s: %s", what, type(error).__name__, str(error))
        raise
