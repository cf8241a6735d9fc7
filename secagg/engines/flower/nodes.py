"""Which node of Flower is which id of the roster, and which nodes are there.

Flower's node ids are new in every federation, and with every start of a node that is not registered. A node's home
knows its id. So each node is asked once, as soon as it is seen. It signs its answer with its identity, so only who has
the key of an id of the roster can claim that id; every other claim is dropped. A wrong id in the replies that follow is
no way around it: every parcel names its receiver, every reply its sender, and the engine compares both.

A node that was silent in a round would cost the next one a whole deadline. So it is asked which id it has once more,
and is left out until it has answered that. Nobody waits for the answer, unless a round has released nothing.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key
from flwr.serverapp import Grid

from protocols.crypto.entropy import Entropy
from secagg.engines.flower.post import Post
from secagg.engines.flower.unpromised import public_keys, tells_public_keys
from secagg.engines.server.channel import Failure
from secagg.engines.wire.claim import Query
from secagg.errors import ConfigurationError
from secagg.logger import LOGGER

_QUERY_STEPS: Final = 6
"""A query can be answered for as long as this many steps, so that the answer is there after any round."""


class NodeDirectory(Mapping[int, int]):
    """Flower's node id of each of the roster's ids, as far as they are known and unambiguous.

    Args:
        grid: The grid of the ServerApp.
        roster: The public identity key of each node, by id.
        run: The name of the run.
        keys: The public key with which the node of each id must have registered at the SuperLink. Ids that have none
            are left out. If there are no keys at all, it is not checked how nodes have registered.
        clock: A clock in seconds that never goes back.
        sleep: Waits for a number of seconds.
        entropy: The randomness of the queries' nonces; `os.urandom` outside tests.

    Raises:
        ConfigurationError: There are keys, and this version of Flower does not tell those of its nodes.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        roster: Mapping[int, bytes],
        run: str,
        keys: Mapping[int, bytes],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        entropy: Entropy = os.urandom,
    ) -> None:
        if keys and not tells_public_keys(grid):
            raise ConfigurationError(
                "public keys of the roster: expected a version of Flower that tells the keys of its nodes, found an "
                "older one. Install flwr 1.40 or later, or leave the keys out of the roster file."
            )
        self._grid, self._post, self._keys = grid, Post(grid, clock, sleep), keys
        self._roster, self._run = roster, run
        self._clock, self._entropy = clock, entropy
        self._queries: dict[str, Query] = {}
        self._claims: dict[int, int] = {}
        self._nodes: dict[int, int] = {}

    def __getitem__(self, party: int) -> int:
        return self._nodes[party]

    def __iter__(self) -> Iterator[int]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def refresh(self, step_s: float, *, patient: bool) -> None:
        """Ask the nodes that are not known, and take in what they have answered.

        Args:
            step_s: The seconds that a step of the protocol takes at most.
            patient: Whether to wait for all answers, for as long as one step. What comes later is taken in by the next
                call.
        """
        present = set(self._grid.get_node_ids())
        self._ask(present, _QUERY_STEPS * step_s)
        self._collect(self._clock() + (step_s if patient else 0.0))
        usable = {node: self._claims[node] for node in sorted(self._registered(present & self._claims.keys()))}
        ambiguous = {party for party, count in Counter(usable.values()).items() if count > 1}
        if ambiguous:
            LOGGER.warning("left out, since several nodes of Flower claim them: clients %s", sorted(ambiguous))
        self._nodes = {party: node for node, party in usable.items() if party not in ambiguous}

    def forget(self, parties: Iterable[int]) -> None:
        """Leave out the nodes of some parties until they have answered once more which id they have."""
        for party in parties:
            node = self._nodes.pop(party, None)
            if node is not None:
                LOGGER.warning("client %d was silent, and is left out until it answers", party)
                del self._claims[node]

    def _ask(self, present: Set[int], seconds: float) -> None:
        """Ask each node that is there and not known, unless it was asked and can still answer."""
        self._queries = {message: query for message, query in self._queries.items() if query.address in present}
        asked = {query.address for query in self._queries.values()}
        for node in sorted(present - self._claims.keys() - asked):
            query = Query.new(self._run, node, entropy=self._entropy)
            message = self._post.push(node, query.to_bytes(), seconds)
            if message is not None:
                self._queries[message] = query

    def _collect(self, until: float) -> None:
        """Take in the answers that are there, and those that come until then."""
        for message, reply in self._post.replies(tuple(self._queries), until):
            self._take(self._queries.pop(message), reply)

    def _take(self, query: Query, reply: bytes | Failure) -> None:
        """Take in the answer to a query. Flower itself answers a query that has expired."""
        party = query.claimant(reply, self._roster) if isinstance(reply, bytes) else None
        if party is None:
            LOGGER.warning("a node of Flower has not shown that it is a client of the roster, and is left out")
        else:
            self._claims[query.address] = party

    def _registered(self, nodes: Set[int]) -> Set[int]:
        """Return the nodes of which the public key is that of the client that they claim to be, if there are keys."""
        if not self._keys:
            return nodes
        public = public_keys(self._grid)
        keyed = {node for node in nodes if self._claims[node] in self._keys}
        fits = {node for node in keyed if self._keys[self._claims[node]] == public.get(node)}
        for party in sorted({self._claims[node] for node in nodes - keyed}):
            LOGGER.warning("a node is left out: it is client %d, of which no registered key was given", party)
        for party in sorted({self._claims[node] for node in keyed - fits}):
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
