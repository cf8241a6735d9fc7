"""What `secagg keys node`, `keys coordinator` and `keys roster` do: they make keys, and print public lines only.

Each party makes its own secret key on its own machine. A roster is made of public lines, so nobody ever collects secret
keys. Public lines go to standard output, for scripts; what to do with them goes to standard error.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from secagg.commands.progress import write_line
from secagg.engines.home import Home
from secagg.engines.roster_file import RosterFile
from secagg.paths import escaped, expanded
from secagg.storage.labelled_file import MODES_ARE_CHECKED
from secagg.storage.node_keys import COORDINATOR_NAME, create_coordinator
from secagg.storage.public_line import PublicLine, check_name, coordinator_line, fingerprint


def make_node(path: Path, *, name: str | None) -> None:
    """Make a home and print its public line.

    Args:
        path: The folder; empty, or made.
        name: The node's name in the roster; None for that of the folder.

    Raises:
        ConfigurationError: The name is not valid.
        KeyFileError: The folder is not free.
        OSError: It cannot be written.
    """
    path = expanded(path)
    name = check_name(path.absolute().name if name is None else name)
    identity = Home.create(path)
    _print(str(PublicLine(name=name, key=identity.public)))
    write_line(f"{escaped(path)}: the home of a node, with a new identity. The line above is public.")
    write_line(
        f"  fingerprint, to be compared over a channel that the server does not control: {fingerprint(identity.public)}"
    )
    write_line(
        "  Give the line to the maker of the roster. Keep the folder out of backups, and never copy it: a copy would"
    )
    write_line("  be a second node with the same identity.")
    write_line(f"  Then add {COORDINATOR_NAME} and roster.json, and fill in policy.toml. At last, run:")
    write_line(f"  secagg node check {escaped(path)}")
    _warn_without_modes()


def make_coordinator(path: Path) -> None:
    """Make a coordinator's folder and print its public line.

    Raises:
        KeyFileError: The folder is not free.
        OSError: It cannot be written.
    """
    path = expanded(path)
    identity = create_coordinator(path)
    _print(coordinator_line(identity.public))
    write_line(f"{escaped(path)}: the folder of a coordinator, with a new identity. The line above is public.")
    write_line(
        f"  fingerprint, to be compared over a channel that the server does not control: {fingerprint(identity.public)}"
    )
    write_line(f"  Give {COORDINATOR_NAME} from the folder to every node, for its home.")
    _warn_without_modes()


def make_roster(lines: Sequence[str], *, out: Path) -> None:
    """Write the roster of some public lines, and print every node with its id and its fingerprint.

    Raises:
        ConfigurationError: A line is not valid, two contradict each other, or the file exists.
        OSError: The file cannot be written.
    """
    out = expanded(out)
    roster = RosterFile.of(PublicLine.parse(line) for line in lines)
    roster.write(out)
    for node in roster.nodes:
        _print(f"{node.id} {node.name} {fingerprint(node.key)}")
    _print(f"roster {roster.fingerprint}")
    write_line(f"{escaped(out)}: a roster of {len(roster.nodes)} nodes. The lines above are their fingerprints.")
    write_line(
        "  Ask each node for its fingerprint, and give the file to every node and to the coordinator over a channel"
    )
    write_line("  that the server does not control; or let all of them compare the fingerprint of the roster.")


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _warn_without_modes() -> None:
    if not MODES_ARE_CHECKED:
        write_line(
            "  WARNING: on this system secagg neither restricts nor checks who may read this folder. Restrict it to"
        )
        write_line("  its owner by the system's own means (on Windows: icacls).")
