"""The tally of a round between processes: its bytes, the server's seconds, and why replies are missing."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from threading import Lock

from protocols import Cost
from secagg.engines.base import RoundResult, StepFigures
from secagg.logger import LOGGER


class RoundTally:
    """The tally of one round. Several threads may count what is sent.

    Args:
        clock: A clock in seconds.
        label: What the log calls the session.

    Attributes:
        cost: The bytes of all parties, and the seconds of the server.
        dropped: For each step, the parties that did not answer it.
        steps: The figures of each step that has ended.
        seen: For each node that refuses the attempt as an old one, the last serial that it says it has seen.
    """

    def __init__(self, clock: Callable[[], float], label: str) -> None:
        self.cost = Cost()
        self.dropped: dict[str, tuple[int, ...]] = {}
        self.steps: list[StepFigures] = []
        self.seen: dict[int, int] = {}
        self._refused: Counter[str] = Counter()
        self._sent, self._received = 0, 0
        self._clock = clock
        self._label = label
        self._lock = Lock()

    def result(self, *, withheld: str | None = None) -> RoundResult:
        """Return the result of a round without a sum, or of one whose sum the caller adds."""
        return RoundResult(
            withheld=withheld, dropped=self.dropped, steps=tuple(self.steps), seen=self.seen, cost=self.cost
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
            self._sent += size

    def received_from(self, party: int, size: int) -> None:
        """Count bytes that a party has sent."""
        self.cost.sent_bytes[party] += size
        self._received += size

    @contextmanager
    def step(self, name: str, *, asked: int, missing: Callable[[], Collection[int]]) -> Iterator[None]:
        """Measure a step, and note which of its parties are missing at its end."""
        begun = self._clock()
        self._refused, self._sent, self._received = Counter(), 0, 0
        try:
            yield
        finally:
            left = tuple(sorted(missing()))
            if left:
                self.dropped[name] = tuple(sorted({*self.dropped.get(name, ()), *left}))  # A step may repeat.
            self.steps.append(
                StepFigures(
                    step=name,
                    asked=asked,
                    answered=asked - len(left),
                    seconds=self._clock() - begun,
                    sent_bytes=self._sent,
                    received_bytes=self._received,
                    refused=dict(self._refused),
                )
            )

    def drop(self, step: str, party: int, code: str) -> None:
        """Count a reply that is not in a step."""
        self._refused[code] += 1
        LOGGER.warning("session %s: step %s: no reply of party %d: %s", self._label, step, party, code)
