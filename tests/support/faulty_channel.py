"""A channel in memory that does to messages what networks and strangers do, on a simulated clock.

Every request and every reply may be delayed beyond the step, lost, given twice or three times, truncated, extended,
changed in bits, and replaced by an older message, mostly one of an earlier session. A request may reach another node,
and a reply may be named another node's. Delays reorder all of them. A reply that is lost is lost after its request was
handled. What is drawn depends on the seed alone.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from secagg.engines.channel import Failure

Answer = Callable[[bytes], bytes]
_KEPT: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """The probabilities of faults, of each message.

    Attributes:
        lost: It does not arrive; every second time the channel says so.
        late: It arrives after one to three steps.
        repeated: It arrives two or three times.
        damaged: It is truncated or extended, or bits of it are changed.
        misdirected: Another node receives it, or it is named another node's.
        replaced: An older message arrives in its place.
    """

    lost: float = 0.0
    late: float = 0.0
    repeated: float = 0.0
    damaged: float = 0.0
    misdirected: float = 0.0
    replaced: float = 0.0

    @classmethod
    def of_all_kinds(cls, probability: float) -> "Faults":
        """Return faults that are equally probable."""
        return cls(
            lost=probability,
            late=probability,
            repeated=probability,
            damaged=probability,
            misdirected=probability,
            replaced=probability,
        )


@dataclass(order=True, slots=True)
class _Event:
    at: float
    number: int
    node: int = field(compare=False)
    request: bool = field(compare=False)
    content: bytes | Failure = field(compare=False, repr=False)


class FaultyChannel:
    """The channel.

    Args:
        nodes: By id, what answers a parcel.
        step_s: The seconds of a step, to which delays relate.
        seed: The seed of all that is drawn.
        group: The number of nodes that are asked at once; None for all.

    Attributes:
        faults: The probabilities of faults; none at first.
        delivered: The number of messages that nodes have been given.
        exchanges: For each exchange, the parties that were asked.
    """

    def __init__(
        self, nodes: Mapping[int, Answer], *, step_s: float = 10.0, seed: int = 0, group: int | None = None
    ) -> None:
        self.faults = Faults()
        self.group = group
        self.delivered = 0
        self.exchanges: list[tuple[int, ...]] = []
        self._nodes = nodes
        self._step_s = step_s
        self._random = random.Random(seed)
        self._now = 0.0
        self._count = 0
        self._events: list[_Event] = []
        self._older: dict[bool, deque[bytes]] = {True: deque(maxlen=_KEPT), False: deque(maxlen=_KEPT)}

    def clock(self) -> float:
        """Return the simulated time in seconds."""
        return self._now

    def forget(self) -> None:
        """Drop all messages that are kept or on their way."""
        self._events.clear()
        for messages in self._older.values():
            messages.clear()

    def exchange(self, parcels: Mapping[int, bytes], deadline: float) -> Iterator[tuple[int, bytes | Failure]]:
        """See `secagg.engines.channel.Channel`."""
        self.exchanges = [*self.exchanges[-_KEPT:], tuple(parcels)]
        for party in parcels:
            self._send(party, parcels[party], request=True)
        while self._events and self._events[0].at <= deadline:
            event = heapq.heappop(self._events)
            self._now = max(self._now, event.at)
            if event.request and isinstance(event.content, bytes):
                self.delivered += 1
                self._send(event.node, self._nodes[event.node](event.content), request=False)
            else:
                yield event.node, event.content
        self._now = max(self._now, deadline)

    def _send(self, node: int, message: bytes, *, request: bool) -> None:
        """Let a message, or what becomes of it, arrive after a delay."""
        draw, faults = self._random, self.faults
        older = self._older[request]
        content: bytes = message
        if older and self._happens(faults.replaced):
            content = draw.choice(older)
        older.append(message)
        if self._happens(faults.damaged):
            content = self._damaged(content)
        if self._happens(faults.misdirected):
            node = draw.choice(sorted(self._nodes))
        if self._happens(faults.lost):
            if draw.random() < 0.5:
                self._push(node, Failure("unreachable"), request=False)
            return
        for _ in range(draw.choice((2, 3)) if self._happens(faults.repeated) else 1):
            self._push(node, content, request=request)

    def _push(self, node: int, content: bytes | Failure, *, request: bool) -> None:
        late = self._random.uniform(1, 3) * self._step_s if self._happens(self.faults.late) else 0.0
        self._count += 1
        at = self._now + late + self._random.uniform(0, 0.1) * self._step_s
        heapq.heappush(self._events, _Event(at, self._count, node, request, content))

    def _happens(self, probability: float) -> bool:
        return self._random.random() < probability

    def _damaged(self, message: bytes) -> bytes:
        kind = self._random.randrange(3)
        if kind == 0:
            return message[: self._random.randrange(len(message))]
        if kind == 1:
            return message + self._random.randbytes(self._random.randrange(1, 40))
        changed = bytearray(message)
        for _ in range(self._random.choice((1, 1, 8))):
            changed[self._random.randrange(len(changed))] ^= 1 << self._random.randrange(8)
        return bytes(changed)
