"""A protocol of your own, in two steps: clients register, then registered clients send their vectors in the clear.

It protects nobody. It declares so (`adversaries` is empty), and every report says so. Use it as a template:

1. Replace the messages and the methods of the two parties by your own.
2. Name in `adversaries` the servers from which your protocol protects the clients. Nothing checks this claim, and
   commands and reports repeat it: name a server only if your protocol is proven to protect from it.

The classes `Client` and `Server` check order, senders, sizes and the session's digest. This module never sees bytes.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocols import Adversary, Finish, Message, ParameterError, Participant, SecureSum, Session, State, Step
from protocols.errors import MalformedMessage


class Call(Message, frozen=True):
    """The question of the server to each client: do you take part?"""


class Registration(Message, frozen=True):
    """The answer of a client that takes part."""


class Registered(Message, frozen=True):
    """The server's list of the clients that have registered."""

    clients: tuple[int, ...]


class Vector(Message, frozen=True):
    """A client's vector: eight bytes for each entry, the least significant byte first."""

    entries: bytes


class ClientState(State):
    """What a client keeps between steps: its input."""

    vector: NDArray[np.uint64]


class TallyClient:
    """A client's side of the protocol; each method answers one request."""

    def __init__(self, session: Session, participant: Participant) -> None:
        self._session = session
        self.state = ClientState(participant.vector.astype(np.uint64))

    def register(self, _: Call) -> Registration:
        """Take part."""
        return Registration()

    def send(self, registered: Registered) -> Vector:
        """Send the vector, if at least `threshold` clients have registered. Each client checks that for itself."""
        if len(set(registered.clients)) < self._session.threshold:
            raise MalformedMessage(
                f"registered clients: expected at least {self._session.threshold}, found {len(registered.clients)}"
            )
        return Vector(self.state.vector.astype("<u8").tobytes())


class ServerState(State):
    """What the server keeps between steps."""

    total: NDArray[np.uint64]
    registered: list[int] = msgspec.field(default_factory=list)
    contributors: list[int] = msgspec.field(default_factory=list)


class TallyServer:
    """The server's side of the protocol: for each step one method that takes in a reply, and one that ends the step."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.state = ServerState(np.zeros(session.length, dtype=np.uint64))

    def open(self) -> dict[int, Message]:
        """Begin the first step: ask every client."""
        return {client: Call() for client in self._session.clients}

    def note(self, sender: int, _: Registration) -> None:
        """Take in a registration."""
        self.state.registered.append(sender)

    def announce(self) -> dict[int, Message]:
        """Ask every registered client for its vector."""
        registered = Registered(tuple(sorted(self.state.registered)))
        return dict.fromkeys(registered.clients, registered)

    def add(self, sender: int, vector: Vector) -> None:
        """Take in a vector. A bad one is refused and changes nothing."""
        if len(vector.entries) != 8 * self._session.length:
            raise MalformedMessage(f"entries: expected {8 * self._session.length} bytes, found {len(vector.entries)}")
        entries = np.frombuffer(vector.entries, dtype="<u8")
        if int(entries.max()) >= self._session.modulus:
            raise MalformedMessage("entries: expected numbers below the modulus")
        # Addition of uint64 wraps around at 2^64, which every allowed modulus divides.
        self.state.total = (self.state.total + entries) & np.uint64(self._session.modulus - 1)
        self.state.contributors.append(sender)

    def finish(self) -> Finish:
        """End with the sum."""
        return Finish(self.state.total, tuple(sorted(self.state.contributors)))


STEPS: Final = (
    Step("register", Call, TallyClient.register, Registration, TallyServer.note, TallyServer.announce),
    Step("send", Registered, TallyClient.send, Vector, TallyServer.add, TallyServer.finish, sends_vector=True),
)


@dataclass(frozen=True)
class Tally(SecureSum):
    """Sums in the clear in two steps: an example of how to write a protocol."""

    name: ClassVar[str] = "tally"
    wire: ClassVar[int] = 1
    steps = STEPS
    adversaries: ClassVar[tuple[Adversary, ...]] = ()

    @classmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> tuple["Tally", int]:
        """Return the protocol and the smallest threshold that it allows, 2.

        Raises:
            ParameterError: A number is out of range, or the adversary is not `CURIOUS`.
        """
        if adversary is not Adversary.CURIOUS:
            raise ParameterError(f"adversary: expected curious, since {cls.name} protects nobody, found {adversary}")
        fractions = (adversarial, dropout)
        if type(clients) is not int or clients < 2 or any(type(each) not in (int, float) for each in fractions):
            raise ParameterError(f"expected an int of at least 2 clients and two numbers, found {clients}, {fractions}")
        if not all(0 <= each < 1 for each in fractions):
            raise ParameterError(
                f"adversarial, dropout: expected fractions in [0, 1), found {adversarial} and {dropout}"
            )
        return cls(), 2

    def message_limit(self, session: Session) -> int:
        """Return the largest size of a message in bytes: a vector, or the ids of all clients, and their encoding."""
        return 8 * session.length + 16 * len(session.clients) + 4096

    def _validate(self, session: Session) -> None:
        """Raise `ParameterError` if this protocol cannot run the session."""
        if session.modulus & (session.modulus - 1):
            raise ParameterError(f"modulus: expected a power of 2, found {session.modulus}")

    def client_party(self, session: Session, participant: Participant) -> TallyClient:
        """Return a client before its first step."""
        return TallyClient(session, participant)

    def server_party(self, session: Session) -> TallyServer:
        """Return the server before its first step."""
        return TallyServer(session)
