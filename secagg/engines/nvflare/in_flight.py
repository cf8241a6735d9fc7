"""How many bytes of long messages the server holds at once: those that are being sent, received or taken in.

A message gets room when it fits beside the others, or when there are no others. So one message that is longer than the
limit passes alone. What is never counted are messages that travel whole; see `secagg.engines.nvflare.message`.

One slow site must not take the time of all: while others wait for room, a message may keep it for an equal share of
the time that was left when it got it.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True, eq=False, kw_only=True)
class Room:
    """The room of one message.

    Attributes:
        size: Its bytes.
        begun: When it got the room.
        deadline: When the step ends.
    """

    size: int
    begun: float
    deadline: float


class InFlight:
    """The room for long messages in one exchange. Several threads use it.

    Args:
        limit: The most bytes at once, unless one message alone has more.
        clock: A clock in seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._changed = threading.Condition()
        self._used = 0
        self._waiting = 0
        self._closed = False

    def take(self, size: int, deadline: float) -> Room | None:
        """Wait for room, and return it; None if there is none before the deadline, or the exchange has ended."""
        with self._changed:
            self._waiting += 1
            try:
                while not self._closed and self._used and self._used + size > self._limit:
                    left = deadline - self._clock()
                    if left <= 0 or not self._changed.wait(left):
                        return None
                now = self._clock()
                if self._closed or now >= deadline:
                    return None
                self._used += size
                return Room(size=size, begun=now, deadline=deadline)
            finally:
                self._waiting -= 1

    def resize(self, room: Room, size: int) -> None:
        """Change the size of a room, without waiting."""
        with self._changed:
            self._used += size - room.size
            room.size = size
            self._changed.notify_all()

    def give(self, room: Room) -> None:
        """Give back a room."""
        with self._changed:
            self._used -= room.size
            self._changed.notify_all()

    def left(self, room: Room) -> float:
        """Return for how many seconds a message may keep its room; 0 after the end of the exchange."""
        with self._changed:
            if self._closed:
                return 0.0
            share = (room.deadline - room.begun) / (1 + self._waiting)
        return max(0.0, room.begun + share - self._clock())

    def close(self) -> None:
        """End the exchange: nobody gets room any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
