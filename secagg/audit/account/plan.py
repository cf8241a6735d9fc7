"""The plan of a training as a subject: what its settings promise, before anything is run."""

from abc import abstractmethod
from typing import Any, ClassVar, Final

from dp.accounting.guarantee import guarantee
from dp.events import Trust
from dp.figures import in_full
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.claims import claimed
from secagg.audit.subject import Subject
from secagg.runs.prepare import Prepared

LIMITS: Final = (
    "Whether a run keeps to these settings: audit the folder of the finished run.",
    "Whether the data, the model and the data set's partition are what the settings name.",
)
"""What no audit of settings can show."""


class TrainingSubject(Subject):
    """A training that was planned and not run.

    Args:
        name: The name in reports.
        prepared: The plan.
    """

    kind: ClassVar[str] = "training plan"

    def __init__(self, name: str, prepared: Prepared) -> None:
        self.name = name
        self.prepared = prepared
        config = prepared.config
        self.claims = claimed("C-02")
        if config.private:
            self.claims = claimed("C-02", "C-14", "C-26", "C-29", epsilon=config.epsilon, delta=config.delta)


class _OfPlan(Attack[TrainingSubject]):
    """A check that computes from the plan alone."""

    layer = Layer.ACCOUNT
    subjects = TrainingSubject

    def plan(self, subject: TrainingSubject, level: Level) -> Plan | Inapplicable:
        """Plan one computation."""
        return Plan(trials=1, cpu_s=0.2)

    def run(self, subject: TrainingSubject, plan: Plan, seed: bytes) -> Result:
        """Compute, and collect what is wrong."""
        faults = self.faults(subject.prepared)
        return Result(
            statistic="conditions that do not hold",
            value=len(faults),
            threshold=0,
            rejected=bool(faults),
            evidence=" ".join(faults),
        )

    @abstractmethod
    def faults(self, prepared: Prepared) -> list[str]:
        """Return what is wrong with the plan, in sentences."""


class PlannedBudget(_OfPlan):
    """Accounts all planned rounds."""

    id = "account.plan.budget"
    title = (
        "The epsilon of all planned rounds is computed anew, and compared with the budget; delta with 1 / population"
    )
    tests = ("C-26", "C-29")

    def faults(self, prepared: Prepared) -> list[str]:
        """Return what is beyond the budget."""
        config, event, found = prepared.config, prepared.event, []
        if event is None:
            return []
        most = config.participations  # The most rounds that one client is in.
        spent = guarantee({event: most}, delta=config.delta, relation=event.relation, unit=event.unit).epsilon
        if spent > config.epsilon:
            found.append(f"{most} rounds cost epsilon {spent:.6g} of a budget of {in_full(config.epsilon)}.")
        if config.delta >= 1 / prepared.population:
            found.append(f"Delta {in_full(config.delta)} is not below 1 / {prepared.population}.")
        return found


class PlannedNoise(_OfPlan):
    """Compares the noise with the sensitivity and with the number of contributors that count."""

    id = "account.plan.noise"
    title = (
        "The planned noise is compared with the encoding's sensitivity, and with the contributors that do not collude"
    )
    tests = ("C-14",)

    def plan(self, subject: TrainingSubject, level: Level) -> Plan | Inapplicable:
        """Plan the comparison if the sums carry noise."""
        if subject.prepared.mean.noise is None:
            return Inapplicable(why="The clients add the noise while they train, and the sums carry none.")
        return super().plan(subject, level)

    def faults(self, prepared: Prepared) -> list[str]:
        """Return what the noise is too small for."""
        mean, found = prepared.mean, []
        noise, target = mean.noise, mean.target
        if noise is None or target is None:
            return []
        if noise.l2_sensitivity < mean.encoding.l2_sensitivity:
            found.append(
                f"The noise is sized for a sensitivity of {noise.l2_sensitivity:.9g} steps; an encoded update can have "
                f"a norm of {mean.encoding.l2_sensitivity:.9g}."
            )
        if noise.dimension != mean.encoding.length:
            found.append(f"The noise has {noise.dimension} coordinates, the sum {mean.encoding.length}.")
        counted = mean.minimum_contributors - target.colluding
        if target.trust is Trust.DISTRIBUTED and noise.event.contributors > counted:
            found.append(f"The noise counts on {noise.event.contributors} noise shares; {counted} are certain.")
        return found


class PlannedThreshold(_OfPlan):
    """Compares the threshold with what the protocol needs."""

    id = "account.plan.threshold"
    title = (
        "The least number of contributors is compared with the cohort, and the protocol is asked whether it accepts it"
    )
    tests = ("C-02",)

    def faults(self, prepared: Prepared) -> list[str]:
        """Return what is wrong with the threshold."""
        mean, terms = prepared.mean, prepared.terms
        if not 2 <= mean.minimum_contributors <= len(mean.clients):
            return [f"{mean.minimum_contributors} of {len(mean.clients)} clients are enough for a sum."]
        if terms is not None:
            corrupt = next(iter(terms.values())).corrupt
            mean.protocol.check_safety(mean.session(bytes(16)), corrupt)
        return []


CHECKS: Final[tuple[Attack[Any], ...]] = (PlannedBudget(), PlannedNoise(), PlannedThreshold())
