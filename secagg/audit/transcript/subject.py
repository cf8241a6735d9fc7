"""A recorded transcript as a subject, and its checks in the form of an audit's."""

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result, checked_that
from secagg.audit.claims import claimed
from secagg.audit.subject import Subject
from secagg.audit.transcript.catalogue import STATEMENTS, CheckResult
from secagg.audit.transcript.replay import replay


class TranscriptSubject(Subject):
    """A transcript.

    Args:
        path: The file.
        head: The head of the file that was kept elsewhere, 64 hexadecimal digits.
    """

    kind: ClassVar[str] = "transcript"

    def __init__(self, path: Path, *, head: str | None = None) -> None:
        self.path = path
        self.head = head
        self.name = path.name
        self.claims = claimed("C-31")

    @cached_property
    def results(self) -> dict[str, CheckResult]:
        """The results of all checks, by their ids."""
        return {each.id: each for each in replay(self.path, head=self.head).checks}


class TranscriptCheck(Attack[TranscriptSubject]):
    """One check of a transcript.

    Args:
        check: The id of the check, one of `STATEMENTS`.
    """

    layer = Layer.REPLAY
    tests = ("C-31",)
    subjects = TranscriptSubject

    def __init__(self, check: str) -> None:
        self.id = check
        self.title = checked_that(STATEMENTS[check])

    def plan(self, subject: TranscriptSubject, level: Level) -> Plan | Inapplicable:
        """Plan one replay, or say why this transcript gives no means for the check."""
        result = subject.results[self.id]
        if result.not_tested and not result.rejected:
            reasons = "; ".join(result.not_tested)
            return Inapplicable(why=f"{reasons[:1].upper()}{reasons[1:]}.")
        return Plan(trials=1, cpu_s=1.0)

    def run(self, subject: TranscriptSubject, plan: Plan, seed: bytes) -> Result:
        """Return what the check found."""
        result = subject.results[self.id]
        return Result(
            statistic="contradictions that were found",
            value=len(result.found),
            threshold=0,
            rejected=result.rejected,
            evidence=f"{'; '.join(result.found)}.",
        )


CHECKS: Final[tuple[Attack[Any], ...]] = tuple(TranscriptCheck(check) for check in STATEMENTS)
