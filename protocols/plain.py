"""The insecure baseline: every client sends its vector in the clear.

It protects from no adversary: the server sees every vector. It exists to compare cost and accuracy with it, and so that
audits have a protocol that must fail them.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec
import numpy as np

from protocols import packing
from protocols.codec import Invitation, Message, Stream
from protocols.cohort import Adversary, check_cohort
from protocols.crypto.integers import shown
from protocols.crypto.keystream import Words, word_dtype
from protocols.errors import MalformedMessage, ParameterError
from protocols.pieces import ArrayReader, packed_pieces
from protocols.secure_sum import Finish, SecureSum, Step
from protocols.session import Participant, Session
from protocols.snapshot import State


class PlainInput(Message, frozen=True):
    """A client's vector, bit-packed, readable by the server."""

    packed: memoryview


class PlainClientState(State):
    """A client's input, and nothing else."""

    vector: Words


class PlainClient:
    """One client of one session."""

    def __init__(self, session: Session, participant: Participant) -> None:
        self._session = session
        self._reader = participant.reader
        self.state = PlainClientState(participant.vector)

    def contribute(self, _: Invitation) -> PlainInput:
        """Send the vector as it is."""
        return PlainInput(memoryview(packing.pack(self.state.vector, self._session.modulus)))

    def stream(self, _: Invitation) -> Stream:
        """Send the vector as it is, piece by piece."""
        reader, modulus = self._reader or ArrayReader(self.state.vector), self._session.modulus
        size = packing.packed_bytes(reader.length, modulus)
        return Stream(kind=PlainInput, before=(), size=size, pieces=packed_pieces(reader, modulus=modulus))


class PlainServerState(State):
    """The running sum, and the ids of the clients whose vectors are in it."""

    total: Words
    contributors: set[int] = msgspec.field(default_factory=set)


class PlainServer:
    """The server of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.state = PlainServerState(np.zeros(session.length, dtype=word_dtype(session.modulus)))

    def put_total(self, vector: Words) -> None:
        """See `SecureSum.server_party`."""
        self.state.total = vector

    def open(self) -> dict[int, Message]:
        """Ask every client."""
        return {client: Invitation() for client in self._session.clients}

    def add(self, sender: int, contribution: PlainInput) -> None:
        """Add one vector to the running sum."""
        try:
            packing.add_packed(self.state.total, contribution.packed, self._session.modulus)
        except ValueError as error:
            raise MalformedMessage(str(error)) from None
        self.state.contributors.add(sender)

    def finish(self) -> Finish:
        """Return the sum."""
        return Finish(self.state.total, tuple(sorted(self.state.contributors)))


STEPS: Final = (
    Step("contribute", Invitation, PlainClient.contribute, PlainInput, PlainServer.add, PlainServer.finish,
          sends_vector=True, streams=PlainClient.stream),
)  # fmt: skip
"""The table of steps. No step reveals a sum: the vectors are sent in the clear, so there is nothing left to open."""


@dataclass(frozen=True)
class PlainSum(SecureSum):
    """Sums in the clear: no security, any modulus."""

    name: ClassVar[str] = "plain"
    wire: ClassVar[int] = 1
    steps = STEPS

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple["PlainSum", int]:
        """Return the protocol, which has no parameters, and a threshold of 2, since nothing is protected."""
        check_cohort(clients, adversarial, dropout)
        if adversary != Adversary.CURIOUS:
            raise ParameterError(
                f"adversary: expected CURIOUS, found {shown(adversary)}. {cls.name} sums in the clear and does not "
                "protect from any server."
            )
        return cls(), 2

    def _validate(self, session: Session) -> None:
        """Accept every session without extras."""

    def client_party(self, session: Session, participant: Participant) -> PlainClient:
        """See `SecureSum.client_party`."""
        return PlainClient(session, participant)

    def server_party(self, session: Session) -> PlainServer:
        """See `SecureSum.server_party`."""
        return PlainServer(session)
