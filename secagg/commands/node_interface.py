"""What the commands for nodes, coordinators and rosters take: arguments, options and help.

The work itself is imported when a command is run, so that `secagg --help` stays quick.
"""

from pathlib import Path
from typing import Annotated

import typer


def node(
    home: Annotated[Path, typer.Argument(metavar="HOME", help="Folder of the node, which must be empty or not exist.")],
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
        Path, typer.Argument(metavar="FOLDER", help="Folder of the coordinator, which must be empty or not exist.")
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

    Only public lines are needed: no node gives its secret key away.
    """
    from secagg.commands.node_keys import make_roster

    make_roster(line, out=out)


def check(
    home: Annotated[Path, typer.Argument(metavar="HOME", help="Folder of the node.")],
    *,
    flare: Annotated[
        Path | None,
        typer.Option(metavar="KIT", help="Also check this startup kit of NVIDIA FLARE.", show_default=False),
    ] = None,
) -> None:
    """Check the home of a node, and say in words what the node will accept.

    Exit code 0: the node can take part; 2: the home is not complete, is
    damaged, or others may use it; 3: its policy accepts nothing, or its
    FLARE site lets others do more than the node needs.
    """
    from secagg.commands.node_check import check_on_terminal

    check_on_terminal(home, flare=flare)


def serve(
    home: Annotated[Path, typer.Argument(metavar="HOME", help="Folder of the node.")],
    train: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="The node's training, which is installed at this node. It takes a Work and returns an Update. A "
            "committee member that trains nothing leaves it out.",
            show_default=False,
        ),
    ] = None,
    socket: Annotated[
        Path | None,
        typer.Option(
            help="Unix socket to make; only this user can connect to it. Default: the socket that systemd passes on, "
            "to which only its owner can connect.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run the station of a node, which answers signed requests through a Unix socket.

    Use it if an engine starts code at the node that somebody else has sent.
    Run it as another user than the engine's, and let the engine use only the
    socket. The policy needs code = "resident".
    """
    from secagg.commands.node_serve import serve_node

    serve_node(home, train=train, socket=socket)
