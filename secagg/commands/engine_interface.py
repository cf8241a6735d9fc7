"""What the commands for engines take: arguments and help.

The work itself is imported when a command is run, so that `secagg --help` stays quick.
"""

from pathlib import Path
from typing import Annotated

import typer


def warm(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of the stand-in command. It is made with mode 0700.")
    ],
) -> None:
    """Keep Flower imported for a SuperNode, so that each message starts a fork in the place of a new process.

    Experimental: it rests on a command of Flower that Flower may change. Run
    it as the SuperNode's user, and start the SuperNode with FOLDER first on
    its PATH. When it does not run, or anything differs, Flower's own command
    runs.
    """
    from secagg.commands.engine_warm import warm_until_stopped

    warm_until_stopped(folder)
