"""What `secagg engine warm` does: a process that forks for each message to a SuperNode."""

import logging
import sys
from pathlib import Path

from secagg.commands.progress import write_line
from secagg.engines.flower.warm import Warm, serve, warm_folder
from secagg.logger import LOGGER
from secagg.paths import escaped, expanded


def warm_until_stopped(folder: Path) -> None:
    """Serve a folder until the process is stopped.

    Args:
        folder: The folder of the stand-in command.

    Raises:
        ConfigurationError: The folder is not this user's alone, or in use; or this system has no fork.
        MissingExtraError: Flower is not installed.
    """
    warm = Warm.here()
    path = expanded(folder).absolute()
    with warm_folder(path) as listener:
        LOGGER.addHandler(logging.StreamHandler(sys.stderr))
        write_line(f"Flower is imported. Start the SuperNode with PATH={escaped(path)}:$PATH. (Experimental.)")
        serve(listener, warm)
