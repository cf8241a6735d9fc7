"""A ledger as a subject, and the checks of what it refuses, survives and notices."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final

from dp.errors import DpError
from dp.events import GaussianEvent
from dp.ledger.ledger import Ledger
from dp.ledger.log import RecordLog
from dp.ledger.participation import Participation
from dp.ledger.records import first_record
from secagg.audit.account.records import Crash, Records, RecordsLog
from secagg.audit.attack import Attack, Layer, Level, Plan, Result
from secagg.audit.claims import Claim, claimed
from secagg.audit.seeds import Tape
from secagg.audit.subject import Subject

_EPSILON: Final = 8.0
DELTA: Final = 1e-5
POPULATION: Final = 1000
_EVENT: Final = GaussianEvent(noise_multiplier=4.0)
_RELEASES: Final = 4
_CAP: Final = 2

Opener = Callable[[RecordLog, str | None], Ledger]


def opened(log: RecordLog, head: str | None) -> Ledger:
    """Open the toolkit's own ledger over a log, with a kept head or without one."""
    return Ledger.over(log, head=head, clock=lambda: 1.0)


class LedgerSubject(Subject):
    """A ledger implementation, over records that the auditor keeps.

    Args:
        name: The name in reports.
        log: Makes a log over records.
        open_ledger: Opens a ledger over a log, with a kept head or without one.
        claims: What the ledger claims.
    """

    kind: ClassVar[str] = "ledger"

    def __init__(
        self,
        *,
        name: str = "ledger",
        log: Callable[[Records], RecordLog] = RecordsLog,
        open_ledger: Opener = opened,
        claims: Sequence[Claim] = claimed("C-27", "C-28", "C-29"),
    ) -> None:
        self.name = name
        self.claims = tuple(claims)
        self._log = log
        self._open_ledger = open_ledger

    def begun(
        self,
        seed: bytes,
        *,
        delta: float = DELTA,
        population: int = POPULATION,
        participation: Participation | None = None,
    ) -> Records:
        """Return the records of a new ledger with a budget of epsilon 8.

        Raises:
            dp.errors.InvalidParameter: The budget is refused.
        """
        return Records(
            first_record(
                epsilon=_EPSILON,
                delta=delta,
                population=population,
                participation=participation,
                clock=lambda: 1.0,
                entropy=Tape(seed, "salt"),
            )
        )

    def open(self, records: Records, *, head: str | None = None) -> Ledger:
        """Open a ledger over these records."""
        return self._open_ledger(self._log(records), head)


class CrashAtEveryWrite(Attack[LedgerSubject]):
    """Ends the process before and after each write, and opens the ledger again."""

    id = "account.ledger.crash"
    title = "The process is ended before and after every write, and the reopened ledger has to count every release"
    layer = Layer.ACCOUNT
    tests = ("C-27",)
    subjects = LedgerSubject

    def plan(self, subject: LedgerSubject, level: Level) -> Plan:
        """Plan a crash before and after each of the writes of four releases."""
        return Plan(trials=4 * _RELEASES, cpu_s=0.05)

    def run(self, subject: LedgerSubject, plan: Plan, seed: bytes) -> Result:
        """Crash at every write."""
        for write in range(1, 2 * _RELEASES + 1):
            for kind in ("crash_before", "crash_after"):
                records = subject.begun(seed)
                setattr(records, kind, write)
                made = _release(subject, records)
                with subject.open(records) as ledger:
                    counted = len(ledger.entries())
                if counted < made:
                    return Result(
                        statistic="releases that the ledger does not count",
                        value=made - counted,
                        threshold=0,
                        rejected=True,
                        evidence=f"After a {kind.replace('_', ' ')} write {write} is durable, {made} releases had been "
                        f"made, and the ledger that was opened again counts {counted}.",
                    )
        return Result(statistic="releases that the ledger does not count", value=0, threshold=0)


def _release(subject: LedgerSubject, records: Records) -> int:
    """Make releases until the crash, and return how many were made."""
    made = 0
    try:
        with subject.open(records) as ledger:
            for number in range(_RELEASES):
                ticket = ledger.reserve(_EVENT, f"release {number}", contributors=10)
                made += 1  # The release is made here, between reservation and commitment.
                ledger.commit(ticket, contributors=10)
    except Crash:
        pass
    return made


