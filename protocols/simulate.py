"""The in-memory driver: every party in one process, real bytes between them, and clients that drop out as requested.

Tests, audits and simulated training use it. It is also the shortest example of how to drive the two machines.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from numpy.typing import ArrayLike

from protocols.crypto.entropy import Entropy
from protocols.crypto.integers import shown
from protocols.crypto.secret import Secret
from protocols.errors import ParameterError, RemoteError
from protocols.machine import Client, Continue, Server
from protocols.secure_sum import Complaint, Finish, SecureSum
from protocols.session import Session, Vector
from protocols.terms import ClientTerms, Keyholder


@dataclass(frozen=True, slots=True)
class Transmission:
    """One message that crossed the wire. All of them together are the server's whole view.

    Attributes:
        step: The step's name.
        sender: A party's id, or None for the server.
        receiver: A party's id, or None for the server.
        data: The bytes.
        refused: Whether the server refused this reply. False for a request.
    """

    step: str
    sender: int | None
    receiver: int | None
    data: bytes
    refused: bool = field(default=False, kw_only=True)


@dataclass(slots=True)
class Cost:
    """What one secure sum cost, from counting bytes and reading the caller's clock.

    Attributes:
        sent_bytes: By party id, the number of bytes that the party sent.
        received_bytes: By party id, the number of bytes that were sent to the party.
        client_s: By party id, the party's work in seconds of the clock.
        server_s: The server's work in seconds of the clock.
    """

    sent_bytes: Counter[int] = field(default_factory=Counter)
    received_bytes: Counter[int] = field(default_factory=Counter)
    client_s: dict[int, float] = field(default_factory=dict)
    server_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one secure sum.

    Attributes:
        total: Shape `(length,)`, uint64: the sum of the contributors' vectors modulo the session's modulus.
        contributors: Ids of the clients whose vectors are in the sum, ascending.
        dropped: By party id, the step that the party did not answer; contributors may be among these parties.
        left_out: Ids of the clients that answered but that the server left out: too few of their neighbours were left.
        attached: By contributor, its attached secrets in the session's order; None for a secret that is not opened.
        cost: Bytes and seconds.
        verified: See `Finish.verified`.
        culprits: See `Finish.culprits`.
        weights: See `Finish.weights`.
        complaints: See `Finish.complaints`.
    """

    total: Vector
    contributors: tuple[int, ...]
    dropped: dict[int, str]
    left_out: tuple[int, ...]
    attached: Mapping[int, tuple[Secret | None, ...]]
    cost: Cost
    verified: bool = True
    culprits: frozenset[int] = frozenset()
    complaints: tuple[Complaint, ...] = ()
    weights: Mapping[int, int] = field(default_factory=dict)


def _no_clock() -> float:
    return 0.0


def simulate(
    protocol: SecureSum,
    session: Session,
    inputs: Mapping[int, ArrayLike],
    *,
    attached: Mapping[int, Sequence[Secret]] | None = None,
    terms: Mapping[int, ClientTerms] | None = None,
    keyholders: Mapping[int, Keyholder] | None = None,
    drops: Mapping[str, Collection[int]] | None = None,
    tap: Callable[[Transmission], None] | None = None,
    entropy: Entropy = os.urandom,
    clock: Callable[[], float] = _no_clock,
    now: Callable[[], float] = time.time,
) -> Outcome:
    """Run one secure sum in memory.

    Args:
        protocol: The protocol.
        session: The session.
        inputs: Each client's vector, shape `(length,)`, integers in [0, modulus).
        attached: Each client's attached secrets, if the session has any.
        terms: Each client's identity and terms, if the session has a roster.
        keyholders: Each committee member's key share and rules, if the session has a committee.
        drops: By step name, the parties that drop out in that step: they receive its request and never answer again.
        tap: A function that is called with every message, in order; with a reply, after the server has accepted or
            refused it.
        entropy: The parties' randomness; `os.urandom` outside tests.
        clock: A clock in seconds, read around each party's work. Use `time.process_time` to measure CPU time.
        now: The parties' clock; see `Client`.

    Raises:
        ParameterError: The session, the inputs' ids or the drops do not fit together.
        InputError: A vector is not acceptable; nothing has been sent.
        TooFewSurvivors: More parties dropped out than the thresholds allow.
        RemoteError: The parties' replies together show misbehaviour.
    """
    names = [row.name for row in protocol.steps]
    gone_from = _by_client(protocol, session, drops or {})
    attached, terms, keyholders = attached or {}, terms or {}, keyholders or {}
    _check_parties(session, inputs, attached, terms, keyholders)
    cost, clients = Cost(), {}
    for client in dict.fromkeys((*session.clients, *session.committee_members)):
        begun = clock()
        clients[client] = Client(
            protocol,
            session,
            client,
            inputs.get(client),
            attached=attached.get(client, ()),
            terms=terms.get(client),
            keyholder=keyholders.get(client),
            entropy=entropy,
            clock=now,
        )
        cost.client_s[client] = clock() - begun
    begun = clock()
    server = Server(protocol, session)
    progress: Continue | Finish = server.start()
    cost.server_s += clock() - begun
    run = _Run(server=server, clients=clients, names=names, gone_from=gone_from, tap=tap, clock=clock, cost=cost)
    while isinstance(progress, Continue):
        progress = run.step(progress)
    accounted = {*progress.contributors, *run.dropped}
    return Outcome(
        total=progress.total,
        contributors=progress.contributors,
        dropped=run.dropped,
        left_out=tuple(client for client in session.clients if client not in accounted),
        attached=progress.attached,
        cost=cost,
        verified=progress.verified,
        culprits=progress.culprits,
        complaints=progress.complaints,
        weights=progress.weights,
    )


