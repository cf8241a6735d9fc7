"""Sums are exact, and too many dropouts end a session without a sum."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from protocols import Finish, ProtocolError, Role
from protocols.errors import ParameterError, RemoteError, TooFewSurvivors
from protocols.session import Vector
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.seeds import generator_of
from secagg.audit.sums.codecs import is_encrypted, session_s
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.inputs import exact_sum, random_inputs, reach, residues
from secagg.audit.sums.recorded import record, tapes_of
from secagg.audit.sums.subject import SumSubject

_LENGTH: Final = 40
_CLIENTS: Final = 5
_FRACTION: Final = 0.4
"""The fraction of dropouts that sessions with dropouts must tolerate: two of five clients."""

Drops = Mapping[str, Collection[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A session to run.

    Attributes:
        label: What it is, in a few words.
        clients: The number of clients.
        extreme: Whether all clients send the same extreme values, so that every sum is as large as it can be.
        drops: By step name, the parties that drop out.
    """

    label: str
    clients: int
    extreme: bool = False
    drops: Drops | None = None


class ExactSum(Attack[SumSubject]):
    """Sums of random and of extreme vectors, without dropouts and with dropouts in every step, are exact.

    Three clients are the fewest for which the signs of pairwise masks matter. Extreme vectors have the entries 0, 1,
    m - 1, and those at which the sign of a residue changes, the same ones for all clients.
    """

    id = "invariant.sum.exact"
    title = (
        "Released sums are compared with exact ones: without dropouts, with dropouts in each step, and for "
        "extreme vectors"
    )
    layer = Layer.INVARIANT
    tests = ("C-01", "C-10")
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        try:
            cohort = _cohort(subject, 3)
        except ParameterError as error:
            return Inapplicable(why=str(error))
        cases = tuple(_cases(subject, cohort, level))
        return Plan(trials=len(cases), cpu_s=session_s(cohort) * len(cases), details=cases)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        dropped, cases = 0, plan.details
        for case in cases:
            cohort = _cohort(subject, case.clients)
            inputs = _extremes(cohort) if case.extreme else random_inputs(cohort, seed + case.label.encode())
            try:
                finish = record(cohort, inputs, tapes_of(seed + case.label.encode()), drops=case.drops).finish
            except (RemoteError, TooFewSurvivors) as error:
                if case.drops:  # A sparse graph may not survive it, and no sum is no wrong sum.
                    continue
                return _result(cases, dropped, f"{case.label}: the session ends with a {type(error).__name__}")
            if fault := _fault(cohort, inputs, finish, case.drops or {}):
                return _result(cases, dropped, f"{case.label}: {fault}")
            dropped += bool(case.drops)
        return _result(cases, dropped, "")


class TooManyDropouts(Attack[SumSubject]):
    """One dropout more than the session tolerates, in any step, ends it without a sum."""

    id = "invariant.sum.dropouts"
    title = "One party too many drops out in each step, and the session has to end without a sum"
    layer = Layer.INVARIANT
    tests = ("C-02", "C-09")
    subjects = SumSubject

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        del level
        try:
            cohort = _cohort(subject, _CLIENTS)
        except ParameterError as error:
            return Inapplicable(why=str(error))
        cases = tuple(_excesses(cohort))
        return Plan(trials=len(cases), cpu_s=session_s(cohort), details=cases)

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        found = ""
        for label, drops in plan.details:
            cohort = _cohort(subject, _CLIENTS)
            try:
                finish = record(
                    cohort, random_inputs(cohort, seed), tapes_of(seed + label.encode()), drops=drops
                ).finish
            except ProtocolError:
                continue
            contributors = 0 if finish is None else len(finish.contributors)
            found = f"{label}: a sum of {contributors} contributors is released"
            break
        statistic = f"sums released among {plan.trials} sessions with too many dropouts"
        return Result(statistic=statistic, value=float(bool(found)), rejected=bool(found), evidence=found)


def _cohort(subject: SumSubject, clients: int) -> Cohort:
    """Return a cohort that tolerates dropouts; if the subject has none of that size, the usual one."""
    try:
        return subject.cohort(clients, length=_LENGTH, dropout=_FRACTION)
    except ParameterError:
        return subject.cohort(clients, length=_LENGTH)