class Refusals(Attack[LedgerSubject]):
    """Asks for everything that a ledger must refuse."""

    id = "account.ledger.refusals"
    title = (
        "A ledger is asked to exceed its budget or a client's cap, to commit twice or less noise, and to begin with a "
        "large delta"
    )
    layer = Layer.ACCOUNT
    tests = ("C-29",)
    subjects = LedgerSubject

    def plan(self, subject: LedgerSubject, level: Level) -> Plan:
        """Plan every request once."""
        return Plan(trials=len(list(self._requests(subject, b""))), cpu_s=0.05)

    def run(self, subject: LedgerSubject, plan: Plan, seed: bytes) -> Result:
        """Make every request."""
        granted = [asked for asked, request in self._requests(subject, seed) if not _is_refused(request)]
        return Result(
            statistic="requests that were granted",
            value=len(granted),
            threshold=0,
            rejected=bool(granted),
            evidence=f"The ledger granted this: {'; '.join(granted)}.",
        )

    def _requests(self, subject: LedgerSubject, seed: bytes) -> Iterator[tuple[str, Callable[[], object]]]:
        yield "a delta of 1 / population", lambda: subject.begun(seed, delta=1 / POPULATION)
        yield "a delta of 1", lambda: subject.begun(seed, delta=1.0)
        yield "a population of 0", lambda: subject.begun(seed, population=0)

        def with_one(act: Callable[[Ledger, int], object]) -> Callable[[], object]:
            def request() -> object:
                with subject.open(subject.begun(seed)) as ledger:
                    return act(ledger, ledger.reserve(_EVENT, "a release", contributors=10))

            return request

        def above_the_cap() -> object:
            records = subject.begun(seed, participation=Participation(clients="0" * 64, cap=_CAP))
            with subject.open(records) as ledger:
                return [
                    ledger.reserve(_EVENT, f"release {number}", contributors=2, participants=(0, 1 + number))
                    for number in range(_CAP + 1)
                ]

        yield "a release that asks a client once more than the cap allows", above_the_cap
        weak, expensive = GaussianEvent(noise_multiplier=2.0), GaussianEvent(noise_multiplier=0.1)
        yield "a release beyond the budget", with_one(lambda ledger, _: ledger.reserve(expensive, "too much"))
        yield "a commitment of no reservation", with_one(lambda ledger, one: ledger.commit(one + 1, contributors=10))
        yield (
            "a commitment with less noise",
            with_one(lambda ledger, one: ledger.commit(one, contributors=9, realised=weak)),
        )
        yield (
            "more contributors than the population",
            with_one(lambda ledger, _: ledger.reserve(_EVENT, "another", contributors=POPULATION + 1)),
        )
        yield "the same commitment twice", with_one(_commit_twice)


def _commit_twice(ledger: Ledger, reservation: int) -> None:
    for _ in range(2):
        ledger.commit(reservation, contributors=10)


def _is_refused(request: Callable[[], object]) -> bool:
    try:
        request()
    except DpError:
        return True
    return False


class Tampering(Attack[LedgerSubject]):
    """Alters, removes, reorders and cuts records, with a head that was kept elsewhere."""

    id = "account.ledger.tampering"
    title = "Records are altered, removed, exchanged and cut, and the ledger is opened with the head that was kept"
    layer = Layer.ACCOUNT
    tests = ("C-28",)
    subjects = LedgerSubject

    def plan(self, subject: LedgerSubject, level: Level) -> Plan:
        """Plan every alteration of the records of four releases."""
        return Plan(trials=4 * (2 * _RELEASES + 1) - 1, cpu_s=0.1)

    def run(self, subject: LedgerSubject, plan: Plan, seed: bytes) -> Result:
        """Make every alteration."""
        records = subject.begun(seed)
        with subject.open(records) as ledger:
            for number in range(_RELEASES):
                ledger.commit(ledger.reserve(_EVENT, f"release {number}", contributors=10), contributors=10)
            head = ledger.head
        accepted = []
        for altered, bodies in _alterations(records.bodies):
            copy = Records(bodies[0]) if bodies else None
            if copy is None:
                continue
            copy.bodies = bodies
            try:
                subject.open(copy, head=head).close()
            except DpError:
                continue
            accepted.append(altered)
        return Result(
            statistic="altered ledgers that were opened",
            value=len(accepted),
            threshold=0,
            rejected=bool(accepted),
            evidence=f"The ledger was opened with its kept head, although {'; '.join(accepted[:3])}.",
        )


def _alterations(bodies: tuple[bytes, ...]) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    for at, body in enumerate(bodies):
        before, after = bodies[:at], bodies[at + 1 :]
        yield f"a byte of record {at} was altered", (*before, bytes((body[0] ^ 1,)) + body[1:], *after)
        yield f"record {at} was removed", (*before, *after)
        yield f"the records from {at} on were cut", before
        if after:
            yield f"records {at} and {at + 1} were exchanged", (*before, after[0], body, *after[1:])


CHECKS: Final[tuple[Attack[Any], ...]] = (CrashAtEveryWrite(), Refusals(), Tampering())
