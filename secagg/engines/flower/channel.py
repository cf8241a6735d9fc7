"""The channel over Flower's Message API: one message to each node, and its reply."""

import time
from collections.abc import Callable, Iterator, Mapping

from flwr.serverapp import Grid

from secagg.engines.flower.post import Post
from secagg.engines.server.channel import Failure
from secagg.logger import LOGGER


class FlowerChannel:
    """A `Channel` over a `Grid`.

    One message is pushed at a time, and one reply is pulled at a time, so that this process holds one of them. A
    SuperLink holds all of them until they are pulled. Who was silent is not asked again until `take_silent` has said
    so.

    Args:
        grid: The grid of the ServerApp.
        nodes: Flower's node id of each of the roster's ids; read at every exchange.
        clock: The engine's clock.
        sleep: Waits for a number of seconds.
        group: The number of nodes that are asked at once; None asks all of them at once.
    """

    def __init__(
        self,
        grid: Grid,
        nodes: Mapping[int, int],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        group: int | None = None,
    ) -> None:
        self._post, self._nodes = Post(grid, clock, sleep), nodes
        self._clock = clock
        self._silent: set[int] = set()
        self.group = group

    def exchange(self, parcels: Mapping[int, bytes], deadline: float) -> Iterator[tuple[int, bytes | Failure]]:
        """Send each node its parcel, and yield what comes back until the deadline; see `Channel`."""
        waiting: dict[str, int] = {}
        try:
            for party in parcels:
                node = self._nodes.get(party)
                if node is None or party in self._silent:
                    yield party, Failure("no node of Flower" if node is None else "silent")
                    continue
                message = self._post.push(node, parcels[party], deadline - self._clock())
                if message is None:
                    yield party, Failure("not sent")
                else:
                    waiting[message] = party
            yield from self._replies(waiting, deadline)
        finally:
            self._silent.update(waiting.values())

    def take_silent(self) -> frozenset[int]:
        """Return the parties that gave no reply to a message since the last call: nothing, or an error of Flower."""
        silent = frozenset(self._silent)
        self._silent.clear()
        return silent

    def _replies(self, waiting: dict[str, int], deadline: float) -> Iterator[tuple[int, bytes | Failure]]:
        """Yield the replies to messages as they come, and wait for each no longer when it has come."""
        for message, reply in self._post.replies(tuple(waiting), deadline):
            party = waiting.pop(message)
            if isinstance(reply, Failure):
                LOGGER.warning("client %d gave no reply: %s", party, reply.reason)
                self._silent.add(party)
            yield party, reply
            del reply  # Before the next one is pulled.