def _cases(subject: SumSubject, three: Cohort, level: Level) -> Iterator[_Case]:
    """Yield the sessions to run. Of sums of encrypted vectors, which are slow, quick level runs two."""
    brief = level is Level.QUICK and is_encrypted(three)
    yield _Case(label="three clients at the extremes", clients=3, extreme=True)
    try:
        five = _cohort(subject, _CLIENTS)
    except ParameterError:
        five = three
    if not brief:
        yield _Case(label="three clients", clients=3)
        yield _Case(label="five clients at the extremes", clients=len(five.session.clients), extreme=True)
    drops = list(_tolerated(five))
    for label, dropped in drops[-1:] if brief else drops:
        yield _Case(label=label, clients=len(five.session.clients), drops=dropped)


def _tolerated(cohort: Cohort) -> Iterator[tuple[str, Drops]]:
    """Yield dropouts that the quorums allow: as many as possible in each step, and then one after the other."""
    session, steps = cohort.session, cohort.protocol.steps
    spare = {
        Role.CLIENT: len(session.clients) - session.threshold,
        Role.COMMITTEE: len(session.committee_members) - cohort.opening,
    }
    for row in steps:
        gone = _of(cohort, row.role)[1 : 1 + spare[row.role]]
        if gone:
            yield f"{len(gone)} dropouts in step {row.name}", {row.name: gone}
    left = {role: list(_of(cohort, role)[:count]) for role, count in spare.items()}
    spread = {row.name: [left[row.role].pop()] for row in reversed(steps) if left[row.role]}
    if spread:
        yield "dropouts in several steps", spread


def _excesses(cohort: Cohort) -> Iterator[tuple[str, Drops]]:
    """Yield dropouts of which there is one too many: in each step, and one after the other over several steps."""
    session, clients = cohort.session, list(cohort.session.clients)
    names = [row.name for row in cohort.protocol.steps if row.role is Role.CLIENT]
    if (excess := len(clients) - session.threshold + 1) <= len(names):
        yield (
            f"{excess} of {len(clients)} clients drop out, one in each step",
            {name: [clients.pop()] for name in names[-excess:]},
        )
    for row in cohort.protocol.steps:
        parties = _of(cohort, row.role)
        left = (session.threshold if row.role is Role.CLIENT else cohort.opening) - 1
        yield f"{len(parties) - left} of {len(parties)} parties drop out in {row.name}", {row.name: parties[left:]}


def _of(cohort: Cohort, role: Role) -> tuple[int, ...]:
    return cohort.protocol.parties(cohort.session, role)


def _extremes(cohort: Cohort) -> dict[int, Vector]:
    """Return the same vector for all clients: runs of the extreme entries, and each of them beside each other."""
    (low, high), modulus = reach(cohort), cohort.session.modulus
    mixed = generator_of(b"", "extremes").choice([low, high, -1, 0, 1, low + 1], cohort.session.length - 24)
    vector = residues([*[high] * 8, *[-1] * 8, *[low] * 8, *mixed.tolist()], modulus)
    return {client: vector.copy() for client in cohort.session.clients}


def _fault(cohort: Cohort, inputs: dict[int, Vector], finish: Finish | None, drops: Drops) -> str:
    """Return what is wrong with a sum, in words; empty if nothing is."""
    if finish is None:
        return "no sum came out"
    session, contributors = cohort.session, finish.contributors
    if list(contributors) != sorted(set(contributors)) or not set(contributors) <= set(session.clients):
        return "the contributors are not distinct clients of the session"
    if len(contributors) < session.threshold:
        return f"a sum of {len(contributors)} contributors is released, with the threshold {session.threshold}"
    if not drops and contributors != tuple(sorted(session.clients)):
        return "a client that answered in every step is no contributor"
    if set(contributors) & set(drops.get(cohort.protocol.steps[0].name, ())):
        return "a client that never answered is a contributor"
    expected = exact_sum(inputs, contributors, session.modulus)
    wrong = [at for at, (one, other) in enumerate(zip(finish.total.tolist(), expected, strict=True)) if one != other]
    return f"{len(wrong)} of {len(expected)} coordinates are wrong, the first one at {wrong[0]}" if wrong else ""


def _result(cases: tuple[_Case, ...], dropped: int, evidence: str) -> Result:
    statistic = f"wrong sums among {len(cases)} sessions, {dropped} of them with dropouts"
    return Result(statistic=statistic, value=float(bool(evidence)), rejected=bool(evidence), evidence=evidence)
