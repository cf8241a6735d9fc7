"""One secure sum, driven step by step, so that an adversary can look at every message and put others in its place."""

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Self

from numpy.typing import ArrayLike

from protocols import Client, Continue, Finish, RemoteError, Secret, Server
from protocols.codec import Codec, Message
from protocols.crypto.entropy import Entropy
from protocols.errors import ProtocolError
from protocols.replay import MemoryOpenings, MemoryRecord, SessionRecord
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

    def replies(self, parties: Collection[int] | None = None) -> dict[int, bytes]:
        """Return the reply of every party that the open step asks and that answers.

        Args:
            parties: The parties that are asked; all that the step asks if it is left out.
        """
        found = {}
        for party, request in self.requests.items():
            if parties is not None and party not in parties:
                continue
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

    def finish(self, parties: Collection[int] | None = None) -> Finish:
        """Run all steps that are left, and return the sum.

        Args:
            parties: The parties that answer from now on; all if it is left out.

        Raises:
            TooFewSurvivors, RemoteError: The server ends the session.
        """
        while isinstance(self.progress, Continue):
            self.deliver(self.replies(parties))
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

    def second_machine(self, party: int) -> Client:
        """Return a copy of a party's machine, which has no records and can be asked without closing the first one."""
        data = self.clients[party].snapshot(SNAPSHOT_KEY)
        return restored(self.cohort, party, data, Tape(b"second machine", str(party)), ForgetfulRecord())

    def answer_to(self, party: int, request: bytes) -> bytes | None:
        """Return what a party would answer to any request in the step that is open; None if it refuses."""
        try:
            return self.second_machine(party).handle(request)
        except ProtocolError:
            return None

    def would_take(self, party: int, reply: bytes) -> bool:
        """Return whether the server would take any bytes as this party's reply in the step that is open."""
        try:
            self.fork().server.receive(party, reply)
        except ProtocolError:
            return False
        return True

    def body(self, number: int, reply: bytes) -> Message:
        """Return the message of a reply of a step."""
        kind: type[Message] = self.cohort.protocol.steps[number].reply
        return codec_of(self.cohort).decode(number, kind, reply)


def codec_of(cohort: Cohort) -> Codec:
    """Return the codec of a cohort's messages."""
    protocol, session = cohort.protocol, cohort.session
    return Codec(
        protocol.digest(session), protocol.message_limit(session), protocol.list_limit(session), wire=protocol.wire
    )


class ForgetfulRecord:
    """A record of sessions that notes nothing, so that an adversary can ask one party many times."""

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


def restored(cohort: Cohort, party: int, data: bytes, entropy: Entropy, record: SessionRecord) -> Client:
    """Return a party's machine that continues from a snapshot, with a record of sessions."""
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
