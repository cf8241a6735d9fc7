"""Two sums of one session that differ in one client: a server that asks twice, with another set of survivors."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from protocols import Continue, Finish
from protocols.errors import ProtocolError
from protocols.session import Vector
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.sums.attacks.base import LENGTH, ProtocolAttack, enough, failed, succeeded, unless_refused
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise, client_steps
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import modular_difference, probed, smallest


class SecondRequest(ProtocolAttack):
    """The server asks every party again in each step after the vectors have arrived, as if one client had dropped out.

    It runs a second server from a snapshot of the first. If both reach a sum, their difference is one client's vector.
    A single answer to a second request is already a success: it may reveal both secrets of one client.
    """

    id = "attack.second_request"
    title = "The server asks parties a second time in the same step, with another survivor set"
    tests = ("C-03", "C-05", "C-09")

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        probe = probed(subject)
        if isinstance(probe, Inapplicable):
            return probe
        cohort = smallest(subject, at_least=3, length=LENGTH, dropouts=1)
        if isinstance(cohort, Inapplicable):
            return cohort
        return Plan(trials=1, cpu_s=0.1, details=(probe.vector_step, len(cohort.session.clients)))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        number, clients = plan.details
        cohort = subject.cohort(clients, length=LENGTH)
        inputs = random_inputs(cohort, seed)
        victim = cohort.session.clients[0]
        run = Stepwise(cohort, inputs, seed).to_step(number)
        replies = run.replies()
        rival = run.fork()
        run.deliver(replies)
        rival.deliver({client: reply for client, reply in replies.items() if client != victim})
        answered = _finish_both(run, rival)
        if _is_read(cohort, run, rival, inputs[victim]):
            return succeeded(
                f"Two sums of one session were opened, with client {victim} and without. Their difference is its "
                "vector."
            )
        if answered is not None:
            return succeeded(f"A party answered a second request of step {answered}, for another survivor set.")
        repeated = next(filter(None, (_repeated(cohort, inputs, seed, at) for at in client_steps(cohort))), "")
        return succeeded(f"A party answered the same request of step {repeated} twice.") if repeated else failed()


def _finish_both(run: Stepwise, rival: Stepwise) -> str | None:
    """Finish both sums with the same parties, as far as they answer; return the first step with a second answer."""
    answered = None
    try:
        while isinstance(run.progress, Continue) and isinstance(rival.progress, Continue):
            replies, name = run.replies(enough(run.cohort)), run.progress.step
            second = _answers(rival, {each: rival.requests[each] for each in replies if each in rival.requests})
            answered = answered or (name if second else None)
            run.deliver(replies)
            rival.deliver(second)
    except ProtocolError:
        pass  # A party that refuses a request closes, so one of the servers runs out of replies.
    return answered


def _repeated(cohort: Cohort, inputs: dict[int, Vector], seed: bytes, number: int) -> str | None:
    """Return the step's name if a party answers the request of this step twice."""
    run = Stepwise(cohort, inputs, seed, label=f"repeated {number}").to_step(number)
    requests = dict(run.requests)
    run.replies()
    return cohort.protocol.steps[number].name if _answers(run, requests) else None


def _answers(run: Stepwise, requests: Mapping[int, bytes]) -> dict[int, bytes]:
    replies = {
        party: unless_refused(partial(run.clients[party].handle, request)) for party, request in requests.items()
    }
    return {party: reply for party, reply in replies.items() if reply is not None}


def _is_read(cohort: Cohort, run: Stepwise, rival: Stepwise, vector: Vector) -> bool:
    if not (isinstance(run.progress, Finish) and isinstance(rival.progress, Finish)):
        return False
    if run.progress.contributors == rival.progress.contributors:
        return False
    read = modular_difference(run.progress.total, rival.progress.total, cohort.session.modulus)
    return bool(np.array_equal(read, vector))
