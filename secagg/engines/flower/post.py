"""Bytes to one node of Flower and back: a message that is pushed, and its reply, which is pulled when it is there."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from flwr.app import Message
from flwr.serverapp import Grid

from secagg.engines.flower.payload import TYPE, unwrap, wrap
from secagg.engines.server.channel import Failure

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 0.25
_GROWTH: Final = 1.5
_CODES: Final = range(9)
"""The values of Flower's `ErrorCode`. A node can send any other number, which would be a reason of its own."""


@dataclass(frozen=True, slots=True)
class Post:
    """What a grid does for us. A reply is pulled alone, so that this process holds one at a time.

    Attributes:
        grid: The grid of the ServerApp.
        clock: Returns the time in seconds; it never goes back.
        sleep: Waits for a number of seconds.
    """

    grid: Grid
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def push(self, node: int, data: bytes, seconds: float) -> str | None:
        """Send bytes to a node, to be answered within some seconds.

        Returns:
            The message's id; None if the SuperLink has not taken it, or there is no time left.
        """
        if seconds <= 0:
            return None
        ids = list(self.grid.push_messages([Message(wrap(data), node, TYPE, ttl=seconds)]))
        return ids[0] if ids else None

    def pull(self, message: str) -> bytes | Failure | None:
        """Return the reply to a message, or why there is none; None if it is not there yet."""
        for reply in self.grid.pull_messages([message]):
            if reply.metadata.reply_to_message_id != message:
                continue
            data = unwrap(reply)
            if data is not None:
                return data
            if not reply.has_error():
                return Failure("another content")
            # The text of an error is the node's, and goes nowhere.
            return Failure(f"error {reply.error.code if reply.error.code in _CODES else 'other'}")
        return None

    def replies(self, messages: Iterable[str], until: float) -> Iterator[tuple[str, bytes | Failure]]:
        """Yield the replies to messages that are there, and those that come until then.

        After a pause one message is asked for, in turn, and further ones as long as each has its reply. So the requests
        to the SuperLink are at most as many as the pauses and the replies, however many nodes are waited for, and the
        last reply of a step waits for one pause.
        """
        waiting, pause = deque(messages), _FIRST_PAUSE_S
        while waiting:
            message = waiting.popleft()
            reply = self.pull(message)
            if reply is not None:
                pause = _FIRST_PAUSE_S
                yield message, reply
                del reply  # Before the next one is pulled.
                continue
            waiting.append(message)
            left = until - self.clock()
            if left <= 0:
                break
            self.sleep(min(pause, left))
            pause = min(_GROWTH * pause, _LONGEST_PAUSE_S)
        for message in waiting:
            reply = self.pull(message)
            if reply is not None:
                yield message, reply
                del reply
