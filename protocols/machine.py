"""The sans-IO core: sessions, rounds, and the two machines that enforce every rule about order.

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
import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocols import messages
from protocols.errors import InputError, OrderError, ParameterError, RemoteError, TooFewSurvivors
from protocols.messages import Message

Entropy = Callable[[int], bytes]
"""A source of secret randomness: `entropy(n)` gives n uniform bytes, as `os.urandom` does."""

Vector = NDArray[np.uint64]

MAX_CLIENT_ID = 2**32 - 2
MAX_LENGTH = 2**40

C = TypeVar("C")
S = TypeVar("S")
Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What all parties of one secure sum agree on before it starts.

    Attributes:
        session_id: 16 to 64 bytes, never used twice.
        clients: Distinct ids in [0, 2^32 - 2], at least two.
        threshold: The least number of contributors whose sum may be released, in [2, len(clients)].
        length: Coordinates of each vector, in [1, 2^40].
        modulus: Entries are in [0, modulus); at least 2, at most 2^64.
        context: Whatever else the parties must agree on (round number, model hash, noise parameters), as bytes.

    Raises:
        ParameterError: A field is out of range.
    """

    session_id: bytes
    clients: tuple[int, ...]
    threshold: int
    length: int
    modulus: int
    context: bytes = b""

    def __post_init__(self) -> None:
        if type(self.session_id) is not bytes or not 16 <= len(self.session_id) <= 64:
            raise ParameterError("session_id must be 16 to 64 bytes")
        if not isinstance(self.context, bytes):
            raise ParameterError(f"context must be bytes, not {type(self.context).__name__}")
        for name, value in (("threshold", self.threshold), ("length", self.length), ("modulus", self.modulus)):
            if type(value) is not int:
                raise ParameterError(f"{name} must be an int, not {type(value).__name__}")
        if type(self.clients) is not tuple or any(type(client) is not int for client in self.clients):
            raise ParameterError("clients must be a tuple of ints")
        if len(set(self.clients)) != len(self.clients):
            raise ParameterError("clients must be distinct")
        if any(not 0 <= client <= MAX_CLIENT_ID for client in self.clients):
            raise ParameterError(f"client ids must lie in [0, {MAX_CLIENT_ID}]")
        if len(self.clients) < 2:
            raise ParameterError(f"a secure sum needs at least 2 clients, not {len(self.clients)}")
        if not 2 <= self.threshold <= len(self.clients):
            raise ParameterError(f"threshold must lie in [2, {len(self.clients)}], not {self.threshold}")
        if not 1 <= self.length <= MAX_LENGTH:
            raise ParameterError(f"length must lie in [1, {MAX_LENGTH}], not {self.length}")
        if not 2 <= self.modulus <= 2**64:
            raise ParameterError(f"modulus must lie in [2, 2^64], not {self.modulus}")

    def checked(self, vector: ArrayLike) -> Vector:
        """A client's input as uint64, after every check.

        Args:
            vector: Shape `(length,)`, any integer dtype but bool, entries in [0, modulus).

        Raises:
            InputError: Wrong dtype, shape or range; floats are refused, even whole ones.
        """
        try:
            array = np.asarray(vector)
        except (TypeError, ValueError):
            raise InputError(f"the input must be an array of shape ({self.length},); numpy makes none of it") from None
        if array.dtype.kind not in "iu":
            raise InputError(f"the input must have an integer dtype, not {array.dtype}")
        if array.shape != (self.length,):
            raise InputError(f"the input must have shape ({self.length},), not {array.shape}")
        if array.dtype.kind == "i" and int(array.min()) < 0:
            raise InputError("the input has a negative entry; encode it in [0, modulus)")
        if int(array.max()) >= self.modulus:
            raise InputError(f"the input has an entry at or above the modulus {self.modulus}")
        return array.astype(np.uint64)


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


def check_cohort(clients: int, adversarial: float, dropout: float) -> None:
    """Raise `ParameterError` unless these are a cohort's size, at least 2, and two fractions in [0, 1)."""
    if type(clients) is not int or clients < 2:
        raise ParameterError(f"clients must be an int of at least 2, not {clients!r}")
    for name, fraction in (("adversarial", adversarial), ("dropout", dropout)):
        if type(fraction) not in (int, float) or not 0 <= fraction < 1:
            raise ParameterError(f"{name} must be a fraction in [0, 1), not {fraction!r}")


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
        reply = self._codec.encode(number, row.answer(party, self._codec.decode(number, row.request, request)))
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
            RemoteError: The sender was not asked, has answered already, or sent a bad reply.  The server's state is
                what it was before, and the round goes on.
        """
        if self._party is None or self._number < 0:
            raise OrderError("no round is open")
        if type(sender) is not int or sender not in self._asked:
            raise RemoteError(f"client {sender!r} was not asked in this round", culprits=[sender])
        if sender in self._answered:
            raise RemoteError(f"client {sender} has answered this round already", culprits=[sender])
        row = self._rounds[self._number]
        try:
            row.absorb(self._party, sender, self._codec.decode(self._number, row.reply, reply))
        except RemoteError as error:
            raise type(error)(f"client {sender}, round {row.name}: {error}", culprits=[sender]) from error
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
