"""Sums of too few clients, and two sums of one session, by a server that ignores the thresholds."""

from collections.abc import Collection
from functools import partial

from protocols import Finish
from protocols.errors import ProtocolError
from protocols.secure_sum import Role
from protocols.session import Vector
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.sums.attacks.base import LENGTH, LenientServer, ProtocolAttack, failed, succeeded, unless_refused
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import probed, smallest


class TooFew(ProtocolAttack):
    """From each step on, one party fewer than the threshold answers: in a committee's step one of its members too few.

    The server follows the protocol, and must end the session. If clients are protected from a malicious server, it goes
    on with a single reply, and must not get the sum of fewer clients than the threshold.
    """

    id = "attack.too_few"
    title = "The server tries to get a sum although fewer parties than the threshold answer"
    tests = ("C-02", "C-09")

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        cohort = smallest(subject, at_least=3, length=LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        lies = any(claim.id == "C-05" for claim in subject.claims)
        return Plan(trials=len(cohort.protocol.steps), cpu_s=0.1, details=(len(cohort.session.clients), lies))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        clients, lies = plan.details
        cohort = subject.cohort(clients, length=LENGTH)
        inputs = random_inputs(cohort, seed)
        for number, row in enumerate(cohort.protocol.steps):
            server = LenientServer(cohort.protocol, cohort.session) if lies else None
            run = Stepwise(cohort, inputs, seed, label=f"few {number}", server=server).to_step(number)
            few = too_few(cohort, row.role)
            outcome = unless_refused(partial(run.finish, few))
            if outcome is not None and not (lies and len(outcome.contributors) >= cohort.session.threshold):
                return succeeded(
                    f"From step {row.name} on only the parties {few} answered, and a sum of "
                    f"{len(outcome.contributors)} clients was released. The threshold of clients is "
                    f"{cohort.session.threshold}."
                )
        return failed()


def too_few(cohort: Cohort, role: Role) -> list[int]:
    """Return one party fewer than the threshold in a role, and all parties in the other role."""
    session = cohort.session
    if role is Role.COMMITTEE:
        return [*session.clients, *session.committee_members[: cohort.opening - 1]]
    return [*session.clients[: session.threshold - 1], *session.committee_members]


class TwoSums(ProtocolAttack):
    """The server shows two groups of clients two survivor sets, and asks each client only once.

    It holds the masked vectors of all clients. The survivor sets are the two halves, or all clients with and without
    one. The groups are the two halves of clients and of committee members.
    """

    id = "attack.two_sums"
    title = "The server tries to get two sums over different sets of clients in one session"
    tests = ("C-05", "C-09")

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        probe = probed(subject)
        if isinstance(probe, Inapplicable):
            return probe
        cohort = smallest(subject, at_least=4, length=LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        return Plan(trials=2, cpu_s=0.2, details=(probe.vector_step, len(cohort.session.clients)))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        number, clients = plan.details
        cohort = subject.cohort(clients, length=LENGTH)
        inputs = random_inputs(cohort, seed)
        everyone, members = cohort.session.clients, cohort.session.committee_members
        half, others = everyone[: clients // 2], everyone[clients // 2 :]
        groups = (*half, *members[: len(members) // 2]), (*others, *members[len(members) // 2 :])
        for sets in ((half, others), (everyone[1:], everyone)):
            opened = two_sums(cohort, inputs, seed, number, sets=sets, groups=groups)
            if len(opened) == 2 and opened[0].contributors != opened[1].contributors:
                return succeeded(
                    f"Two sums of one session were opened, of the clients {list(opened[0].contributors)} and "
                    f"{list(opened[1].contributors)}. No party was asked twice."
                )
        return failed()


def two_sums(
    cohort: Cohort,
    inputs: dict[int, Vector],
    seed: bytes,
    number: int,
    *,
    sets: tuple[Collection[int], Collection[int]],
    groups: tuple[Collection[int], Collection[int]],
) -> list[Finish]:
    """Return the sums that two servers reach from the same masked vectors.

    Args:
        cohort: The cohort.
        inputs: Each client's vector.
        seed: The seed of the attempt.
        number: The number of the step in which the masked vectors are sent.
        sets: For each server, the clients whose masked vectors it counts.
        groups: For each server, the parties that it asks afterwards.
    """
    run = Stepwise(cohort, inputs, seed, label=f"two sums of {len(sets[0])} and {len(sets[1])}").to_step(number)
    replies, opened = run.replies(), []
    for contributors, group in zip(sets, groups, strict=True):
        server = run.fork(LenientServer)
        try:
            server.deliver({client: reply for client, reply in replies.items() if client in contributors})
            opened.append(server.finish(group))
        except ProtocolError:
            continue
    return opened
