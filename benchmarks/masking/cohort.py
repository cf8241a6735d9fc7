"""SecAgg+ under a stop-watch: one cohort within the process, driven by bytes, each machine's rounds timed apart."""

import hashlib
import os
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.masking.report import Stages
from protocols import Client, Continue, Finish, SecAggPlus, Server, Session
from protocols.cohort import Adversary
from protocols.crypto.secret import Secret
from protocols.identity import Identity, Roster
from protocols.replay import MemoryRecord
from protocols.terms import ClientTerms

ADVERSARIAL: Final = 0.05
MODULUS: Final = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A session, and what each client brings to it.

    Attributes:
        protocol: With its parameters.
        session: What all agree on.
        members: By client id; none against a curious server.
    """

    protocol: SecAggPlus
    session: Session
    terms: dict[int, ClientTerms]

    def client(self, number: int, vector: NDArray[Any]) -> Client:
        """One client's machine."""
        return Client(self.protocol, self.session, number, vector, entropy=os.urandom, terms=self.terms.get(number))


def plan(
    protocol: SecAggPlus,
    *,
    clients: int,
    threshold: int,
    length: int,
    modulus: int = MODULUS,
    seed: bytes | None = None,
) -> Plan:
    """A session; with identities, where the server may be malicious.

    Args:
        protocol: With its parameters.
        clients: How many.
        threshold: The least number of contributors.
        length: Entries of a vector.
        modulus: Of the sum.
        seed: 16 bytes that fix the session's id and the identities, so that two processes plan the same; fresh ones
            where it is None.
    """
    session_id = os.urandom(16) if seed is None else seed
    numbers = tuple(range(clients))
    identities: dict[int, Identity] = {}
    if protocol.adversary is Adversary.MALICIOUS:
        for number in numbers:
            identities[number] = Identity(Secret(hashlib.sha256(session_id + number.to_bytes(4, "big")).digest()))
    roster = Roster({number: identity.public for number, identity in identities.items()})
    members = {
        number: ClientTerms(
            identity=identity,
            roster=roster,
            sessions=MemoryRecord(),
            adversarial=ADVERSARIAL,
            minimum_contributors=threshold,
        )
        for number, identity in identities.items()
    }
    session = Session(
        session_id=session_id,
        clients=numbers,
        threshold=threshold,
        length=length,
        modulus=modulus,
        roster=roster if roster else None,
    )
    return Plan(protocol=protocol, session=session, terms=members)


def complete(clients: int, threshold: int, length: int, adversary: Adversary, modulus: int = MODULUS) -> Plan:
    """A plan on the complete graph, as many shares to rebuild a secret as there must be contributors."""
    protocol = SecAggPlus(neighbours=clients - 1, share_threshold=threshold, adversary=adversary)
    return plan(protocol, clients=clients, threshold=threshold, length=length, modulus=modulus)


class Cohort:
    """Clients of one session that take each round one at a time: a stage is timed as often as there are clients.

    Args:
        planned: The session.
        vector: What every client contributes.

    Attributes:
        sent_bytes: By client id, what it has sent.
    """

    def __init__(self, planned: Plan, vector: NDArray[Any]) -> None:
        self._clients = {number: planned.client(number, vector) for number in planned.session.clients}
        self._server = Server(planned.protocol, planned.session)
        self._step: Continue | Finish = self._server.start()
        self.sent_bytes: Counter[int] = Counter()

    def next_s(self, name: str) -> float:
        """CPU seconds of the next client in round `name`; rounds before it are run to their end.

        Raises:
            RuntimeError: There is no such round left, or no client left in it.
        """
        while isinstance(self._step, Continue) and self._step.step != name:
            self._run_round(self._step)
        if not isinstance(self._step, Continue) or not self._server.missing:
            raise RuntimeError(f"no client is left in round {name}")
        return self._answer(self._step, min(self._server.missing))

    def run(self) -> None:
        """Whatever rounds are left."""
        while isinstance(self._step, Continue):
            self._run_round(self._step)

    def _run_round(self, step: Continue) -> None:
        for client in sorted(self._server.missing):
            self._answer(step, client)
        self._step = self._server.advance()

    def _answer(self, step: Continue, client: int) -> float:
        request = step.requests[client]
        begun = time.process_time()
        reply = self._clients[client].handle(request)
        taken = time.process_time() - begun
        self._server.receive(client, reply)
        self.sent_bytes[client] += len(reply)
        return taken


def run_sum(planned: Plan, vectors: NDArray[Any], dropped: frozenset[int]) -> Stages:
    """One whole sum.

    Args:
        planned: The session.
        vectors: Shape `(clients, length)`.
        dropped: Clients that drop out after sharing their keys.

    Raises:
        RuntimeError: The sum is wrong.
    """
    clients = {number: planned.client(number, vectors[number]) for number in planned.session.clients}
    server = Server(planned.protocol, planned.session)
    client_s: dict[str, list[float]] = {}
    server_s: dict[str, float] = {}
    gone: frozenset[int] = frozenset()
    step: Continue | Finish = server.start()
    requests = dict(step.requests) if isinstance(step, Continue) else {}
    while isinstance(step, Continue):
        name = step.step
        if name == "mask_input":
            gone = dropped
        client_s[name], replies = [], {}
        for number in requests.keys() - gone:
            begun = time.process_time()
            replies[number] = clients[number].handle(requests[number])
            client_s[name].append(time.process_time() - begun)
        begun = time.process_time()
        for number, reply in replies.items():
            server.receive(number, reply)
        step = server.advance()
        requests = dict(step.requests) if isinstance(step, Continue) else {}
        server_s[name] = time.process_time() - begun
    rows = [number for number in planned.session.clients if number not in dropped]
    right = vectors[rows].sum(axis=0, dtype=np.uint64) % np.uint64(planned.session.modulus)
    if step.contributors != tuple(rows) or not np.array_equal(step.total, right):
        raise RuntimeError("the sum is wrong")
    return Stages(
        of=f"ours, {planned.protocol.adversary} server",
        clients=len(vectors),
        length=vectors.shape[1],
        client_s={name: min(taken) for name, taken in client_s.items()},
        server_s=server_s,
        total_s=sum(map(sum, client_s.values())) + sum(server_s.values()),
    )
