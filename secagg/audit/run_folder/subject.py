"""The folder of a finished run as a subject, and its checks in the form of an audit's."""

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result, checked_that
from secagg.audit.claims import claimed
from secagg.audit.run_folder.check import RunCheck
from secagg.audit.run_folder.checks import RETRAINED, STATEMENTS, run_checks
from secagg.audit.subject import Subject

_NOISE: Final = "run.noise.realised"


class RunSubject(Subject):
    """The folder of a finished run.

    Args:
        path: The folder.
        head: A head of its ledger that was kept elsewhere, 64 hexadecimal digits.
    """

    kind: ClassVar[str] = "run"

    def __init__(self, path: Path, *, head: str | None = None) -> None:
        self.path = path
        self.head = head
        self.name = path.absolute().name
        self.claims = claimed("C-14", "C-30")

    @cached_property
    def quick_results(self) -> dict[str, RunCheck]:
        """The results of all checks that train nothing again, by their ids."""
        return {each.id: each for each in run_checks(self.path, head=self.head, retrain=False)}

    def result(self, check: str) -> RunCheck:
        """Return the result of one check."""
        if check in RETRAINED:
            return run_checks(self.path, only=(check,))[0]
        return self.quick_results[check]


class RunFolderCheck(Attack[RunSubject]):
    """One check of a run's folder.

    Args:
        check: The id of the check, one of `STATEMENTS`.
    """

    layer = Layer.ACCOUNT
    subjects = RunSubject
    repeatable = False

    def __init__(self, check: str) -> None:
        self.id = check
        self.title = checked_that(STATEMENTS[check])
        self.tests = ("C-14",) if check == _NOISE else ("C-30",)
        self.statistical = check == _NOISE

    def plan(self, subject: RunSubject, level: Level) -> Plan | Inapplicable:
        """Plan one look at the folder, or say why this folder gives no means for it."""
        if self.id in RETRAINED:
            return Plan(
                trials=1,
                cpu_s=5.0,
                power="the deviation that is named beside the measured value" if self.statistical else None,
            )
        result = subject.result(self.id)
        return Inapplicable(why=result.untested) if result.untested else Plan(trials=1, cpu_s=0.5)

    def run(self, subject: RunSubject, plan: Plan, seed: bytes) -> Result | Inapplicable:
        """Return what the check found.

        Raises:
            RuntimeError: The check ended with an error that nobody documented.
        """
        result = subject.result(self.id)
        if result.untested:
            return Inapplicable(why=result.untested)
        if result.errored:
            raise RuntimeError(f"{self.id}: expected a result, found {result.errored}")
        if result.test is None:
            return Result(
                statistic="whether a contradiction was found (0 or 1)",
                value=float(result.rejected),
                threshold=0,
                rejected=result.rejected,
                evidence=result.found,
            )
        test = result.test
        return Result(
            statistic=f"variance of {test.coordinates} coordinates of {test.rounds} rounds over the planned one, where "
            f"a deviation of {test.detects:.2f} times the planned one is rejected with 99% probability",
            value=test.ratio,
            p_value=test.p_value,
            evidence=result.found or f"The variance is {test.ratio:.4g} times the planned one.",
        )


CHECKS: Final[tuple[Attack[Any], ...]] = tuple(RunFolderCheck(check) for check in STATEMENTS)
