"""Two sums that differ in one client, over rounds or in one session: their difference is that client's vector."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from protocols import Finish, SeedCommittee
from protocols.errors import ProtocolError
from protocols.session import Vector
from secagg.audit.attack import Inapplicable, Level, Plan, Result
from secagg.audit.seeds import Tape
from secagg.audit.sums.attacks.base import LENGTH, ProtocolAttack, enough, failed, succeeded
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.committee import dealt
from secagg.audit.sums.inputs import random_inputs
from secagg.audit.sums.seed_committee import self_made
from secagg.audit.sums.stepwise import Stepwise
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import modular_difference, smallest


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """A second sum that a committee is asked to open.

    Attributes:
        what: How it is asked for.
        cohort: The cohort of the second sum.
    """

    what: str
    cohort: Cohort


class Differencing(ProtocolAttack):
    """The committee opens the sum of all clients, and is then asked to open that of all but one.

    It is asked in the same session by machines that were started again, in another session of the same context, and in
    such a session under a key that was dealt anew. The members keep their records of openings.
    """

    id = "attack.differencing"
    title = "The server asks the committee to open two sums that differ in one client"
    tests = ("C-03", "C-09")

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:  # It is exact.
        """See `Attack.plan`."""
        cohort = smallest(subject, at_least=3, length=LENGTH, dropouts=1)
        if isinstance(cohort, Inapplicable):
            return cohort
        if not cohort.protocol.needs_committee:
            return Inapplicable(
                why="Without a committee, only clients with records of openings remember earlier sums; "
                "attack.second_attempt tests them. Without such records, two exact sums of different sessions always "
                "reveal their difference. Only noise in the sums limits that."
            )
        return Plan(trials=3, cpu_s=1.0, details=len(cohort.session.clients))

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        cohort = subject.cohort(plan.details, length=LENGTH, context=b"round 1")
        inputs, victim = random_inputs(cohort, seed), cohort.session.clients[0]
        first = Stepwise(cohort, inputs, seed)
        total = first.finish(enough(cohort)).total
        for second in seconds(subject, cohort):
            opened = second_sum(second.cohort, inputs, seed, first, without=victim)
            if opened is not None and _is_read(total, opened, inputs[victim], cohort.session.modulus):
                return succeeded(
                    f"Committee members opened the sum of {len(cohort.session.clients)} clients, and then that "
                    f"of all but client {victim}: {second.what}. The difference is its vector."
                )
        return failed()


def seconds(subject: SumSubject, cohort: Cohort) -> Iterator[Second]:
    """Yield the ways in which a second sum is asked for."""
    yield Second(what="in the same session, after a restart", cohort=cohort)
    clients, context = len(cohort.session.clients), cohort.session.context
    other = subject.cohort(clients, length=LENGTH, context=context, session_id=b"secagg audit another")
    yield Second(what="in another session of the same context", cohort=other)
    yield Second(what="in another session of the same context, under a key that was dealt anew", cohort=rotated(other))


def rotated(cohort: Cohort) -> Cohort:
    """Return a cohort whose committee has a key that was dealt anew to the same members, or their keys of an epoch."""
    committee = cohort.session.committee
    if committee is None:
        raise LookupError("committee: expected a session with one, found none")
    if isinstance(committee.key, SeedCommittee):
        anew, shares = self_made(committee.members, committee.key.colluding, committee.key.quorum, epoch=1)
    else:
        anew, shares = dealt(committee.members, committee.key.threshold, rotation=1)
    return replace(
        cohort,
        session=replace(cohort.session, committee=anew),
        key_shares=dict(zip(committee.members, shares, strict=True)),
    )


def second_sum(
    cohort: Cohort, inputs: dict[int, Vector], seed: bytes, first: Stepwise, *, without: int
) -> Finish | None:
    """Return the sum of all clients but one, opened by members that have the records of an earlier sum; or None."""
    run = Stepwise(cohort, inputs, seed, label="second sum")
    for member in cohort.session.committee_members:
        if member not in cohort.session.clients:
            run.clients[member] = cohort.client(
                member, None, Tape(seed, f"again {member}"), openings=first.openings[member]
            )
    try:
        return run.finish([party for party in enough(cohort) if party != without])
    except ProtocolError:
        return None


def _is_read(total: Vector, opened: Finish, vector: Vector, modulus: int) -> bool:
    return bool(np.array_equal(modular_difference(total, opened.total, modulus), vector))
