"""The in-memory driver: every party in one process, real bytes between them, clients that vanish when told to.

It is what tests, audits and simulated training run on, and the shortest example of how to drive the two machines.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from numpy.typing import ArrayLike

from protocols.crypto.entropy import Entropy
from protocols.crypto.integers import shown
from protocols.crypto.secret import Secret
from protocols.errors import ParameterError, RemoteError
from protocols.machine import Client, Continue, Server
from protocols.secure_sum import Finish, SecureSum
from protocols.session import Session, Vector
from protocols.terms import ClientTerms, Keyholder


@dataclass(frozen=True, slots=True)
class Transmission:
    """One message that crossed the wire.  All of them together are the server's whole view.

    Attributes:
        step: The step's name.
        sender: A client's id, or None for the server.
        receiver: A client's id, or None for the server.
        data: The bytes.
    """

    step: str
    sender: int | None
    receiver: int | None
    data: bytes


@dataclass(slots=True)
class Cost:
    """What one secure sum cost, from counting bytes and reading the caller's clock.

    Attributes:
        sent_bytes: By client id, what it sent.
        received_bytes: By client id, what was sent to it.
        client_s: By client id, seconds of the clock.
        server_s: Seconds of the clock.
    """

    sent_bytes: Counter[int] = field(default_factory=Counter)
    received_bytes: Counter[int] = field(default_factory=Counter)
    client_s: dict[int, float] = field(default_factory=dict)
    server_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one secure sum.

    Attributes:
        total: Shape `(length,)`, uint64: the sum of the contributors' vectors modulo the session's modulus.
        contributors: Whose vectors are in the sum, ascending.
        dropped: By party id, the step that it did not answer; a contributor may be among them.
        left_out: Whom the server went on without, though they answered: too few of their neighbours were left.
        attached: For each contributor, its attached secrets in the session's order; None where one stays closed.
        cost: Bytes and seconds.
    """

    total: Vector
    contributors: tuple[int, ...]
    dropped: dict[int, str]
    left_out: tuple[int, ...]
    attached: Mapping[int, tuple[Secret | None, ...]]
    cost: Cost


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
) -> Outcome:
    """Run one secure sum in memory.

    Args:
        protocol: The protocol.
        session: The session.
        inputs: Each client's vector, shape `(length,)`, integers in [0, modulus).
        attached: Each client's attached secrets, where the session has any.
        terms: Each client's identity and terms, where the session has a roster.
        keyholders: Each committee member's share and rules, where the session has a committee.
        drops: By step name, the parties that are gone from that step on: they get its request and never answer.
        tap: Called with every message, in order.
        entropy: The clients' randomness; `os.urandom` outside tests.
        clock: Seconds, read around each party's work; `time.process_time` to account for it.

    Raises:
        ParameterError: The session, the inputs' ids or the drops do not fit together.
        InputError: A vector is not acceptable; nothing has been sent then.
        TooFewSurvivors: More clients vanished than the thresholds allow.
        RemoteError: The parties' replies together show misbehaviour.
    """
    names = [row.name for row in protocol.steps]
    gone_from = _by_client(protocol, session, drops or {})
    if inputs.keys() != set(session.clients):
        raise ParameterError(f"inputs must be those of the session's {len(session.clients)} clients, no more, no fewer")
    attached, terms, keyholders = attached or {}, terms or {}, keyholders or {}
    if not set(session.clients) >= attached.keys() | terms.keys():
        raise ParameterError("attached secrets or terms of clients that are not in the session")
    if not set(session.committee_members) >= keyholders.keys():
        raise ParameterError("keyholders that are not in the session's committee")
    cost, dropped = Cost(), dict[int, str]()
    clients = {}
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
        )
        cost.client_s[client] = clock() - begun
    begun = clock()
    server = Server(protocol, session)
    progress: Continue | Finish = server.start()
    cost.server_s += clock() - begun

    while isinstance(progress, Continue):
        for client, request in progress.requests.items():
            _transmit(tap, cost.received_bytes, client, Transmission(progress.step, None, client, request))
            if client in gone_from and names.index(gone_from[client]) <= names.index(progress.step):
                dropped[client] = progress.step
                continue
            begun = clock()
            try:
                reply = clients[client].handle(request)
            except RemoteError:
                dropped[client] = progress.step  # it closed rather than answer: to the server, a drop like any other
                continue
            finally:
                cost.client_s[client] += clock() - begun
            _transmit(tap, cost.sent_bytes, client, Transmission(progress.step, client, None, reply))
            begun = clock()
            try:
                server.receive(client, reply)
            except RemoteError:
                dropped[client] = progress.step
            cost.server_s += clock() - begun
        begun = clock()
        progress = server.advance()
        cost.server_s += clock() - begun
    accounted = {*progress.contributors, *dropped}
    return Outcome(
        total=progress.total,
        contributors=progress.contributors,
        dropped=dropped,
        left_out=tuple(client for client in session.clients if client not in accounted),
        attached=progress.attached,
        cost=cost,
    )


def _by_client(protocol: SecureSum, session: Session, drops: Mapping[str, Collection[int]]) -> dict[int, str]:
    names = [row.name for row in protocol.steps]
    gone_from: dict[int, str] = {}
    for name, clients in drops.items():
        if name not in names:
            raise ParameterError(f"{protocol.name} has no step {name!r}; its steps are {', '.join(names)}")
        for client in clients:
            if client not in {*session.clients, *session.committee_members}:
                raise ParameterError(f"party {shown(client)}, who is to drop, is not in the session")
            if client in gone_from:
                raise ParameterError(f"client {client} is to drop twice")
            gone_from[client] = name
    return gone_from


def _transmit(
    tap: Callable[[Transmission], None] | None, counter: Counter[int], client: int, transmission: Transmission
) -> None:
    counter[client] += len(transmission.data)
    if tap is not None:
        tap(transmission)
