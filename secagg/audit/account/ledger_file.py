"""The file of a ledger as a subject: what can be recomputed from its records."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

from dp.errors import DpError, LedgerCorrupt
from dp.events import GaussianEvent
from dp.figures import in_full
from dp.ledger.ledger import Ledger
from dp.ledger.records import Budget, Commitment, Reservation
from dp.ledger.sqlite_log import SqliteLog
from secagg.audit.account.participation import Recount
from secagg.audit.account.worst_client import running_worst
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.claims import claimed
from secagg.audit.epsilon.estimators import gaussian_epsilon
from secagg.audit.subject import Subject
from secagg.paths import escaped

LIMITS: Final = (
    "Whether the file was rebuilt, cut or replaced by an older copy: only a head that was kept elsewhere shows it "
    "(secagg budget verify --head).",
    "Whether something was released without a reservation, and whether the data were used elsewhere.",
    "Whether the noise that the records name was in the releases.",
)
"""What no audit of a ledger's file can show."""


class LedgerFileSubject(Subject):
    """The file of a ledger.

    Args:
        path: The file.
    """

    kind: ClassVar[str] = "ledger file"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = escaped(path.name)
        self.claims = claimed("C-26", "C-27", "C-28", "C-29")

    def open(self) -> Ledger:
        """Open the ledger to read it.

        Raises:
            dp.errors.DpError: The file cannot be read, or its records are not those of a ledger.
        """
        return Ledger.open_to_read(self.path)


def check_written(bodies: Sequence[bytes]) -> None:
    """Refuse records that are not encoded as a ledger encodes them.

    A field that occurs twice, or that is unknown, would show another reader something else than is audited.

    Raises:
        LedgerCorrupt: There is such a record.
    """
    for place, body in enumerate(bodies):
        kind: Any = Reservation | Commitment if place else Budget
        try:
            again = msgspec.json.encode(msgspec.json.decode(body, type=kind))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            again = b""
        if again != body:
            raise LedgerCorrupt(f"record {place}: expected the bytes that a ledger writes, found others")


class _OfFile(Attack[LedgerFileSubject]):
    """A check that reads the file once."""

    layer = Layer.ACCOUNT
    subjects = LedgerFileSubject

    def plan(self, subject: LedgerFileSubject, level: Level) -> Plan | Inapplicable:
        """Plan one reading of the file."""
        return Plan(trials=1, cpu_s=0.1)

    def run(self, subject: LedgerFileSubject, plan: Plan, seed: bytes) -> Result:
        """Read the file, and reject what cannot be read as a ledger."""
        try:
            bodies = SqliteLog.open(subject.path, writable=False).bodies
            check_written(bodies)
            with subject.open() as ledger:
                return self.read(ledger, bodies)
        except LedgerCorrupt as error:
            return Result(statistic="", rejected=True, evidence=f"The file is not the ledger that was written: {error}")

    @abstractmethod
    def read(self, ledger: Ledger, bodies: Sequence[bytes]) -> Result:
        """Return what the check finds in an open ledger, whose records are given as they were written."""


class Whole(_OfFile):
    """Follows the chain of digests."""

    id = "account.file.chain"
    title = "The chain of digests is followed, and each record is compared with what a ledger could have written"
    tests = ("C-28",)

    def read(self, ledger: Ledger, bodies: Sequence[bytes]) -> Result:
        """Count the records; a chain that is broken could not have been opened."""
        return Result(statistic="releases in the ledger", value=len(ledger.entries()))


class WithinBudget(_OfFile):
    """Computes anew what was spent."""

    id = "account.file.budget"
    title = "Epsilon is computed anew from all reservations, and compared with the budget; delta with 1 / population"
    tests = ("C-29",)

    def read(self, ledger: Ledger, bodies: Sequence[bytes]) -> Result:
        """Compare what was spent with the budget."""
        budget, spent = ledger.budget, ledger.spent().epsilon
        faults = []
        if spent > budget.epsilon:
            faults.append(f"Epsilon {spent:.6g} was reserved of a budget of {in_full(budget.epsilon)}")
        if budget.delta >= 1 / budget.population:
            faults.append(f"Delta {in_full(budget.delta)} is not below 1 / {budget.population}")
        return Result(
            statistic="spent epsilon over budget",
            value=spent / budget.epsilon,
            threshold=1.0,
            rejected=bool(faults),
            evidence="".join(f"{fault}. " for fault in faults).rstrip(),
        )


class NoiseAsReserved(_OfFile):
    """Compares each commitment with its reservation."""

    id = "account.file.realised"
    title = "Each commitment's noise and contributors are compared with its reservation"
    tests = ("C-27",)

    def read(self, ledger: Ledger, bodies: Sequence[bytes]) -> Result:
        """Look for commitments that may cost more than was reserved."""
        weaker = ledger.unsupported_realised()
        return Result(
            statistic="commitments that may cost more than was reserved",
            value=len(weaker),
            threshold=0,
            rejected=bool(weaker),
            evidence=f"The releases {', '.join(map(str, weaker[:5]))} have less noise than was reserved.",
        )


class EpsilonFromBelow(_OfFile):
    """Compares what the ledger counts with the exact epsilon of its Gaussian releases."""

    id = "account.file.epsilon"
    title = "What the ledger counts is compared with the exact epsilon of the Gaussian releases that asked one client"
    tests = ("C-26",)

    def plan(self, subject: LedgerFileSubject, level: Level) -> Plan | Inapplicable:
        """Plan the comparison if there are releases with continuous Gaussian noise."""
        try:
            with subject.open() as ledger:
                events = {entry.reservation.event for entry in ledger.entries()}
        except DpError:
            events = set()
        if any(isinstance(event, GaussianEvent) for event in events):
            return Plan(trials=1, cpu_s=0.1)
        return Inapplicable(why="There are no releases with continuous Gaussian noise, whose epsilon is known exactly.")

    def read(self, ledger: Ledger, bodies: Sequence[bytes]) -> Result:
        """Compare with the closed form of the worst client. Other releases only add to what was spent."""
        recount = Recount.of(bodies)
        events = {entry.reservation.number: entry.reservation.event for entry in ledger.entries()}
        noises = {
            number: event.noise_multiplier for number, event in events.items() if isinstance(event, GaussianEvent)
        }
        *_, square = running_worst(recount, {number: noise**-2 for number, noise in noises.items()})
        exact, spent = gaussian_epsilon(math.sqrt(square), ledger.budget.delta), ledger.spent().epsilon
        return Result(
            statistic="counted epsilon over the exact one",
            value=spent / exact if exact else None,
            threshold=1.0,
            rejected=spent < exact * (1 - 1e-6),
            evidence=f"The ledger counts {spent:.6g}; its Gaussian releases cost the worst client {exact:.6g}.",
        )


CHECKS: Final[tuple[Attack[Any], ...]] = (Whole(), WithinBudget(), NoiseAsReserved(), EpsilonFromBelow())
