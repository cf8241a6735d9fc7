"""What a protocol is: a table of steps, frozen parameters, and makers of the two parties that the steps name.

A protocol is a secure sum over Z_m^d, run as steps that the server drives. In a step the server sends one request to
each party that the step asks, and each party sends one reply. The protocol's module holds a table of `Step` rows, which
reads as the figure of its paper, and two party classes whose methods the rows name. `protocols.machine` turns bytes
into calls of these methods, in order.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, ClassVar, Final, Generic, TypeVar, final

import msgspec

from protocols.codec import LARGEST_BYTES, Message, Stream, limit
from protocols.cohort import Adversary
from protocols.crypto.integers import shown
from protocols.crypto.keystream import Words, word_dtype
from protocols.crypto.secret import Secret
from protocols.errors import ParameterError, SessionExpired, UnsafeSession
from protocols.session import Extra, Participant, Session

C = TypeVar("C")
S = TypeVar("S")
Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


_IN_WORDS: Final[dict[str, str]] = {
    Extra.ROSTER: "a roster of identities",
    Extra.ATTACHED: "attached secrets",
    Extra.COMMITTEE: "a committee",
    Extra.EXPIRES: "a time at which it expires",
    Extra.WEIGHTS: "weights",
    Extra.BATCHES: "batches",
}
_HASHED: Final = ("name", "adversaries", "needs_committee", "experimental")
"""The class variables that the digest hashes if a protocol annotates them."""


class Role(Enum):
    """The parties that a step asks."""

    CLIENT = "client"
    COMMITTEE = "committee"


@dataclass(frozen=True, slots=True)
class Step(Generic[C, S, Request, Reply]):
    """One row of a protocol's table.

    Attributes:
        name: The step's noun or verb in the paper; unique within a protocol.
        request: The message that the server sends to each party asked.
        answer: The client party's method that turns a request into a reply.
        reply: The message that comes back.
        absorb: The server party's method that checks and takes in one reply; it raises `RemoteError` and leaves
            the party unchanged if the reply is bad.
        close: The server party's method that ends the step. It returns the next step's requests by party id, or
            `Finish`; in a step that repeats also `Again`.
        role: The parties that the step asks: the clients, or the committee.
        reveals: The party's method that names the contributors of the sum that its reply helps to open, given the
            request that it has answered; None if the reply helps to open no sum. A client's machine calls it after
            `answer`, and notes the contributors in the client's record of openings before the reply leaves. A committee
            member's party does that itself, within `answer`, in the record of its `Keyholder`. At most one step of each
            role reveals, since a session is opened once with each key of a record.
        sends_vector: Whether the reply is a client's first one that depends on its vector: the masked vector, the
            ciphertext, the vector. Exactly one step of the clients says so. A client takes part in a session, and its
            cap counts it, from just before this reply. Keys and secret shares do not count as long as they do not
            depend on the vector. That holds of secret shares of attached secrets too, which are drawn without it.
        streams: The party's method that gives the same reply piece by piece (`protocols.codec.Stream`), so that a party
            needs no memory for all of it; None if the reply is made in one piece, as in every step of the clients that
            reveals. If the step that `sends_vector` has such a method, the party reads its vector from its
            `Participant.reader` there, and the server's party has a method `put_total`.
        repeats: Whether a party may answer the step again, with the same reply to the same request. The server's
            `close` may then return `Again`, to ask some parties once more. It judges by itself whether enough parties
            have answered. A party stays open after such a step.
    """

    name: str
    request: type[Request]
    answer: Callable[[C, Request], Reply]
    reply: type[Reply]
    absorb: Callable[[S, int, Reply], None]
    close: "Callable[[S], Mapping[int, Message] | Finish | Again]"
    role: Role = Role.CLIENT
    reveals: Callable[[C, Request], Collection[int]] | None = None
    sends_vector: bool = False
    repeats: bool = False
    streams: Callable[[C, Request], Stream] | None = None


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a committee member says of a client's message that it cannot accept. One of the two is at fault.

    Attributes:
        member: The member.
        client: The client.
        reason: What is wrong, in words.
    """

    member: int
    client: int
    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a sum.

    Attributes:
        total: Shape `(length,)`: the sum of the contributors' vectors, each times its weight, modulo the session's
            modulus. A `Server` returns uint64, or the array in which it was asked to put the sum.
        contributors: Ids of the clients whose vectors are in the sum, ascending.
        attached: By contributor, its attached secrets in the session's order; None for a secret that is not opened.
        verified: False if a party that opened the sum could have made it wrong without being noticed, although the
            protocol would notice that in a larger committee.
        culprits: Ids of parties that were shown to break the rules and did no harm to the sum.
        complaints: What committee members said of clients' messages, by member and client.
        weights: By contributor, the weight of its vector; empty in a session without weights, where each is 1.
    """

    total: Words
    contributors: tuple[int, ...]
    attached: Mapping[int, tuple[Secret | None, ...]] = field(default_factory=dict)
    verified: bool = True
    culprits: frozenset[int] = frozenset()
    complaints: tuple[Complaint, ...] = ()
    weights: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Again:
    """The same step once more, for some parties: their requests by id."""

    requests: Mapping[int, Message]


class SecureSum(ABC):
    """A protocol: frozen parameters, a table of steps, and makers of the two parties.

    Subclasses are frozen dataclasses; their fields are part of the digest. Everything about a party that changes during
    a session is in its attribute `state`, a `protocols.snapshot.State`, so that it can be kept and restored.
    """

    name: ClassVar[str]
    wire: ClassVar[int]
    """The version of the protocol's bytes: of the envelope, of what the digest hashes, and of its own messages.

    Every protocol states it; a subclass that changes no bytes may inherit it.
    """
    adversaries: ClassVar[tuple[Adversary, ...]] = ()
    """The kinds of server that the protocol protects its clients from, the strongest last; empty for a baseline."""
    accepts: ClassVar[frozenset[Extra]] = frozenset()
    """The extra fields that a session of this protocol may set; a session that sets any other is refused."""
    needs_committee: ClassVar[bool] = False
    """Whether each of its sessions has a committee, which opens the sum."""
    shards: ClassVar[bool] = False
    """Whether several machines of the server can take in replies to the first step, each some of them.

    The server party then has a method `merge`, which takes in the state of another one; see `Server.merge`. What each
    of them holds must be a sum that only the committee can open.
    """
    experimental: ClassVar[str] = ""
    """What is not proven, as a clause without a full stop; empty unless the protocol is experimental."""
    protects: ClassVar[bool] = False
    """Whether the protocol hides the clients' vectors from any server at all: whether `adversaries` names a server."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Compute `protects`, and refuse a subclass that declares too little or contradicts itself.

        A class with a name is a protocol, and must state the version of its bytes. `validate` refuses the fields of a
        session that a protocol does not accept. `protects` follows from `adversaries` alone, so that no baseline is
        called secure.
        """
        super().__init_subclass__(**arguments)
        if cls.validate is not SecureSum.validate:  # Also one that it inherits from another base.
            raise TypeError(f"{cls.__name__}: expected its checks in `_validate`, found a `validate` of its own")
        if hasattr(cls, "name") and not hasattr(cls, "wire"):
            raise TypeError(
                f"{cls.__name__}.wire: expected the version of its bytes, an int, found none. State one; start with 1."
            )
        named = bool(cls.adversaries)
        if vars(cls).get("protects", named) is not named:
            raise TypeError(
                f"{cls.__name__}.protects: expected {named}, since `adversaries` names {'a' if named else 'no'} "
                "server, found another value. Leave it out: it is computed from `adversaries`."
            )
        cls.protects = named

    def __str__(self) -> str:
        """Return its name and the parameters that differ from their defaults: "secagg-plus, neighbours 34"."""
        own: Any = self
        known = fields(own) if is_dataclass(own) else ()
        chosen = {each.name: getattr(own, each.name) for each in known if getattr(own, each.name) != each.default}
        return ", ".join([self.name, *(name if value is True else f"{name} {value}" for name, value in chosen.items())])

    def _parameters(self) -> dict[str, Any]:
        """Return what the digest hashes of a protocol: its fields, and those of `_HASHED` that it annotates."""
        own: Any = self
        annotated = getattr(self, "__dataclass_fields__", {})
        hashed = {name for name in _HASHED if name in annotated}
        hashed |= {each.name for each in fields(own)} if is_dataclass(own) else set()
        return {name: getattr(self, name) for name in hashed}

    @property
    @abstractmethod
    def steps(self) -> tuple[Step[Any, Any, Any, Any], ...]:
        """The table of steps."""

    @classmethod
    @abstractmethod
    def suggest(
        cls, *, clients: int, adversarial: float, dropout: float, adversary: Adversary = Adversary.CURIOUS
    ) -> "tuple[SecureSum, int]":
        """Return parameters and a session threshold for a cohort.

        Args:
            clients: Size of the cohort.
            adversarial: Largest fraction of clients that collude with the server, in [0, 1).
            dropout: Largest fraction that may drop out during the sum, in [0, 1).
            adversary: A server that follows the protocol (`CURIOUS`) or does anything (`MALICIOUS`).

        Raises:
            ParameterError: No parameters reach 2^-40 security and 2^-20 failure, and the message says which fractions
                can be reached; or the protocol does not protect from such a server.
        """

    @classmethod
    def modulus(cls, bits: int) -> int:
        """Return the largest modulus of at most `bits` bits, in [1, 64], that this protocol sums over."""
        if type(bits) is not int or not 1 <= bits <= 64:
            raise ParameterError(f"bits of a modulus: expected an int in [1, 64], found {shown(bits)}")
        return 1 << bits

    def with_headroom(self) -> "SecureSum":
        """Return the same protocol for vectors modulo m whose sums never leave [-m/2, m/2).

        The sums are over the integers, each entry being represented by the value in [-m/2, m/2) congruent to it.
        """
        return self

    @property
    def takes_pieces(self) -> bool:
        """Whether a client's vector can be read piece by piece, and the sum put into an array (`Step.streams`)."""
        return any(row.sends_vector and row.streams is not None for row in self.steps)

    def parties(self, session: Session, role: Role) -> tuple[int, ...]:
        """Return the ids of the parties in a role."""
        return session.clients if role is Role.CLIENT else session.committee_members

    def quorum(self, session: Session, role: Role) -> int:
        """Return how many parties in a role must answer a step that asks them."""
        if role is Role.CLIENT or session.committee is None:
            return session.threshold
        return session.committee.key.threshold

    def least_repliers(self, session: Session, corrupt: int) -> int | None:  # noqa: ARG002  # Others need it.
        """Return how many contributors at least have answered the step that reveals if the sum is open.

        `protocols.replay` says what follows from it. A protocol whose server can open sums with fewer replies than the
        session's threshold overrides it.

        Args:
            session: The session.
            corrupt: The largest number of clients that are corrupt, and may tell the server their secrets.

        Returns:
            The number; None if no client's reply opens a sum.
        """
        reveals = any(row.role is Role.CLIENT and row.reveals is not None for row in self.steps)
        return session.threshold if reveals else None

    def message_limit(self, session: Session) -> int:
        """Return the largest number of bytes that any message of a session may have."""
        return limit(session.length, session.modulus, len(session.clients), len(session.attached))

    def reply_limit(self, session: Session, number: int) -> int:  # noqa: ARG002  # Others need it.
        """Return the largest number of bytes of a reply to a step: what a server takes in before it decodes anything.

        A protocol whose later messages are much longer than those of its clients overrides it. Otherwise one client
        could fill the server's memory, or the disk where frames are spooled, with a reply that is as long as those.

        Args:
            session: The session.
            number: The number of the step.
        """
        return self.message_limit(session)

    def list_limit(self, session: Session) -> int:
        """Return the largest number of elements that a list in a message of a session may have: one for each party.

        Only lists that are fields of a message are counted, and longer ones are refused before they are decoded. Use a
        byte string for data with an entry for each coordinate. Lists inside a list's elements, and mappings, are not
        counted: a message should have none.
        """
        return max(len(session.clients), len(session.committee_members))

    @final
    def validate(self, session: Session) -> None:
        """Raise `ParameterError` unless this protocol can run this session.

        A session that sets an extra field is refused unless the protocol lists that field in `accepts`. So is one with
        messages, or with a vector in a snapshot, that may be longer than MessagePack can encode. A protocol is refused
        unless exactly one step of its clients `sends_vector`, since a client's cap could count nothing otherwise.
        """
        self._check_steps()
        for name in Session.extras(session):  # Not what a subclass of Session says.
            if name not in self.accepts:
                words = _IN_WORDS.get(name, name)
                raise ParameterError(
                    f"{name}: expected a session without {words}, which {self.name} does not accept, found one"
                )
        if self.needs_committee and session.committee is None:
            raise ParameterError(
                f"committee: expected one, since {self.name} needs it, found none. "
                "`secagg keys` makes the keys of a committee."
            )
        self._validate(session)
        vector = session.length * word_dtype(session.modulus).itemsize
        for what, longest in (("message", self.message_limit(session)), ("vector in memory", vector)):
            if longest > LARGEST_BYTES:
                raise ParameterError(
                    f"longest {what} of {self.name}: expected at most {LARGEST_BYTES} bytes, which is the longest byte "
                    f"string of MessagePack, found {longest} for {len(session.clients)} clients and {session.length} "
                    "coordinates. Sum the vector in slices of fewer coordinates, or split the clients into more groups."
                )

    def _check_steps(self) -> None:
        steps = self.steps
        found = [row.role for row in steps if row.sends_vector] if type(steps) is tuple else []
        if found != [Role.CLIENT]:
            raise ParameterError(
                f"steps of {self.name}: expected exactly one step with `sends_vector`, the first one in which clients "
                f"send something that depends on their vectors, found {len(found)}. Declare it in the table of steps."
            )

    @abstractmethod
    def _validate(self, session: Session) -> None:
        """Raise `ParameterError` unless this protocol can run this session, whose extra fields it accepts."""

    def check_safety(self, session: Session, corrupt: int) -> None:
        """Raise `UnsafeSession` unless a client is safe from the server and `corrupt` of the clients together.

        The server is a malicious one if the session has a roster, and otherwise one that follows the protocol. A
        protocol that does not override this protects from the second alone, and from no client that colludes with it.
        """
        if session.roster is not None or Adversary.CURIOUS not in self.adversaries:
            raise UnsafeSession(f"{self.name} does not protect its clients from a malicious server")
        if corrupt:
            raise UnsafeSession(
                f"corrupt clients: expected none, since {self.name} does not state from how many it protects, found "
                f"{corrupt}. Its `check_safety` has to say so."
            )

    def check_time(self, session: Session, now: float) -> None:
        """Raise `SessionExpired` unless a party may answer in a session at this time.

        Args:
            session: The session.
            now: Seconds since 1970-01-01 00:00 UTC.
        """
        if session.expires is not None and not now < session.expires:  # A clock that gives no number expires too.
            raise SessionExpired(
                f"time: expected a time before {session.expires}, when the session expires, found {now:.0f}. Start a "
                "new session."
            )

    @abstractmethod
    def client_party(self, session: Session, participant: Participant) -> Any:
        """Return the new state machine of one party: a client, a committee member, or both."""

    @abstractmethod
    def server_party(self, session: Session) -> Any:
        """Return the new state machine of the server. Its method `open()` returns the first step's requests.

        If the step that `sends_vector` has a `streams`, a method `put_total(vector)` is called before `open()`, or not
        at all. The vector is zeros of shape `(length,)` in the smallest words that hold the modulus. The party adds up
        in its memory, and the total of its `Finish` is this array. It raises `ParameterError` if it cannot do that.
        """

    def digest(self, session: Session) -> bytes:
        """Return 32 bytes over every parameter of protocol and session, bound into every key, message and signature."""
        agreed = msgspec.Raw(session.hashed)
        described = ("secagg session", self.wire, self.name, sorted(self._parameters().items()), agreed)
        return hashlib.sha256(msgspec.msgpack.encode(described)).digest()
