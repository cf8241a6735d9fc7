"""The logger of the package, silent until an application gives it a handler.

Log records name releases by their labels. They contain epsilon, delta and what was refused, and no data or noise. A
refusal to ask clients again, or to commit a sum of others, names up to five of them by their numbers.
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
    """Log an error of the package as a warning, and raise it again."""
    try:
        yield
    except DpError as error:
        LOGGER.warning("%s is refused: %s: %s", what, type(error).__name__, str(error))
        raise
