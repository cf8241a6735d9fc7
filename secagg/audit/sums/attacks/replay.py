"""Messages in the place of others: of another session, context, step or client."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from protocols.session import Vector
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.sums.attacks.base import LENGTH, ProtocolAttack, failed, succeeded
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise, client_steps
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import smallest


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """All messages of one session, by step number and party."""

    requests: Mapping[tuple[int, int], bytes]
    replies: Mapping[tuple[int, int], bytes]


class Replay(ProtocolAttack):
    """Every message of a session is sent in place of the same one of another session, another context, another step."""

    id = "attack.replay"
    title = "Messages of another session, context or step are sent in place of the right ones"
    tests = ("C-06",)

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        cohort = smallest(subject, at_least=2, length=LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        return Plan(trials=6 * len(cohort.protocol.steps), cpu_s=0.1, details=len(cohort.session.clients))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(plan.details, length=LENGTH)
        inputs = random_inputs(cohort, seed)
        others = {
            "another session": subject.cohort(plan.details, length=LENGTH, session_id=b"secagg audit another"),
            "another context": subject.cohort(plan.details, length=LENGTH, context=b"another context"),
        }
        recorded = {label: record(other, inputs, seed) for label, other in others.items()}
        same, run = record(cohort, inputs, seed, up_to=client_steps(cohort)[-1]), Stepwise(cohort, inputs, seed)
        for number, row in enumerate(cohort.protocol.steps):
            for what in (*_from_elsewhere(run, number, recorded), *_from_other_steps(run, number, same)):
                return succeeded(f"Step {row.name}: {what} was accepted.")
            if number + 1 < len(cohort.protocol.steps):
                run.deliver(run.replies())
        return failed()


def record(cohort: Cohort, inputs: dict[int, Vector], seed: bytes, up_to: int | None = None) -> Recorded:
    """Return the messages of an honest session, and in its last step only those of the first party that it asks.

    The parties' randomness is the same in all sessions of an attempt.

    Args:
        cohort: The cohort.
        inputs: Each client's vector.
        seed: The seed of the attempt.
        up_to: The number of the last step; that of the protocol if it is left out.
    """
    run, last = Stepwise(cohort, inputs, seed), len(cohort.protocol.steps) - 1 if up_to is None else up_to
    requests: dict[tuple[int, int], bytes] = {}
    replies: dict[tuple[int, int], bytes] = {}
    for number in range(last + 1):
        requests |= {(number, party): request for party, request in run.requests.items()}
        answers = run.replies() if number < last else run.replies([next(iter(run.requests))])
        replies |= {(number, party): reply for party, reply in answers.items()}
        if number < last:
            run.deliver(answers)
    return Recorded(requests=requests, replies=replies)


def _from_elsewhere(run: Stepwise, number: int, recorded: Mapping[str, Recorded]) -> Iterator[str]:
    """Yield which messages of the same step of another session a party or the server accepts."""
    party = next(iter(run.requests))
    for label, other in recorded.items():
        if run.answer_to(party, other.requests[number, party]) is not None:
            yield f"a request of {label}"
        if run.would_take(party, other.replies[number, party]):
            yield f"a reply of {label}"


def _from_other_steps(run: Stepwise, number: int, same: Recorded) -> Iterator[str]:
    """Yield which messages of another step of the same session a party or the server accepts."""
    party = next(iter(run.requests))
    for other, row in enumerate(run.cohort.protocol.steps):
        if other == number or (other, party) not in same.requests:
            continue
        if run.answer_to(party, same.requests[other, party]) is not None:
            yield f"the request of step {row.name}"
        if run.would_take(party, same.replies[other, party]):
            yield f"the reply of step {row.name}"
