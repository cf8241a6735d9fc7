"""Two contexts in one session: some clients are told another model or round than the others."""

from functools import partial

import msgspec

from protocols import Continue, Finish
from protocols.codec import Envelope
from protocols.errors import ProtocolError
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.sums.attacks.base import LENGTH, ProtocolAttack, failed, succeeded, unless_refused
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import smallest


class TwoContexts(ProtocolAttack):
    """The server tells one client another context than the others, and sums all of their vectors.

    A malicious server also replaces the session's digest in the messages that it passes on.
    """

    id = "attack.two_contexts"
    title = "The server tells one client another context than the others, and tries to get the sum"
    tests = ("C-06", "C-05")

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        cohort = smallest(subject, at_least=3, length=LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        lies = (False, True) if any(claim.id == "C-05" for claim in subject.claims) else (False,)
        return Plan(trials=len(lies), cpu_s=0.1, details=(len(cohort.session.clients), lies))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        clients, lies = plan.details
        one, other = (subject.cohort(clients, length=LENGTH, context=each) for each in (b"model 1", b"model 2"))
        for replaced in lies:
            outcome = sum_over_two(one, other, seed, replaced=replaced)
            misled = one.session.clients[0]
            if outcome is not None and misled in outcome.contributors:
                return succeeded(
                    f"Client {misled} was told the context 'model 2' and the others 'model 1'. All are in one sum."
                )
        return failed()


def sum_over_two(one: Cohort, other: Cohort, seed: bytes, *, replaced: bool) -> Finish | None:
    """Return the sum that a server gets of clients of two sessions, the first client being in the other one.

    Args:
        one: The cohort of the server and of most clients.
        other: The cohort to which the first client thinks it belongs.
        seed: The seed of the attempt.
        replaced: Whether the server replaces the session's digest in the messages of that client.
    """
    misled = one.session.clients[0]
    inputs = random_inputs(one, seed)
    run, elsewhere = Stepwise(one, inputs, seed), Stepwise(other, inputs, seed)
    run.clients[misled] = elsewhere.clients[misled]
    digests = [cohort.protocol.digest(cohort.session) for cohort in (one, other)]
    try:
        while isinstance(run.progress, Continue):
            run.deliver(_replies(run, misled, digests if replaced else None))
    except ProtocolError:
        return None
    return run.progress


def _replies(run: Stepwise, misled: int, digests: list[bytes] | None) -> dict[int, bytes]:
    found = {}
    for party, request in run.requests.items():
        passed_on = request if party != misled or digests is None else with_digest(request, digests[1])
        reply = unless_refused(partial(run.clients[party].handle, passed_on))
        if reply is not None:
            found[party] = reply if party != misled or digests is None else with_digest(reply, digests[0])
    return found


def with_digest(message: bytes, digest: bytes) -> bytes:
    """Return a message with another session's digest in its envelope."""
    return msgspec.msgpack.encode(
        msgspec.structs.replace(msgspec.msgpack.decode(message, type=Envelope), digest=digest)
    )
