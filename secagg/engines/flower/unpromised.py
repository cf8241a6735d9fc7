"""What we use of Flower beyond the interface that it promises, all in this one place.

Each has a test of its own in `tests/secagg/engines/flower/test_unpromised.py`, which fails by name if another version
of Flower has changed it.
"""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, Final

from secagg.errors import ConfigurationError, MissingExtraError

CLIENT_COMMAND: Final = "flwr-clientapp"
"""The command that a SuperNode starts for each message. It is found on the PATH, so another one can stand in for it."""

DISTRIBUTION: Final = "flwr"


def client_command() -> Callable[[], object]:
    """Return the function behind `CLIENT_COMMAND`, which reads its arguments from `sys.argv`.

    Raises:
        MissingExtraError: Flower is not installed.
        ConfigurationError: This version of Flower has no such command.
    """
    if find_spec(DISTRIBUTION) is None:
        raise MissingExtraError(DISTRIBUTION, "flower")
    found = [each for each in entry_points(group="console_scripts", name=CLIENT_COMMAND) if _is_flowers(each)]
    if len(found) != 1:
        raise ConfigurationError(
            f"Flower: expected one command {CLIENT_COMMAND}, found {len(found)}. Install a version of flwr that secagg "
            "supports."
        )
    command: Callable[[], object] = found[0].load()
    return command


def tells_public_keys(grid: object) -> bool:
    """Return whether a grid has `get_nodes`; flwr 1.37 to 1.40 has brought it."""
    return hasattr(grid, "get_nodes")


def public_keys(grid: Any) -> dict[int, bytes]:
    """Return the public key with which each node has registered, by Flower's node id."""
    return {node.node_id: node.public_key for node in grid.get_nodes()}


def _is_flowers(command: EntryPoint) -> bool:
    return command.dist is not None and command.dist.name == DISTRIBUTION
