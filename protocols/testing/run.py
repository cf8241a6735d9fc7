"""A driver for tests: all parties of one sum, step by step, and checkpoints from which a test can go on many times."""

import copy
import operator
from collections.abc import Collection, Mapping, Sequence
from typing import Self

import numpy as np

from protocols.errors import RemoteError
from protocols.machine import Continue, Server
from protocols.replay import MemoryOpenings, MemoryRecord, OpeningRecord
from protocols.secure_sum import Finish
from protocols.session import Vector
from protocols.testing.repeatable import SNAPSHOT_KEY, repeatable_entropy
from protocols.testing.scenario import Scenario


def exact_sum(
    inputs: Mapping[int, Vector],
    contributors: Sequence[int],
    modulus: int,
    weights: Mapping[int, int] | None = None,
) -> list[int]:
    """Return the sum of the contributors' vectors modulo `modulus`, computed with Python's own integers.

    Each vector counts as often as its weight says; once, if it has none.
    """
    times = [(weights or {}).get(client, 1) for client in contributors]
    columns = zip(*(inputs[client].tolist() for client in contributors), strict=True)
    return [sum(map(operator.mul, times, column)) % modulus for column in columns]


class ProtocolRun:
    """All parties of one sum, driven step by step with repeatable entropy.

    Args:
        scenario: The scenario.
        seed: A label of the parties' entropy.
        vectors: Each client's vector; those of `Scenario.inputs` if it is left out.
        openings: Each party's record of openings; new ones, which are in memory, if it is left out.

    Attributes:
        scenario: The scenario.
        inputs: Each client's vector.
        records: Each party's record of sessions.
        openings: Each party's record of openings, as a client and as a committee member.
        clients: Each party's machine.
        server: The server's machine.
        progress: The step that is open, or the sum.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: bytes = b"run",
        vectors: Mapping[int, Vector] | None = None,
        openings: Mapping[int, OpeningRecord] | None = None,
    ) -> None:
        self.scenario = scenario
        self.inputs = scenario.inputs() if vectors is None else vectors
        self.records = {party: MemoryRecord() for party in scenario.parties}
        self.openings: Mapping[int, OpeningRecord] = (
            {party: MemoryOpenings() for party in scenario.parties} if openings is None else openings
        )
        self.clients = {
            party: scenario.client(
                party,
                self.inputs.get(party),
                repeatable_entropy(seed + b"%d" % party),
                self.records[party],
                self.openings[party],
            )
            for party in scenario.parties
        }
        self.server = Server(scenario.protocol, scenario.session)
        self.progress: Continue | Finish = self.server.start()

    @property
    def requests(self) -> Mapping[int, bytes]:
        """The server's requests in the step that is open, by party."""
        if not isinstance(self.progress, Continue):
            raise LookupError("requests: expected an open step, found that the sum is finished")
        return self.progress.requests

    def replies(self) -> dict[int, bytes]:
        """Return the reply of every party that the open step asks."""
        return {client: self.clients[client].handle(request) for client, request in self.requests.items()}

    def deliver(self, replies: Mapping[int, bytes]) -> None:
        """Give the server these replies, in this order, and end the step."""
        for client, reply in replies.items():
            self.server.receive(client, reply)
        self.progress = self.server.advance()

    def abandon(self) -> None:
        """End the step with the replies that are there; nobody answers if the server asks again in the same step.

        Each protocol stops to ask after at most as many times as there are parties.
        """
        step = self.server.step
        for _ in range(1 + len(self.scenario.parties)):
            if self.server.step == step:
                self.server.advance()

    def to_step(self, number: int) -> Self:
        """Run that many steps honestly, and return this run."""
        for _ in range(number):
            self.deliver(self.replies())
        return self

    def finish(self) -> Finish:
        """Run all steps that are left honestly, and return the sum."""
        while isinstance(self.progress, Continue):
            self.deliver(self.replies())
        return self.progress

    def is_exact(self, outcome: Finish) -> bool:
        """Return whether an outcome is the sum of its contributors' vectors, and of at least `threshold` of them."""
        session = self.scenario.session
        return (
            outcome.total.dtype == np.uint64
            and outcome.contributors == tuple(sorted(set(outcome.contributors)))
            and len(outcome.contributors) >= session.threshold
            and outcome.total.tolist() == exact_sum(self.inputs, outcome.contributors, session.modulus, outcome.weights)
        )

    def refusal(self, sender: int, reply: bytes) -> RemoteError | None:
        """Give the server one reply, and return the error with which it refuses the reply; None if it takes it in.

        Raises:
            LookupError: The server names another culprit than the sender.
        """
        try:
            self.server.receive(sender, reply)
        except RemoteError as error:
            if error.culprits != {sender}:
                raise LookupError(f"culprits: expected {sender}, found {sorted(error.culprits)}") from error
            return error
        return None


class _NoRecord:
    """A record of sessions that notes nothing, so that a test can go on from one snapshot many times."""

    def record(
        self,
        identity: bytes,
        session_id: bytes,
        number: int,
        *,
        vector: bool = False,
        cap: int | None = None,
        context: bytes = b"",
        committee: bytes = b"",
    ) -> None:
        """See `SessionRecord.record`."""


class _NoOpenings:
    """A record of openings that notes nothing."""

    def record(
        self,
        *,
        key: bytes,
        session_id: bytes,
        context: bytes,
        contributors: tuple[int, ...],
        minimum: int,
        root: bytes = b"",
        weights: tuple[int, ...] = (),
        batches: bool = False,
    ) -> None:
        """See `OpeningRecord.record`."""


class Checkpoint:
    """A run between two messages, kept as snapshots, from which a test goes on as often as it likes."""

    def __init__(self, run: ProtocolRun) -> None:
        self._run = run
        self._clients = {c: machine.snapshot(SNAPSHOT_KEY) for c, machine in run.clients.items() if not machine.closed}
        self._server = run.server.snapshot(SNAPSHOT_KEY, entropy=repeatable_entropy(b"checkpoint"))
        self._progress = run.progress

    def resume(self, *, clients: Collection[int] | None = None) -> ProtocolRun:
        """Return a run that goes on from here, with all parties or with these; the entropy is the same each time.

        Its parties keep no records: they answer the same request again, which a real party must not.
        """
        run = copy.copy(self._run)
        run.clients = {
            client: run.scenario.restored(client, data, repeatable_entropy(b"%d" % client), _NoRecord(), _NoOpenings())
            for client, data in self._clients.items()
            if clients is None or client in clients
        }
        run.server = Server.restore(run.scenario.protocol, run.scenario.session, self._server, key=SNAPSHOT_KEY)
        run.progress = self._progress
        return run
