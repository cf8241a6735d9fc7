"""What `secagg keys node`, `keys coordinator` and `keys roster` do: they make keys, and print public lines only.

Each party makes its own secret key on its own machine. A roster is made of public lines, so nobody ever collects secret
keys. Public lines go to standard output, for scripts; what to do with them goes to standard error.
"""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from secagg.engines.home import LINE_NAME, Home
from secagg.engines.roster_file import RosterFile
from secagg.paths import escaped, expanded
from secagg.storage.labelled_file import MODES_ARE_CHECKED
from secagg.storage.node_keys import COORDINATOR_NAME, create_coordinator
from secagg.storage.public_line import PublicLine, coordinator_line, fingerprint


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
    identity = Home.create(path, name=name)
    sys.stdout.write((path / LINE_NAME).read_text(encoding="ascii"))
    _tell(
        f"{escaped(path)}: the home of a node, with a new identity. The line above is public; {LINE_NAME} has it too."
    )
    _tell(
        f"  fingerprint, to be compared over a channel that the server does not control: {fingerprint(identity.public)}"
    )
    _tell("  Give the line to the maker of the roster. Keep the folder out of backups, and never copy it: a copy would")
    _tell("  be a second node with the same identity.")
    _tell(f"  Then add {COORDINATOR_NAME} and roster.json, and fill in policy.toml. At last, run:")
    _tell(f"  secagg node check {escaped(path)}")
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
    _tell(f"{escaped(path)}: the folder of a coordinator, with a new identity. The line above is public.")
    _tell(
        f"  fingerprint, to be compared over a channel that the server does not control: {fingerprint(identity.public)}"
    )
    _tell(f"  Give {COORDINATOR_NAME} from the folder to every node, for its home.")
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
    _tell(f"{escaped(out)}: a roster of {len(roster.nodes)} nodes. The lines above are their fingerprints.")
    _tell("  Ask each node for its fingerprint, and give the file to every node and to the coordinator over a channel")
    _tell("  that the server does not control; or let all of them compare the fingerprint of the roster.")


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _tell(line: str) -> None:
    with contextlib.suppress(OSError):  # What was made is made, also if nobody takes the log.
        sys.stderr.write(f"{line}\n")


def _warn_without_modes() -> None:
    if not MODES_ARE_CHECKED:
        _tell("  WARNING: on this system secagg neither restricts nor checks who may read this folder. Restrict it to")
        _tell("  its owner by the system's own means (on Windows: icacls).")
