"""The channel over FLARE: each site is asked from a thread of its own, and long messages share a bounded memory.

A site's process starts with the job and may come late, or be killed and never come back. So nobody is sent a parcel who
has not said hello since it was last silent. A hello is a request without content, with a short timeout.

FLARE vouches for the name of the site that a reply comes from. Sites stand for ids by the names in the roster file, and
the engine over this channel drops a reply that names another id.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Final

from protocols.errors import OrderError
from secagg.checks import check_integer, check_positive
from secagg.engines.nvflare.in_flight import InFlight
from secagg.engines.nvflare.message import HELLO
from secagg.engines.nvflare.transfer import Link, Received, Transfer
from secagg.engines.server.channel import Failure
from secagg.errors import ConfigurationError
from secagg.logger import LOGGER

HELLO_S: Final = 1.0
PAUSE_S: Final = 0.2
WORKERS: Final = 128
IN_FLIGHT_BYTES: Final = 2**26

_Answer = tuple[int, Received | Failure]


class FlareChannel:
    """A `secagg.engines.server.channel.Channel` over FLARE.

    Args:
        link: What FLARE does.
        sites: The name of each node's site, by id.
        clock: The engine's clock, in seconds.
        wait: Waits for a number of seconds.
        workers: How many sites are asked at once, at most.
        in_flight_bytes: The most bytes of long messages that are in memory at once; see
            `secagg.engines.nvflare.in_flight`.

    Raises:
        ConfigurationError: There are no sites, two ids have the same site, or a number is not an integer above 0.
    """

    def __init__(
        self,
        link: Link,
        sites: Mapping[int, str],
        *,
        clock: Callable[[], float],
        wait: Callable[[float], None],
        workers: int = WORKERS,
        in_flight_bytes: int = IN_FLIGHT_BYTES,
    ) -> None:
        if not sites or len(set(sites.values())) != len(sites):
            raise ConfigurationError(
                f"sites: expected a different name for each of at least 1 node, found {len(set(sites.values()))} names "
                f"of {len(sites)} nodes. Correct the roster file."
            )
        self._link = link
        self._sites = dict(sites)
        self._clock = clock
        self._wait = wait
        self._workers = check_integer("workers", workers, minimum=1)
        self._in_flight_bytes = check_integer("in_flight_bytes", in_flight_bytes, minimum=1)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._silent = set(self._sites)
        self._unheard = set(self._sites)
        self._begun: float | None = None

    def gather(
        self,
        nodes: Iterable[int],
        *,
        quorum: int,
        patience_s: float,
        timeout_s: float,
        is_over: Callable[[], bool] = lambda: False,
    ) -> tuple[int, ...]:
        """Return the nodes that answer, in ascending order, once there are enough of them.

        In the first seconds, nodes that were never heard are waited for. Later, a silent node is asked once.

        Args:
            nodes: The nodes to ask.
            quorum: How many are enough.
            patience_s: How long after the first call to wait for nodes that were never heard, if enough others are
                there.
            timeout_s: How long to wait for enough nodes.
            is_over: Returns whether to wait no longer.

        Raises:
            ConfigurationError: `quorum` is not an integer above 0, or a timeout is not a number above 0.
        """
        wanted = sorted(set(nodes))
        quorum = check_integer("quorum", quorum, minimum=1)
        now = self._clock()
        if self._begun is None:
            self._begun = now
        patient = self._begun + check_positive("patience", patience_s)
        latest = now + check_positive("timeout", timeout_s)
        while True:
            present = self._greeted(wanted)
            complete = len(present) == len(wanted)
            with self._lock:
                expected = bool(self._unheard.intersection(wanted))
            enough = len(present) >= quorum and not (expected and self._clock() < patient)
            if complete or enough or is_over() or self._clock() >= latest:
                return present
            self._wait(PAUSE_S)

    def exchange(self, parcels: Mapping[int, bytes], deadline: float) -> Iterator[tuple[int, bytes | Failure]]:
        """Send each node its parcel, and yield what comes back; see `secagg.engines.server.channel.Channel`."""
        nodes = self._present_first(parcels)
        if not nodes:
            return
        in_flight = InFlight(self._in_flight_bytes, self._clock)
        transfer = Transfer(self._link, in_flight=in_flight, clock=self._clock, deadline=deadline)
        answers: SimpleQueue[_Answer] = SimpleQueue()
        pool = ThreadPoolExecutor(min(self._workers, len(nodes)), thread_name_prefix="secagg-flare")
        try:
            for node in nodes:
                pool.submit(self._exchange_one, node, parcels, transfer, answers)
            for _ in nodes:
                try:
                    node, answer = answers.get(timeout=max(0.0, deadline - self._clock()))
                except Empty:
                    return
                room = answer.room if isinstance(answer, Received) else None
                yield node, answer.body if isinstance(answer, Received) else answer
                del answer
                if room is not None:
                    in_flight.give(room)
        finally:
            in_flight.close()
            pool.shutdown(wait=False, cancel_futures=True)

    def _exchange_one(
        self, node: int, parcels: Mapping[int, bytes], transfer: Transfer, answers: SimpleQueue[_Answer]
    ) -> None:
        try:
            answers.put((node, self._answer(node, parcels, transfer)))
        except OrderError:
            return  # The engine waits for nobody any more.
        except Exception as error:  # noqa: BLE001  # It is FLARE's own; the node counts as silent.
            LOGGER.warning("a request to a FLARE site has failed: %s", type(error).__name__)
            answers.put((node, self._failed(node, Failure("request failed"))))

    def _answer(self, node: int, parcels: Mapping[int, bytes], transfer: Transfer) -> Received | Failure:
        if node not in self._sites:
            return Failure("no site")
        if not self._greet(node, transfer.deadline):
            return Failure("silent")
        answer = transfer.exchange(self._sites[node], next(self._numbers), lambda: parcels[node])
        return self._failed(node, answer) if isinstance(answer, Failure) else answer

    def _failed(self, node: int, failure: Failure) -> Failure:
        with self._lock:
            self._silent.add(node)
        return failure

    def _greet(self, node: int, deadline: float) -> bool:
        """Return whether a node is there: it was not silent since its last hello, or it answers one now."""
        with self._lock:
            if node not in self._silent:
                return True
        left = deadline - self._clock()
        if left <= 0 or not self._says_hello(node, min(HELLO_S, left)):
            return False
        with self._lock:
            self._silent.discard(node)
            self._unheard.discard(node)
        return True

    def _says_hello(self, node: int, timeout_s: float) -> bool:
        """Return whether a site answers a hello; whatever else comes of it, the site is silent."""
        try:
            return self._link.call(self._sites[node], HELLO, timeout_s) == HELLO
        except Exception as error:  # noqa: BLE001  # It is FLARE's own, and one site must not end the job.
            LOGGER.warning("a hello to a FLARE site has failed: %s", type(error).__name__)
            return False

    def _greeted(self, nodes: list[int]) -> tuple[int, ...]:
        """Say hello once to each node that is silent, and return those that are there."""
        deadline = self._clock() + 2 * HELLO_S
        known = [node for node in nodes if node in self._sites]
        if not known:
            return ()
        with ThreadPoolExecutor(min(self._workers, len(known)), thread_name_prefix="secagg-flare") as pool:
            there = list(pool.map(lambda node: self._greet(node, deadline), known))
        return tuple(node for node, present in zip(known, there, strict=True) if present)

    def _present_first(self, nodes: Iterable[int]) -> list[int]:
        """Return the nodes with silent ones last, so that no hello delays a parcel."""
        with self._lock:
            return sorted(nodes, key=lambda node: node in self._silent)
