"""Which node of Flower is which id of the roster.

Flower's node ids are new in every federation, and with every start of a node that is not registered. A node's home
knows its id. So each node is asked once, as soon as it is seen. The answer is not signed: a wrong one costs dropouts
and never a vote, since every parcel names its receiver under the coordinator's signature, and every reply its
sender.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key
from flwr.serverapp import Grid

from secagg.engines.flower.channel import FlowerChannel
from secagg.engines.resident import WHO, decode_node
from secagg.errors import ConfigurationError
from secagg.logger import LOGGER

_KEYS: Final = "get_nodes"
"""The method of a grid that tells each node's public key; flwr 1.37 to 1.40 has brought it."""


class NodeDirectory(Mapping[int, int]):
    """Flower's node id of each of the roster's ids, as far as they are known and unambiguous.

    Args:
        grid: The grid of the ServerApp.
        keys: The public key with which a node must have registered at the SuperLink, for each id that has one.
        clock: A clock in seconds that never goes back.
        sleep: Waits for a number of seconds.

    Raises:
        ConfigurationError: There are keys, and this version of Flower does not tell those of its nodes.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        keys: Mapping[int, bytes],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if keys and not hasattr(grid, _KEYS):
            raise ConfigurationError(
                "public keys of the roster: expected a version of Flower that tells the keys of its nodes, found an "
                "older one. Install flwr 1.40 or later, or leave the keys out of the roster file."
            )
        self._grid, self._keys = grid, keys
        self._clock, self._sleep = clock, sleep
        self._claims: dict[int, int] = {}
        self._nodes: dict[int, int] = {}

    def __getitem__(self, party: int) -> int:
        return self._nodes[party]

    def __iter__(self) -> Iterator[int]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def refresh(self, deadline: float) -> None:
        """Ask the nodes that have not answered yet, and wait for them until the deadline."""
        present = set(self._grid.get_node_ids())
        asked = sorted(present - self._claims.keys())
        if asked:
            self._ask(asked, deadline)
        usable = {node: self._claims[node] for node in sorted(self._registered(present & self._claims.keys()))}
        ambiguous = {party for party, count in Counter(usable.values()).items() if count > 1}
        if ambiguous:
            LOGGER.warning("left out, since several nodes of Flower claim them: clients %s", sorted(ambiguous))
        self._nodes = {party: node for node, party in usable.items() if party not in ambiguous}

    def _ask(self, nodes: list[int], deadline: float) -> None:
        channel = FlowerChannel(self._grid, {node: node for node in nodes}, clock=self._clock, sleep=self._sleep)
        for node, reply in channel.exchange(dict.fromkeys(nodes, WHO), deadline):
            party = decode_node(reply) if isinstance(reply, bytes) else None
            if party is None:
                LOGGER.warning("a node of Flower does not say which client it is, and is left out")
            else:
                self._claims[node] = party

    def _registered(self, nodes: Set[int]) -> Set[int]:
        """Return the nodes of which the public key is that of the client that they claim to be, where it has one."""
        if not self._keys:
            return nodes
        public = {node.node_id: node.public_key for node in self._grid.get_nodes()}
        fits = {node for node in nodes if self._keys.get(self._claims[node]) in (None, public.get(node))}
        for party in sorted({self._claims[node] for node in nodes - fits}):
            LOGGER.warning("a node is left out: it claims to be client %d and has registered with another key", party)
        return fits


def read_node_key(path: str | Path) -> bytes:
    """Return a node's public key as Flower tells it: the one in the file with which `flwr supernode register` was run.

    Raises:
        ConfigurationError: The file holds no public key in OpenSSH form.
        OSError: The file cannot be read.
    """
    try:
        key = load_ssh_public_key(Path(path).read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(
            f"{path}: expected a public key in OpenSSH form, found something else. Name the file that `flwr supernode "
            "register` was given."
        ) from None
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
