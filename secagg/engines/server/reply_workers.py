"""Workers: processes that take in the replies to the first step of protocols whose sums can be taken apart.

`OneShot` and `PaillierSum` check a proof for every reply, which takes most of the server's time. Their sums are sums of
masked vectors and products of ciphertexts, so any process can add up some of them. The messages and the total are the
same bytes as without workers.
"""

import multiprocessing
import socket
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Final, Self

import msgspec

from protocols import Secret
from protocols.crypto.entropy import Entropy, draw
from protocols.machine import Server
from secagg.checks import check_integer
from secagg.engines.base import RoundPlan
from secagg.engines.server.reply_intake import Drop, Taken
from secagg.engines.server.reply_worker import BEGIN, ID_BYTES, KEY_BYTES, REPLY, SERIAL_BYTES, SNAPSHOT, Verdict, work
from secagg.engines.server.worker_socket import MessageSocket
from secagg.engines.wire.parcel import open_reply
from secagg.errors import EngineError
from secagg.transcripts.description import describe
from secagg.transcripts.records import encode

_MOST_WAITING: Final = 2
"""How many replies a worker may have before it; more would only take memory."""


class _Worker:
    """One process, and the thread that talks to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = socket.socketpair()
        self._socket = MessageSocket(ours)
        self._process = context.Process(target=work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self.thread = ThreadPoolExecutor(max_workers=1)

    @property
    def process(self) -> int:
        """The id of the process."""
        return self._process.pid or 0

    def begin(self, message: bytes) -> None:
        """Begin a session."""
        self._talk(message)

    def take(self, sender: int, data: bytes) -> Verdict:
        """Give the process a reply, and return what became of it."""
        self._talk(REPLY + sender.to_bytes(ID_BYTES, "big"), data)
        return msgspec.msgpack.decode(self._answer(), type=Verdict)

    def snapshot(self) -> bytes:
        """Return the snapshot of the process, which ends its session."""
        self._talk(SNAPSHOT)
        return bytes(self._answer())

    def close(self) -> None:
        """End the process."""
        self.thread.shutdown()
        self._socket.close()
        self._process.join()

    def _talk(self, *messages: bytes) -> None:
        try:
            for message in messages:
                self._socket.send(message)
        except OSError:
            raise self._ended() from None

    def _answer(self) -> memoryview:
        try:
            return self._socket.receive()
        except (OSError, EOFError):
            raise self._ended() from None

    def _ended(self) -> EngineError:
        self._process.join()
        return EngineError(
            f"worker: expected an answer, found that its process has ended with code {self._process.exitcode}. Start "
            "new workers, and run the round again."
        )


class ReplyWorkers:
    """Processes that take in replies; a context manager. One engine at a time may use them, round after round.

    Each has imported what it needs and made the table of the committee's key after its first session. They are started
    by `spawn`, so a script that makes them needs the usual `if __name__ == "__main__":`.

    Args:
        count: The number of processes.

    Raises:
        ConfigurationError: The number is not an int of at least 1.
    """

    def __init__(self, count: int) -> None:
        check_integer("count of workers", count, minimum=1)
        self._workers = [_Worker() for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of the processes."""
        return tuple(worker.process for worker in self._workers)

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.close()

    def intake(
        self, plan: RoundPlan, server: Server, *, asked: Collection[int], keep_bodies: bool, entropy: Entropy
    ) -> "WorkerIntake":
        """Return the intake of the first step of a round.

        Args:
            plan: The plan of the round.
            server: The protocol's server, with its first step open.
            asked: The parties that the step asks.
            keep_bodies: Whether messages are to be returned with what became of them, for a transcript.
            entropy: The randomness of the key of the workers' snapshots.
        """
        protocol, session = plan.mean.protocol, plan.session
        key = Secret(draw(entropy, KEY_BYTES))
        record = encode(describe(protocol, session))
        begin = BEGIN + key.reveal() + plan.serial.to_bytes(SERIAL_BYTES, "big") + record
        for worker in self._workers:
            worker.thread.submit(worker.begin, begin)
        limit = protocol.reply_limit(session, 0) if keep_bodies else None
        return WorkerIntake(server, self._workers, asked=asked, key=key, limit=limit)


class WorkerIntake:
    """The intake of one step by workers; see `secagg.engines.server.reply_intake.Intake`.

    All replies of one party go to one worker, which refuses the second one.

    Args:
        server: The protocol's server.
        workers: The workers, which have begun the session.
        asked: The parties that the step asks.
        key: The key of their snapshots.
        limit: The largest number of bytes of a message, if messages are to be returned; otherwise None.
    """

    def __init__(
        self, server: Server, workers: list[_Worker], *, asked: Collection[int], key: Secret, limit: int | None
    ) -> None:
        self._server = server
        self._workers = workers
        self._asked = asked
        self._key = key
        self._limit = limit
        self._owners: dict[int, int] = {}
        self._waiting: dict[Future[Verdict], tuple[int, bytes]] = {}
        self._accepted: set[int] = set()

    @property
    def missing(self) -> frozenset[int]:
        """The parties that were asked, and whose reply is neither accepted nor being checked."""
        return self._server.missing - self._accepted - {sender for sender, _ in self._waiting.values()}

    def take(self, sender: int, data: bytes) -> Iterable[Taken]:
        """Give a reply to a worker, and return what has become of earlier ones."""
        if sender not in self._asked:
            return [Taken(sender=sender, code=Drop.FOREIGN)]
        worker = self._workers[self._owner(sender)]
        known = list(self._known(_MOST_WAITING * len(self._workers) - 1))
        self._waiting[worker.thread.submit(worker.take, sender, data)] = sender, data
        return known

    def settle(self) -> Iterable[Taken]:
        """Wait for the workers, and return what has become of the replies."""
        return list(self._known(0))

    def close(self) -> None:
        """Merge what the workers have taken in into the server; nothing may be waiting."""
        snapshots = [worker.thread.submit(worker.snapshot) for worker in self._workers]
        for snapshot in snapshots:
            self._server.merge(snapshot.result(), key=self._key)

    def _owner(self, sender: int) -> int:
        """Return the worker of a party, for a new party the one with the fewest replies before it."""
        if sender not in self._owners:
            waiting = Counter(self._owners[each] for each, _ in self._waiting.values())
            self._owners[sender] = min(range(len(self._workers)), key=lambda index: waiting[index])
        return self._owners[sender]

    def _known(self, most: int) -> Iterator[Taken]:
        """Yield what has become of replies, once at most `most` are waiting."""
        while True:
            done = [future for future in self._waiting if future.done()]
            for future in done:
                yield self._taken(*self._waiting.pop(future), future.result())
            if len(self._waiting) <= most:
                return
            wait(self._waiting, return_when=FIRST_COMPLETED)

    def _taken(self, sender: int, data: bytes, verdict: Verdict) -> Taken:
        if verdict.code is None:
            self._accepted.add(sender)
        body = open_reply(data, self._limit).body if verdict.given and self._limit is not None else None
        return Taken(sender=sender, code=verdict.code, body=body, last=verdict.last, seconds=verdict.seconds)
