"""A round that is repeated: clients start the same session again with other vectors, and a server compares both."""

import numpy as np

from protocols import MemoryRecord
from protocols.session import Vector
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.seeds import Tape
from secagg.audit.sums.attacks.base import LENGTH, ProtocolAttack, failed, succeeded, unless_refused
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import SNAPSHOT_KEY, Stepwise, client_steps, restored
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import carrier_of, masked_vectors, modular_difference, modular_sum, smallest


class RepeatedRound(ProtocolAttack):
    """All clients restart a session with fresh randomness, and one of them has another vector.

    If a mask follows from the session and the client alone, the difference of the two masked vectors is that of the
    vectors, or their sum is, if the mask has the opposite sign.
    """

    id = "attack.repeated_round"
    title = "Clients restart a session, and the two masked vectors of a client are added and subtracted"
    tests = ("C-13", "C-03")

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        carrier = carrier_of(subject)
        if isinstance(carrier, Inapplicable):
            return carrier
        cohort = smallest(subject, at_least=2, length=LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        return Plan(trials=1, cpu_s=0.05, details=(carrier, len(cohort.session.clients)))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        carrier, clients = plan.details
        cohort = subject.cohort(clients, length=LENGTH)
        one, other = random_inputs(cohort, seed, "first"), random_inputs(cohort, seed, "second")
        before = masked_vectors(cohort, one, carrier, seed, label="first attempt")
        after = masked_vectors(cohort, other, carrier, seed, label="second attempt")
        modulus = cohort.session.modulus
        for client in cohort.session.clients:
            for operation in (modular_difference, modular_sum):
                if np.array_equal(
                    operation(before[client], after[client], modulus), operation(one[client], other[client], modulus)
                ):
                    return succeeded(
                        f"Client {client} used one mask for two vectors, in two attempts at one session. Its masked "
                        "vectors give a combination of its vectors."
                    )
        return failed()


class RestartedClient(ProtocolAttack):
    """A client with an identity is started again in a session that it has answered, with its record of sessions."""

    id = "attack.restarted_client"
    title = "A client is restarted in a session that it has answered, and asked for the same steps again"
    tests = ("C-13", "C-05")

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        if not subject.identified:
            return Inapplicable(
                why="A client without an identity keeps no record of sessions. The party that restores it must take "
                "the latest snapshot, and nothing else prevents that it answers twice."
            )
        cohort = smallest(subject, at_least=2, length=LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        return Plan(trials=3, cpu_s=0.05, details=len(cohort.session.clients))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(plan.details, length=LENGTH)
        inputs = random_inputs(cohort, seed)
        for number in client_steps(cohort):
            for how, reply in restarts(cohort, inputs, seed, number).items():
                if reply is not None:
                    name = cohort.protocol.steps[number].name
                    return succeeded(f"A client that has answered step {name} answers again: {how}.")
        return failed()


def restarts(cohort: Cohort, inputs: dict[int, Vector], seed: bytes, number: int) -> dict[str, bytes | None]:
    """Return, for each way to restart the first client after it has answered a step, its second answer or None."""
    client = cohort.session.clients[0]
    run = Stepwise(cohort, inputs, seed, label=f"restart {number}").to_step(number)
    kept = run.clients[client].snapshot(SNAPSHOT_KEY)
    request = run.requests[client]
    run.clients[client].handle(request)
    found: dict[str, bytes | None] = {}
    if number == 0:
        again = cohort.client(client, inputs[client], Tape(seed, "new"), record=run.records[client])
        found["it was started anew with its record of sessions"] = unless_refused(lambda: again.handle(request))
    else:
        lost = restored(cohort, client, kept, Tape(seed, "lost"), MemoryRecord())
        found["it was restored from a snapshot without its record of sessions"] = unless_refused(
            lambda: lost.handle(request)
        )
    back = restored(cohort, client, kept, Tape(seed, "restored"), run.records[client])
    found["it was restored from an older snapshot with its record of sessions"] = unless_refused(
        lambda: back.handle(request)
    )
    return found
