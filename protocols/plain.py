"""The insecure baseline: every client sends its vector in the clear.

It stands against no adversary at all.  It is here to be compared with, in cost and in accuracy, and to be failed by
audits.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from protocols import packing
from protocols.errors import MalformedMessage
from protocols.machine import Finish, Round, SecureSum
from protocols.messages import Message
from protocols.session import Entropy, Session, Vector, check_cohort


class Contribution(Message, frozen=True):
    """A client's vector, bit-packed, readable by the server."""

    packed: bytes


class Invitation(Message, frozen=True):
    """The server's call for contributions."""


class PlainClient:
    """One client: its vector and nothing else."""

    def __init__(self, session: Session, vector: Vector) -> None:
        self._session = session
        self._vector = vector

    def contribute(self, _: Invitation) -> Contribution:
        """Send the vector as it is."""
        return Contribution(packing.pack(self._vector, self._session.modulus))


class PlainServer:
    """The running sum."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._total = np.zeros(session.length, dtype=np.uint64)
        self._contributors: list[int] = []

    def open(self) -> dict[int, Message]:
        """Ask every client."""
        return {client: Invitation() for client in self._session.clients}

    def add(self, sender: int, contribution: Contribution) -> None:
        """Add one vector to the running sum."""
        session = self._session
        try:
            vector = packing.unpack(contribution.packed, session.length, session.modulus)
        except ValueError as error:
            raise MalformedMessage(str(error)) from None
        # total + vector - modulus without leaving uint64: compare against what is left up to the modulus.
        room = np.uint64(session.modulus - 1) - vector
        wraps = self._total > room
        self._total += vector
        self._total -= wraps * np.uint64(session.modulus % 2**64)
        self._contributors.append(sender)

    def finish(self) -> Finish:
        """The sum."""
        return Finish(self._total, tuple(sorted(self._contributors)))


ROUNDS: Final = (
    Round("contribute", Invitation, PlainClient.contribute, Contribution, PlainServer.add, PlainServer.finish),
)


@dataclass(frozen=True)
class PlainSum(SecureSum):
    """Sums in the clear: no security, any modulus."""

    name: ClassVar[str] = "plain"
    rounds = ROUNDS

    @classmethod
    def suggest(cls, *, clients: int, adversarial: float, dropout: float) -> tuple["PlainSum", int]:
        """No parameters; any two clients are enough, since nothing is protected."""
        check_cohort(clients, adversarial, dropout)
        return cls(), 2

    def validate(self, session: Session) -> None:
        """Every session will do."""

    def client_party(
        self,
        session: Session,
        client: int,  # noqa: ARG002  # the interface asks for it
        vector: Vector,
        entropy: Entropy,  # noqa: ARG002  # the interface asks for it
    ) -> PlainClient:
        """See `SecureSum.client_party`."""
        return PlainClient(session, vector)

    def server_party(self, session: Session) -> PlainServer:
        """See `SecureSum.server_party`."""
        return PlainServer(session)
