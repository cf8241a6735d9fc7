"""One secure sum, driven step by step, so that an adversary can look at every message and put others in its place."""

import copy
from collections.abc import Mapping, Sequence
from typing import Final, Self

from numpy.typing import ArrayLike

from protocols import Client, Continue, Finish, RemoteError, Secret, Server
from protocols.codec import Codec, Message
from protocols.crypto.entropy import Entropy
from protocols.replay import MemoryOpenings, MemoryRecord
from protocols.secure_sum import Role
from secagg.audit.seeds import Tape
from secagg.audit.sums.cohort import Cohort

SNAPSHOT_KEY: Final = Secret(b"the key of an audit's snapshots.")
"""The key of every snapshot of an audit, 32 bytes."""


class Stepwise:
    """All parties of one sum. Each party has a tape of its own, which follows from the seed, the label and its id.

    Args:
        cohort: The cohort.
        inputs: Each client's vector.
        seed: The seed of the attempt.
        label: Tells the runs of one attempt apart.
        server: The server's machine before its first step; an honest one if it is left out.

    Attributes:
        cohort: The cohort.
        clients: Each party's machine.
        records: Each party's record of sessions.
        openings: Each party's record of openings.
        tapes: Each party's tape.
        server: The server's machine.
        progress: The step that is open, or the sum.
    """

    def __init__(
        self,
        cohort: Cohort,
        inputs: Mapping[int, ArrayLike],
        seed: bytes,
        *,
        label: str = "",
        server: Server | None = None,
    ) -> None:
        self.cohort = cohort
        self.tapes = {party: Tape(seed, f"{label} party {party}") for party in cohort.parties}
        self.records = {party: MemoryRecord() for party in cohort.parties}
        self.openings = {party: MemoryOpenings() for party in cohort.parties}
        self.clients: dict[int, Client] = {
            party: cohort.client(
                party,
                inputs.get(party),
                self.tapes[party],
                record=self.records[party],
                openings=self.openings[party],
            )
            for party in cohort.parties
        }
        self.server = server or cohort.server()
        self.progress: Continue | Finish = self.server.start()

    @property
    def requests(self) -> Mapping[int, bytes]:
        """The server's requests in the step that is open, by party."""
        if not isinstance(self.progress, Continue):
            raise LookupError("requests: expected an open step, found that the sum is finished")
        return self.progress.requests

    @property
    def number(self) -> int:
        """The number of the step that is open."""
        names = [row.name for row in self.cohort.protocol.steps]
        return names.index(self.progress.step) if isinstance(self.progress, Continue) else len(names)

    def replies(self) -> dict[int, bytes]:
        """Return the reply of every party that the open step asks and that answers."""
        found = {}
        for party, request in self.requests.items():
            try:
                found[party] = self.clients[party].handle(request)
            except RemoteError:
                continue  # The party has closed; for the server it has dropped out.
        return found

    def deliver(self, replies: Mapping[int, bytes]) -> None:
        """Give the server these replies, leave out those that it refuses, and end the step.

        Raises:
            TooFewSurvivors, RemoteError: The server ends the session.
        """
        for party, reply in replies.items():
            try:
                self.server.receive(party, reply)
            except RemoteError:
                continue
        self.progress = self.server.advance()

    def to_step(self, number: int) -> Self:
        """Run all steps before this one honestly, and return this run."""
        while isinstance(self.progress, Continue) and self.number < number:
            self.deliver(self.replies())
        return self

    def finish(self) -> Finish:
        """Run all steps that are left honestly, and return the sum."""
        while isinstance(self.progress, Continue):
            self.deliver(self.replies())
        return self.progress

    def fork(self, server: type[Server] = Server) -> Self:
        """Return a run with the same parties and a second server, which continues from where this one is.

        Args:
            server: The class of the second server.
        """
        cohort, forked = self.cohort, copy.copy(self)
        data = self.server.snapshot(SNAPSHOT_KEY, entropy=Tape(b"snapshot"))
        forked.server = server.restore(cohort.protocol, cohort.session, data, key=SNAPSHOT_KEY)
        return forked

    def body(self, number: int, reply: bytes) -> Message:
        """Return the message of a reply of a step."""
        return codec_of(self.cohort).decode(number, self.cohort.protocol.steps[number].reply, reply)


def codec_of(cohort: Cohort) -> Codec:
    """Return the codec of a cohort's messages."""
    protocol, session = cohort.protocol, cohort.session
    return Codec(
        protocol.digest(session), protocol.message_limit(session), protocol.list_limit(session), wire=protocol.wire
    )


def restored(cohort: Cohort, party: int, data: bytes, entropy: Entropy, record: MemoryRecord) -> Client:
    """Return a party's machine that continues from a snapshot, with a record of its own."""
    return Client.restore(
        cohort.protocol,
        cohort.session,
        data,
        key=SNAPSHOT_KEY,
        entropy=entropy,
        terms=cohort.terms(party, record),
        keyholder=cohort.keyholder(party),
    )


def client_steps(cohort: Cohort) -> Sequence[int]:
    """Return the numbers of the steps that ask clients."""
    return [number for number, row in enumerate(cohort.protocol.steps) if row.role is Role.CLIENT]
