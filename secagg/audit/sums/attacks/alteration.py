"""Messages that are altered on their way, one bit at a time, and replies of one client in the place of another's."""

from collections.abc import Iterator
from functools import partial
from typing import Final

import numpy as np

from protocols import Finish
from protocols.secure_sum import Role
from protocols.session import Vector
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.sums.attacks.base import LENGTH, ProtocolAttack, failed, succeeded, sum_of, unless_refused
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import Carrier, probed, smallest

_POSITIONS: Final = {Level.QUICK: 2, Level.FULL: 8}
"""The number of bits of each message that are flipped, one at a time."""


class Alteration(ProtocolAttack):
    """One bit of a message is flipped, or the reply of another client is sent in its place.

    The message must be refused, or the session must end without a sum, or the sum must be the right one. The masked
    vector itself is left alone: a client may send any vector.
    """

    id = "attack.alteration"
    title = (
        "Messages with one bit flipped, or of another client, are sent, and a released sum is compared with the "
        "right one"
    )
    tests = ("C-08", "C-06")

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        probe = probed(subject)
        if isinstance(probe, Inapplicable):
            return probe
        # With one reply more than the sum needs, protocols that compare replies can find a wrong one.
        cohort = smallest(subject, at_least=3, length=LENGTH, dropouts=1)
        if isinstance(cohort, Inapplicable) or cohort.protocol.needs_committee:
            cohort = smallest(subject, at_least=3, length=LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        count = _POSITIONS[level]
        return Plan(
            trials=len(cohort.protocol.steps) * (2 * count + 1),
            cpu_s=0.5,
            details=(len(cohort.session.clients), probe.carrier, count),
        )

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        clients, carrier, count = plan.details
        cohort = subject.cohort(clients, length=LENGTH)
        inputs = random_inputs(cohort, seed)
        for number, row in enumerate(cohort.protocol.steps):
            run = Stepwise(cohort, inputs, seed).to_step(number)
            for what, direction, data in _altered(run, number, carrier, count):
                if not _is_accepted(run, direction, data):
                    continue
                outcome = _outcome(cohort, inputs, seed, number, direction, data)
                if outcome is not None and not _is_right(cohort, inputs, outcome):
                    return succeeded(f"Step {row.name}: {what} was accepted, and the released sum is wrong.")
        return failed()


def _altered(run: Stepwise, number: int, carrier: Carrier | None, count: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield altered messages of the first party in a step, with what was altered and in which direction."""
    party = next(iter(run.requests))
    request = run.requests[party]
    for at in _positions(len(request), count):
        yield f"a request with bit {at} flipped", "request", _flipped(request, at)
    # The partial openings of a committee's members take long, so that only one of them is made.
    others = 1 if run.cohort.protocol.steps[number].role is Role.CLIENT else 0
    copies = {each: run.answer_to(each, run.requests[each]) for each in list(run.requests)[: 1 + others]}
    reply = copies[party]
    if reply is None:
        return
    held: bytes | memoryview = b""
    if carrier is not None and carrier.number == number:
        held = getattr(run.body(number, reply), carrier.field)
        if not isinstance(held, bytes | memoryview):
            return  # A list of entries; it may fill any bytes of the reply.
    start = reply.find(bytes(held)) if len(held) else len(reply)
    for at in _positions(len(reply) - len(held), count):
        moved = at if at < 8 * start else at + 8 * len(held)
        yield f"a reply with bit {moved} flipped", "reply", _flipped(reply, moved)
    for other, data in copies.items():
        if other != party and data is not None and data != reply and not len(held):
            yield "the reply of another client", "reply", data


def _positions(size: int, count: int) -> Iterator[int]:
    """Yield the numbers of some bits of a message, evenly spaced; the last one is in its last byte."""
    for index in range(1, count + 1):
        yield 8 * (size * index // count - 1) + index % 8


def _flipped(data: bytes, bit: int) -> bytes:
    altered = bytearray(data)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def _is_accepted(run: Stepwise, direction: str, data: bytes) -> bool:
    party = next(iter(run.requests))
    return run.answer_to(party, data) is not None if direction == "request" else run.would_take(party, data)


def _outcome(
    cohort: Cohort, inputs: dict[int, Vector], seed: bytes, number: int, direction: str, data: bytes
) -> Finish | None:
    """Return the sum of a session in which one message is replaced by these bytes; None if it ends without one."""
    run = Stepwise(cohort, inputs, seed).to_step(number)
    party = next(iter(run.requests))
    others = run.replies([each for each in run.requests if each != party])
    if direction == "request":
        reply = unless_refused(partial(run.clients[party].handle, data))
    else:
        run.clients[party].handle(run.requests[party])
        reply = data
    mine = {} if reply is None else {party: reply}
    if unless_refused(partial(_delivered, run, mine | others)) is None:
        return None
    return unless_refused(run.finish)


def _delivered(run: Stepwise, replies: dict[int, bytes]) -> Stepwise:
    run.deliver(replies)
    return run


def _is_right(cohort: Cohort, inputs: dict[int, Vector], outcome: Finish) -> bool:
    return bool(np.array_equal(outcome.total, sum_of(inputs, outcome.contributors, cohort.session.modulus)))
