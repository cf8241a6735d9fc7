"""The sans-IO core: rounds, protocols, and the two machines that enforce every rule about order.

A protocol is a secure sum over Z_m^d, run as rounds that the server drives: one request to each party asked,
one reply back.  A protocol's module holds a table of `Round` rows, which reads as the figure of its paper, and
two party classes whose methods the rows name.  `Client` and `Server` turn bytes into calls of these methods, in
order, and close for good on the first error (a server survives bad replies: it reports the sender and goes on).

Nothing here reads a clock, a socket or a source of randomness: all three belong to the driver.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

import msgspec
from numpy.typing import ArrayLike

from protocols import messages
from protocols.errors import OrderError, ParameterError, RemoteError, TooFewSurvivors
from protocols.messages import Message
from protocols.session import Entropy, Session, Vector

C = TypeVar("C")
S = TypeVar("S")
Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


@dataclass(frozen=True, slots=True)
class Round(Generic[C, S, Request, Reply]):
    """One row of a protocol's table.

    Attributes:
        name: The round's noun or verb in the paper; unique within a protocol.
        request: The message that the server sends to each party asked.
        answer: The client party's method that turns a request into a reply.
        reply: The message that comes back.
        absorb: The server party's method that checks and takes in one reply; it raises `RemoteError` and leaves
            the party unchanged where the reply is bad.
        close: The server party's method that ends the round: requests of the next one by client id, or `Finish`.
    """

    name: str
    request: type[Request]
    answer: Callable[[C, Request], Reply]
    reply: type[Reply]
    absorb: Callable[[S, int, Reply], None]
    close: "Callable[[S], Mapping[int, Message] | Finish]"


class SecureSum(ABC):
    """A protocol: frozen parameters, a table of rounds, and makers of the two parties.

    Subclasses are frozen dataclasses; their fields are part of the digest.
    """

    name: ClassVar[str]
    rounds: ClassVar[tuple[Round[Any, Any, Any, Any], ...]]

    @classmethod
    @abstractmethod
    def suggest(cls, *, clients: int, adversarial: float, dropout: float) -> "tuple[SecureSum, int]":
        """Parameters and session threshold for a cohort.

        Args:
            clients: Size of the cohort.
            adversarial: Largest fraction of clients that collude with the server, in [0, 1).
            dropout: Largest fraction that may vanish during the sum, in [0, 1).

        Raises:
            ParameterError: No parameters reach 2^-40 security and 2^-20 failure; the message says what would.
        """

    @abstractmethod
    def validate(self, session: Session) -> None:
        """Raise `ParameterError` unless this protocol can run this session."""

    @abstractmethod
    def client_party(self, session: Session, client: int, vector: Vector, entropy: Entropy) -> Any:
        """The state of one client; `vector` has been checked."""

    @abstractmethod
    def server_party(self, session: Session) -> Any:
        """The state of the server; it has a method `open()` that gives the first round's requests."""

    def digest(self, session: Session) -> bytes:
        """32 bytes over every parameter of protocol and session; bound into every key and every message."""
        parameters = {name: getattr(self, name) for name in getattr(self, "__dataclass_fields__", {})}
        agreed = (
            session.session_id, session.clients, session.threshold, session.length, session.modulus - 1, session.context
        )  # fmt: skip
        described = ("secagg session", messages.VERSION, self.name, sorted(parameters.items()), agreed)
        return hashlib.sha256(msgspec.msgpack.encode(described)).digest()


def _checked(entropy: Entropy) -> Entropy:
    def draw(size: int) -> bytes:
        drawn = entropy(size)
        if type(drawn) is not bytes or len(drawn) != size:
            raise ParameterError(f"the entropy source must give the {size} bytes that it is asked for")
        return drawn

    return draw


def _codec(protocol: SecureSum, session: Session) -> messages.Codec:
    limit = messages.limit(session.length, session.modulus, len(session.clients))
    return messages.Codec(protocol.digest(session), limit)