@dataclass(slots=True, kw_only=True)
class _Run:
    """A secure sum that is under way: its parties, and what it has cost so far."""

    server: Server
    clients: Mapping[int, Client]
    names: Sequence[str]
    gone_from: Mapping[int, str]
    tap: Callable[[Transmission], None] | None
    clock: Callable[[], float]
    cost: Cost
    dropped: dict[int, str] = field(default_factory=dict)

    def step(self, progress: Continue) -> Continue | Finish:
        """Run one step with all parties that it asks, and return what follows it."""
        for client, request in progress.requests.items():
            self._transmit(self.cost.received_bytes, client, Transmission(progress.step, None, client, request))
            if self._is_gone(client, progress.step) or not self._answers(client, progress.step, request):
                self.dropped[client] = progress.step
        begun = self.clock()
        following = self.server.advance()
        self.cost.server_s += self.clock() - begun
        return following

    def _is_gone(self, client: int, step: str) -> bool:
        return client in self.gone_from and self.names.index(self.gone_from[client]) <= self.names.index(step)

    def _answers(self, client: int, step: str, request: bytes) -> bool:
        """Return whether a party answered a request with a reply that the server accepted."""
        begun = self.clock()
        try:
            reply = self.clients[client].handle(request)
        except RemoteError:
            return False  # It closed without an answer: for the server, a dropout.
        finally:
            self.cost.client_s[client] += self.clock() - begun
        accepted = self._is_accepted(client, reply)
        self._transmit(self.cost.sent_bytes, client, Transmission(step, client, None, reply, refused=not accepted))
        return accepted

    def _is_accepted(self, client: int, reply: bytes) -> bool:
        begun = self.clock()
        try:
            self.server.receive(client, reply)
        except RemoteError:
            return False
        finally:
            self.cost.server_s += self.clock() - begun
        return True

    def _transmit(self, counter: Counter[int], client: int, transmission: Transmission) -> None:
        counter[client] += len(transmission.data)
        if self.tap is not None:
            self.tap(transmission)


def _check_parties(
    session: Session,
    inputs: Mapping[int, ArrayLike],
    attached: Mapping[int, Sequence[Secret]],
    terms: Mapping[int, ClientTerms],
    keyholders: Mapping[int, Keyholder],
) -> None:
    if inputs.keys() != set(session.clients):
        raise ParameterError(
            f"inputs: expected one for each of the session's {len(session.clients)} clients, found others"
        )
    if not set(session.clients) >= attached.keys() | terms.keys():
        raise ParameterError("attached, terms: expected those of clients of the session, found another party")
    if not set(session.committee_members) >= keyholders.keys():
        raise ParameterError("keyholders: expected those of committee members only, found another party")


def _by_client(protocol: SecureSum, session: Session, drops: Mapping[str, Collection[int]]) -> dict[int, str]:
    names = [row.name for row in protocol.steps]
    gone_from: dict[int, str] = {}
    for name, clients in drops.items():
        if name not in names:
            raise ParameterError(f"drops: expected a step of {protocol.name} ({', '.join(names)}), found {name!r}")
        for client in clients:
            if client not in {*session.clients, *session.committee_members}:
                raise ParameterError(f"drops: party {shown(client)} is not in the session")
            if client in gone_from:
                raise ParameterError(f"drops: expected each party in one step, found party {client} in two")
            gone_from[client] = name
    return gone_from
