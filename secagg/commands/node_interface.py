"""What the commands `keys node`, `keys coordinator`, `keys roster` and `node check` take: arguments, options and help.

The work itself is imported when a command is run, so that `secagg --help` stays quick.
"""

from pathlib import Path
from typing import Annotated

import typer


def node(
    home: Annotated[Path, typer.Argument(metavar="HOME", help="Folder of the node. It must be empty, or is made.")],
    name: Annotated[
        str | None,
        typer.Option(help="Name of the node in the roster. Default: the name of the folder.", show_default=False),
    ] = None,
) -> None:
    """Make the home of a node, with a new identity, and print its public line.

    Run it on the node's own machine. The secret key never leaves it.
    """
    from secagg.commands.node_keys import make_node

    make_node(home, name=name)


def coordinator(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of the coordinator. It must be empty, or is made.")
    ],
) -> None:
    """Make the folder of a coordinator, with a new identity, and print its public line."""
    from secagg.commands.node_keys import make_coordinator

    make_coordinator(folder)


def roster(
    line: Annotated[
        list[str],
        typer.Argument(
            metavar="LINE...",
            help="Public line of each node, in quotation marks: NAME KEY, or ID NAME KEY. Without ids, the nodes get "
            "0, 1, 2 and so on, in the given order.",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option(help="File of the roster, which must not exist.")],
) -> None:
    """Make the roster of a federation from the public lines of its nodes.

    It takes no homes: nobody needs another node's secret key.
    """
    from secagg.commands.node_keys import make_roster

    make_roster(line, out=out)


def check(
    home: Annotated[Path, typer.Argument(metavar="HOME", help="Folder of the node.")],
) -> None:
    """Check the home of a node, and say in words what the node will accept.

    Exit code 0: the node can take part; 2: the home is not complete, is
    damaged, or others may use it; 3: its policy accepts nothing.
    """
    from secagg.commands.node_check import check_on_terminal

    check_on_terminal(home)