@dataclass(frozen=True, slots=True)
class Continue:
    """The round to run next: a request for each client asked."""

    round: str
    requests: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a sum.

    Attributes:
        total: Shape `(length,)`, uint64: the sum of the contributors' vectors modulo the session's modulus.
        contributors: Whose vectors are in it, ascending.
    """

    total: Vector
    contributors: tuple[int, ...]


class Client:
    """One client's side of one session: bytes in, bytes out, and closed after the first error.

    Args:
        protocol: The protocol that this client agreed to.
        session: The session that this client agreed to.
        client: Its own id.
        vector: Its input, shape `(length,)`, integers in [0, modulus).
        entropy: Its secret randomness, `os.urandom` outside tests.

    Raises:
        ParameterError: The protocol cannot run the session, or the id is not in it.
        InputError: The vector is not acceptable.  Nothing has been computed or sent then.
    """

    def __init__(
        self, protocol: SecureSum, session: Session, client: int, vector: ArrayLike, *, entropy: Entropy
    ) -> None:
        protocol.validate(session)
        if type(client) is not int or client not in session.clients:
            raise ParameterError(f"client {client!r} is not in the session")
        self._rounds = protocol.rounds
        self._codec = _codec(protocol, session)
        self._party = protocol.client_party(session, client, session.checked(vector), _checked(entropy))
        self._next = 0

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client holds its input and its secrets, and is not to be pickled or copied")

    @property
    def closed(self) -> bool:
        """Whether this machine will answer nothing more."""
        return self._party is None

    def handle(self, request: bytes) -> bytes:
        """Answer one request of the server.

        Raises:
            OrderError: The machine is closed.
            RemoteError: The request is not the one this round may bring.  The machine is closed then, its secrets
                dropped, and nothing has been sent.
        """
        if self._party is None:
            raise OrderError("this client has closed; a new session needs a new machine")
        number, party, self._party = self._next, self._party, None
        row = self._rounds[number]
        try:
            reply = self._codec.encode(number, row.answer(party, self._codec.decode(number, row.request, request)))
        except BaseException:
            vars(party).clear()  # the error's traceback holds on to the party, and is not to hold its secrets
            raise
        self._next += 1
        if self._next < len(self._rounds):
            self._party = party
        return reply


class Server:
    """The server's side of one session.

    `start`, then for each round: `receive` what arrives, and `advance` when `missing` is empty or the driver's
    deadline has passed.
    """

    def __init__(self, protocol: SecureSum, session: Session) -> None:
        protocol.validate(session)
        self._session = session
        self._rounds = protocol.rounds
        self._codec = _codec(protocol, session)
        self._party = protocol.server_party(session)
        self._number = -1
        self._asked: frozenset[int] = frozenset()
        self._answered: set[int] = set()

    def start(self) -> Continue:
        """The first round's requests.

        Raises:
            OrderError: The server has started before.
        """
        if self._number != -1:
            raise OrderError("this server has started already")
        return self._ask(self._party.open())

    @property
    def missing(self) -> frozenset[int]:
        """Who was asked in this round and has not answered acceptably."""
        return self._asked - self._answered

    def receive(self, sender: int, reply: bytes) -> None:
        """Take in one reply; the driver vouches for the sender's id.

        Raises:
            OrderError: No round is open.
            ParameterError: The sender is no int.
            RemoteError: The sender was not asked, has answered already, or sent a bad reply.  The server's state is
                what it was before, and the round goes on.  Any other error in the middle closes the server.
        """
        if self._party is None or self._number < 0:
            raise OrderError("no round is open")
        if type(sender) is not int:
            raise ParameterError(f"a sender is named by its id, an int, not by a {type(sender).__name__}")
        if sender not in self._asked:
            raise RemoteError(f"client {sender} was not asked in this round", culprits=[sender])
        if sender in self._answered:
            raise RemoteError(f"client {sender} has answered this round already", culprits=[sender])
        row = self._rounds[self._number]
        try:
            row.absorb(self._party, sender, self._codec.decode(self._number, row.reply, reply))
        except RemoteError as error:
            raise type(error)(f"client {sender}, round {row.name}: {error}", culprits=[sender]) from error
        except BaseException:
            self._party = None  # half of the reply may have been taken in
            raise
        self._answered.add(sender)

    def advance(self) -> Continue | Finish:
        """End the round with the replies that have come.

        Raises:
            OrderError: No round is open.
            TooFewSurvivors: Fewer answered than the session's threshold.  The server is closed then.
            RemoteError: The replies together show misbehaviour.  The server is closed then.
        """
        if self._party is None or self._number < 0:
            raise OrderError("no round is open")
        party, self._party = self._party, None
        row = self._rounds[self._number]
        if len(self._answered) < self._session.threshold:
            raise TooFewSurvivors(
                f"round {row.name}: {len(self._answered)} clients answered, the threshold is {self._session.threshold}"
            )
        outcome = row.close(party)
        if isinstance(outcome, Finish):
            return outcome
        self._party = party
        return self._ask(outcome)

    def _ask(self, requests: Mapping[int, Message]) -> Continue:
        self._number += 1
        self._asked, self._answered = frozenset(requests), set()
        encoded = {client: self._codec.encode(self._number, request) for client, request in requests.items()}
        return Continue(self._rounds[self._number].name, encoded)
