"""The tally of a round between processes: its bytes, the server's seconds, and why replies are missing."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from protocols import Cost
from secagg.engines.base import RoundResult
from secagg.logger import LOGGER


class RoundTally:
    """The tally of one round. Several threads may count what is sent.

    Args:
        clock: A clock in seconds.
        label: What the log calls the session.

    Attributes:
        cost: The bytes of all parties, and the seconds of the server.
        dropped: For each step, the parties that did not answer it.
        refused: For each step, how often each reason was given for an answer that is missing.
        latest: The greatest serial that a node says it has seen, if it refuses the attempt as an old one; else 0.
    """

    def __init__(self, clock: Callable[[], float], label: str) -> None:
        self.cost = Cost()
        self.dropped: dict[str, tuple[int, ...]] = {}
        self.refused: dict[str, Counter[str]] = {}
        self.latest = 0
        self._clock = clock
        self._label = label
        self._lock = Lock()

    def result(self, *, withheld: str | None = None) -> RoundResult:
        """Return the result of a round without a sum, or of one whose sum the caller adds."""
        return RoundResult(
            withheld=withheld, dropped=self.dropped, refused=self.refused, latest=self.latest, cost=self.cost
        )

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the time inside as the server's."""
        begun = self._clock()
        try:
            yield
        finally:
            self.worked(self._clock() - begun)

    def worked(self, seconds: float) -> None:
        """Count time as the server's."""
        with self._lock:
            self.cost.server_s += seconds

    def sent_to(self, party: int, size: int) -> None:
        """Count bytes that were sent to a party."""
        with self._lock:
            self.cost.received_bytes[party] += size

    def received_from(self, party: int, size: int) -> None:
        """Count bytes that a party has sent."""
        self.cost.sent_bytes[party] += size

    def drop(self, step: str, party: int, code: str) -> None:
        """Count a reply that is not in a step."""
        self.refused.setdefault(step, Counter())[code] += 1
        LOGGER.warning("session %s: step %s: no reply of party %d: %s", self._label, step, party, code)
