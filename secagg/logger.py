"""The one logger of the package, silent until an application gives it a handler.

Records name training rounds, counts of clients, and why a round released nothing. They hold no data and no updates.
"""

import logging
from typing import Final

LOGGER: Final = logging.getLogger("secagg")
LOGGER.addHandler(logging.NullHandler())
