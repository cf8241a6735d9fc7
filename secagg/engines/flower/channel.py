"""The channel over Flower's Message API: one message to each node, and its reply."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from flwr.app import Message
from flwr.serverapp import Grid

from secagg.engines.channel import Failure
from secagg.engines.flower.payload import TYPE, unwrap, wrap
from secagg.logger import LOGGER

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 1.0
_GROWTH: Final = 1.5


class FlowerChannel:
    """A `Channel` over a `Grid`.

    One message is pushed at a time, and one reply is pulled at a time, so that this process holds one of them. A
    SuperLink holds all of them until they are pulled.

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
        self._grid, self._nodes = grid, nodes
        self._clock, self._sleep = clock, sleep
        self.group = group

    def exchange(self, parcels: Mapping[int, bytes], deadline: float) -> Iterator[tuple[int, bytes | Failure]]:
        """Send each node its parcel, and yield what comes back until the deadline; see `Channel`."""
        waiting: dict[str, int] = {}
        for party in parcels:
            node = self._nodes.get(party)
            message = None if node is None else self._push(node, parcels[party], deadline)
            if message is None:
                yield party, Failure("no node of Flower" if node is None else "not sent")
            else:
                waiting[message] = party
        pause = _FIRST_PAUSE_S
        while waiting:
            found = False
            for message in tuple(waiting):
                for party, reply in self._pull(message, waiting):
                    found = True
                    yield party, reply
            left = deadline - self._clock()
            if not waiting or left <= 0:
                return
            self._sleep(min(pause, left))
            pause = _FIRST_PAUSE_S if found else min(_GROWTH * pause, _LONGEST_PAUSE_S)

    def _push(self, node: int, parcel: bytes, deadline: float) -> str | None:
        """Send a parcel, and return the message's id; None if the SuperLink has not taken it, or it is too late."""
        left = deadline - self._clock()
        if left <= 0:
            return None
        ids = list(self._grid.push_messages([Message(wrap(parcel), node, TYPE, ttl=left)]))
        return ids[0] if ids else None

    def _pull(self, message: str, waiting: dict[str, int]) -> Iterator[tuple[int, bytes | Failure]]:
        """Yield the reply to a message if it is there, and wait for it no longer."""
        for reply in self._grid.pull_messages([message]):
            party = waiting.pop(reply.metadata.reply_to_message_id, None)
            if party is None:
                continue
            data = unwrap(reply)
            if data is not None:
                yield party, data
            else:
                reason = f"error {int(reply.error.code)}" if reply.has_error() else "another content"
                LOGGER.warning("client %d gave no reply: %s", party, reason)
                yield party, Failure(reason)
