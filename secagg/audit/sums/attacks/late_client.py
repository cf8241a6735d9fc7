"""A client whose masked vector arrives late: it is told that it has dropped out, and the others remove its masks."""

import numpy as np

from protocols.errors import ProtocolError
from protocols.session import Vector
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.sums.attacks.base import LENGTH, ProtocolAttack, failed, succeeded, sum_of
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import Carrier, carrier_of, modular_difference, read_vectors, smallest


class LateClient(ProtocolAttack):
    """The server counts a client as dropped, although its masked vector has arrived, and computes that vector.

    It needs only the released sum of the others: the sum of all masked vectors, the late one included, less the
    released sum. If nothing but the masks of pairs protects a vector, all masks cancel in it, and what is left is the
    late client's vector. The masks of single clients (Bonawitz et al. 2017, section 6.1) prevent that.
    """

    id = "attack.late_client"
    title = (
        "The server counts a client as dropped out, and tries to compute its vector from the masked vectors and the sum"
    )
    tests = ("C-03",)

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        carrier = carrier_of(subject)
        if isinstance(carrier, Inapplicable):
            return carrier
        cohort = smallest(subject, at_least=3, length=LENGTH, dropouts=1)
        if isinstance(cohort, Inapplicable):
            return cohort
        return Plan(trials=2, cpu_s=0.05, details=(carrier, len(cohort.session.clients)))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        carrier, clients = plan.details
        cohort = subject.cohort(clients, length=LENGTH)
        inputs = random_inputs(cohort, seed)
        for late in (cohort.session.clients[0], cohort.session.clients[-1]):
            read = read_late_vector(cohort, inputs, late, carrier, seed)
            if read is not None and np.array_equal(read, inputs[late]):
                return succeeded(
                    f"Client {late} of {clients} was counted as dropped after it had sent its masked vector. The sum "
                    "of all masked vectors less the released sum is its vector."
                )
        return failed()


def read_late_vector(
    cohort: Cohort, inputs: dict[int, Vector], late: int, carrier: Carrier, seed: bytes
) -> Vector | None:
    """Return what a server computes of a late client's vector; None if it gets no sum of the others."""
    run = Stepwise(cohort, inputs, seed, label=f"late {late}").to_step(carrier.number)
    replies = run.replies()
    masked = read_vectors(run, carrier, replies)
    try:
        run.deliver({client: reply for client, reply in replies.items() if client != late})
        released = run.finish()
    except ProtocolError:
        return None
    everyone = sum_of(masked, tuple(masked), cohort.session.modulus)
    return modular_difference(everyone, released.total, cohort.session.modulus)
