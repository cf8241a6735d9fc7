"""Exact checks of what a server sees: sizes that do not depend on the inputs, and replies that are randomised."""

from collections.abc import Iterator
from itertools import combinations
from typing import Final

import numpy as np

from protocols.session import Vector
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.seeds import generator_of
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.stepwise import Stepwise, client_steps
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import Probe, probed, smallest

_LENGTH: Final = 9
_CLIENTS: Final = 3
_PAIRS: Final = 4


class MessageSizes(Attack[SumSubject]):
    """Two sets of inputs with the same sum and the same randomness: the same messages, of the same lengths."""

    id = "view.sizes"
    title = "Number, order and lengths of all messages are compared for different inputs with the same sum"
    layer = Layer.VIEW
    tests = ("C-03",)
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It costs little.
        """See `Attack.plan`."""
        cohort = smallest(subject, at_least=_CLIENTS, length=_LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        return Plan(trials=2 * _PAIRS, cpu_s=0.1, details=len(cohort.session.clients))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(plan.details, length=_LENGTH)
        for number, (one, other) in enumerate(pairs_of_inputs(cohort, seed)):
            sizes = [message_sizes(cohort, inputs, seed, str(number)) for inputs in (one, other)]
            for before, after in zip(*sizes, strict=False):
                if before != after:
                    return _rejected(f"with one set of inputs {before}, with another {after}")
            if len(sizes[0]) != len(sizes[1]):
                return _rejected(f"{len(sizes[0])} messages with one set of inputs, {len(sizes[1])} with another")
        return Result(statistic="messages of other lengths", value=0.0)


class FreshReplies(Attack[SumSubject]):
    """Equal vectors of two clients, and of two runs: the parts of replies that depend on the vector all differ."""

    id = "view.fresh"
    title = "Replies that depend on the vector are compared between clients and sessions with equal vectors"
    layer = Layer.VIEW
    tests = ("C-03", "C-10")
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It costs little.
        """See `Attack.plan`."""
        probe = probed(subject)
        if isinstance(probe, Inapplicable):
            return probe
        cohort = smallest(subject, at_least=2, length=_LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        return Plan(trials=2 * len(cohort.session.clients), cpu_s=0.1, details=(probe, len(cohort.session.clients)))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        probe, clients = plan.details
        cohort = subject.cohort(clients, length=_LENGTH)
        vector = generator_of(seed).integers(0, cohort.session.modulus, _LENGTH, dtype=np.uint64)
        inputs = dict.fromkeys(cohort.session.clients, vector)
        seen: dict[tuple[str, str, int], object] = {}
        for label in ("run 1", "run 2"):
            seen |= _dependent_fields(cohort, inputs, probe, seed, label)
        for (one, value), (other, others_value) in combinations(seen.items(), 2):
            if one[1] == other[1] and value == others_value:
                return Result(
                    statistic="equal fields",
                    value=1.0,
                    threshold=1.0,
                    rejected=True,
                    evidence=f"Field {one[1]} of client {one[2]} in {one[0]} equals that of client {other[2]} in "
                    f"{other[0]}. Both clients have the same vector.",
                )
        return Result(statistic="equal fields", value=0.0, threshold=1.0)


def pairs_of_inputs(cohort: Cohort, seed: bytes) -> Iterator[tuple[dict[int, Vector], dict[int, Vector]]]:
    """Yield pairs of sets of inputs that have the same sum: zeros and large opposite entries, then random ones."""
    session, choices = cohort.session, generator_of(seed, "pairs of inputs")
    first, second, *_ = session.clients
    one = dict.fromkeys(session.clients, np.zeros(session.length, dtype=np.uint64))
    for number in range(_PAIRS):
        moved = choices.integers(1, session.modulus, session.length, dtype=np.uint64)
        if number == 0:
            moved = np.full(session.length, session.modulus // 2, dtype=np.uint64)
        yield one, one | {first: moved, second: np.uint64(session.modulus - 1) - moved + np.uint64(1)}


def message_sizes(cohort: Cohort, inputs: dict[int, Vector], seed: bytes, label: str) -> list[str]:
    """Return who sent how many bytes to whom in which step, up to the last reply of a client."""
    run, last = Stepwise(cohort, inputs, seed, label=label), client_steps(cohort)[-1]
    found: list[str] = []
    while True:
        number, requests, replies = run.number, run.requests, run.replies()
        name = cohort.protocol.steps[number].name
        for party, request in requests.items():
            found.append(f"step {name}: {len(request)} bytes to party {party}, {len(replies.get(party, b''))} back")
        if number == last:
            return found
        run.deliver(replies)


def _dependent_fields(
    cohort: Cohort, inputs: dict[int, Vector], probe: Probe, seed: bytes, label: str
) -> dict[tuple[str, str, int], object]:
    """Return the fields that depend on the vector: by run, name of the field with its step, and client."""
    run, found = Stepwise(cohort, inputs, seed, label=label), {}
    for number in sorted({carrier.number for carrier in probe.dependent}):
        for client, reply in run.to_step(number).replies().items():
            message = run.body(number, reply)
            for carrier in probe.dependent:
                if carrier.number == number:
                    name = f"{carrier.field} of step {cohort.protocol.steps[number].name}"
                    found[label, name, client] = getattr(message, carrier.field)
    return found


def _rejected(evidence: str) -> Result:
    return Result(
        statistic="messages of other lengths", value=1.0, threshold=1.0, rejected=True, evidence=f"{evidence}."
    )
