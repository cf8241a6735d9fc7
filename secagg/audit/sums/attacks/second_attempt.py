"""Two attempts at one sum, of which the second lacks a client, against clients that keep records of openings."""

import numpy as np

from protocols import Finish, MemoryOpenings
from protocols.errors import ProtocolError
from protocols.secure_sum import Role
from protocols.session import Vector
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.seeds import Tape
from secagg.audit.sums.attacks.base import LENGTH, ProtocolAttack, failed, succeeded
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import modular_difference, smallest

_CONTEXT = b"round 1"


class SecondAttempt(ProtocolAttack):
    """All clients help to open the sum of all, and are then asked for that of all but one, in another session.

    Both sessions have one context, since they sum the same inputs. The clients keep their records of openings.
    """

    id = "attack.second_attempt"
    title = "The server repeats a sum without one client, and clients compare it with their records of openings"
    tests = ("C-36",)

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        cohort = smallest(subject, at_least=3, length=LENGTH, dropouts=1)
        if isinstance(cohort, Inapplicable):
            return cohort
        if all(row.reveals is None or row.role is not Role.CLIENT for row in cohort.protocol.steps):
            return Inapplicable(why="No step of the protocol asks clients to help open a sum.")
        return Plan(trials=1, cpu_s=0.1, details=len(cohort.session.clients))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        first = subject.cohort(plan.details, length=LENGTH, context=_CONTEXT)
        second = subject.cohort(plan.details, length=LENGTH, context=_CONTEXT, session_id=b"secagg audit another")
        inputs, clients = random_inputs(first, seed), first.session.clients
        records = {client: MemoryOpenings() for client in clients}
        opened = _attempt(first, inputs, seed, records, "first", clients)
        again = _attempt(second, inputs, seed, records, "second", clients[1:])
        if opened is None:
            return succeeded("Clients with empty records of openings did not open their first sum.")
        if again is not None and np.array_equal(
            modular_difference(opened.total, again.total, first.session.modulus), inputs[clients[0]]
        ):
            return succeeded(
                f"Clients helped to open the sum of {len(clients)} clients, and then that of all but client "
                f"{clients[0]} under the same context. The difference is its vector."
            )
        return failed()


def _attempt(
    cohort: Cohort,
    inputs: dict[int, Vector],
    seed: bytes,
    records: dict[int, MemoryOpenings],
    label: str,
    present: tuple[int, ...],
) -> Finish | None:
    """Return the sum of the clients that are present; None if there is none."""
    run = Stepwise(cohort, inputs, seed, label=label)
    for client in cohort.session.clients:
        run.clients[client] = cohort.client(
            client, inputs[client], Tape(seed, f"{label} {client}"), own_openings=records[client]
        )
    try:
        return run.finish(present)
    except ProtocolError:
        return None
