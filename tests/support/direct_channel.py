"""A channel in memory without faults, whose replies a test may replace, on a simulated clock."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from secagg.engines.channel import Failure

Answer = Callable[[bytes], bytes]
Arrived = tuple[int, bytes | Failure]
Arriving = Callable[[int, bytes], Iterable[Arrived]]


def _as_it_is(party: int, reply: bytes) -> Iterable[Arrived]:
    return [(party, reply)]


class DirectChannel:
    """The channel: it asks one node after the other, and each takes the same time.

    Args:
        nodes: By id, what answers a parcel.
        arriving: Returns what the engine receives in the place of a node's reply, by default the reply.
        silent: Parties that never answer.
        seconds: How long a node takes.
        group: The number of nodes that are asked at once; None for all.

    Attributes:
        sent: Every parcel, with its party, in order.
        exchanges: For each exchange, its parties and its deadline.
        now: The time.
    """

    def __init__(
        self,
        nodes: Mapping[int, Answer],
        *,
        arriving: Arriving = _as_it_is,
        silent: Iterable[int] = (),
        seconds: float = 0.25,
        group: int | None = None,
    ) -> None:
        self.group = group
        self.sent: list[tuple[int, bytes]] = []
        self.exchanges: list[tuple[tuple[int, ...], float]] = []
        self.now = 0.0
        self._nodes = nodes
        self._arriving = arriving
        self._silent = frozenset(silent)
        self._seconds = seconds

    def clock(self) -> float:
        """Return the simulated time."""
        return self.now

    def exchange(self, parcels: Mapping[int, bytes], deadline: float) -> Iterator[Arrived]:
        """See `secagg.engines.channel.Channel`."""
        self.exchanges.append((tuple(parcels), deadline))
        for party in parcels:
            parcel = parcels[party]
            self.sent.append((party, parcel))
            if party not in self._silent:
                self.now += self._seconds
                yield from self._arriving(party, self._nodes[party](parcel))
        self.now = max(self.now, deadline)
