"""A cohort that a malicious server chooses: one honest client, and all those of its roster that may be corrupt."""

import dataclasses
from typing import Final

import numpy as np

from protocols import Client, ClientTerms, MemoryRecord, Roster
from protocols.errors import ProtocolError
from protocols.session import Vector
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.seeds import Tape
from secagg.audit.sums.attacks.base import LENGTH, ProtocolAttack, failed, succeeded, sum_of
from secagg.audit.sums.cohort import ADVERSARIAL, Cohort, identity_of
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import modular_difference, smallest

_PINNED: Final = 30
"""The number of clients whose identities the honest client has pinned; a tenth of them may be corrupt."""


class ChosenCohort(ProtocolAttack):
    """The server invites one client of a large roster, with corrupt clients only, and subtracts their vectors."""

    id = "attack.chosen_cohort"
    title = "The server invites a client to a session in which all other clients may be corrupt"
    tests = ("C-05",)

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        corrupt = int(ADVERSARIAL * _PINNED)
        cohort = smallest(subject, at_least=2, length=LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        if len(cohort.session.clients) > corrupt + 1:
            return Inapplicable(why=f"The protocol runs no cohort of at most {corrupt + 1} clients.")
        return Plan(trials=1, cpu_s=0.05, details=corrupt + 1)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(plan.details, length=LENGTH)
        inputs = random_inputs(cohort, seed)
        victim, *corrupt = cohort.session.clients
        try:
            read = read_vector(cohort, inputs, seed, victim, corrupt)
        except ProtocolError:
            return failed()
        if np.array_equal(read, inputs[victim]):
            return succeeded(
                f"Client {victim} has pinned {_PINNED} identities, {len(corrupt)} of which may be corrupt. It took "
                "part in a session with these only. The sum less their vectors is its vector."
            )
        return failed()


def read_vector(cohort: Cohort, inputs: dict[int, Vector], seed: bytes, victim: int, corrupt: list[int]) -> Vector:
    """Return the sum of a session less the vectors of corrupt clients.

    Raises:
        ProtocolError: The client does not take part.
    """
    pinned = terms_of(cohort, victim)
    run = Stepwise(cohort, inputs, seed)
    run.clients[victim] = Client(
        cohort.protocol,
        cohort.session,
        victim,
        inputs[victim],
        attached=cohort.attached(victim),
        entropy=Tape(seed, "victim"),
        terms=pinned,
    )
    total = run.finish().total
    return modular_difference(total, sum_of(inputs, corrupt, cohort.session.modulus), cohort.session.modulus)


def terms_of(cohort: Cohort, victim: int) -> ClientTerms:
    """Return the terms of a client that has pinned many identities, those of the session among them."""
    terms = cohort.terms(victim)
    if terms is None:
        raise LookupError("terms: expected a session with a roster, found one without")
    roster = Roster({client: identity_of(client).public for client in range(1, _PINNED + 1)})
    return dataclasses.replace(terms, roster=roster, sessions=MemoryRecord())
