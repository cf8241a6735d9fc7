"""The common part of attacks on protocols: their kind, their verdicts, and a server that asks for no quorum."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from protocols import SecureSum, Server, Session
from protocols.errors import ProtocolError
from protocols.session import Vector
from secagg.audit.attack import Attack, Layer, Result
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import modular_sum

T = TypeVar("T")

LENGTH = 8
"""Length of the vectors of attacks: at 24 bits an entry, no sum equals another by chance."""


class ProtocolAttack(Attack[SumSubject]):
    """An exact attack on a protocol."""

    layer = Layer.ATTACK
    subjects = SumSubject


class LenientServer(Server):
    """A server that goes on with a single reply. The parties' own checks are all that stops it."""

    def __init__(self, protocol: SecureSum, session: Session) -> None:
        super().__init__(protocol, session)
        self._quorums = [1] * len(self._quorums)


def enough(cohort: Cohort) -> list[int]:
    """Return all clients, and as many committee members as open a sum."""
    return [*cohort.session.clients, *cohort.session.committee_members[: cohort.opening]]


def unless_refused(action: Callable[[], T]) -> T | None:
    """Return what an action returns, or None if a party or a server refuses it with a documented error."""
    try:
        return action()
    except ProtocolError:
        return None


def sum_of(vectors: Mapping[int, Vector], clients: Sequence[int], modulus: int) -> Vector:
    """Return the sum of these clients' vectors modulo the modulus."""
    total = np.zeros_like(vectors[clients[0]])
    for client in clients:
        total = modular_sum(total, vectors[client], modulus)
    return total


def succeeded(evidence: str) -> Result:
    """Return the result of an attack that succeeded."""
    return Result(statistic="attacks that succeeded", value=1.0, threshold=1.0, rejected=True, evidence=evidence)


def failed() -> Result:
    """Return the result of an attack that failed."""
    return Result(statistic="attacks that succeeded", value=0.0, threshold=1.0)
