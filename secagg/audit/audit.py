"""The result of a whole audit: all findings, and what follows from them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from secagg.audit.attack import FALSE_ALARM, Level
from secagg.audit.claims import Claim
from secagg.audit.epsilon.rows import EpsilonRow
from secagg.audit.finding import Finding, Verdict
from secagg.audit.subject import Subject

EXIT_REJECTED: Final = 3
"""The exit code if something was rejected."""
EXIT_INCOMPLETE: Final = 4
"""The exit code if nothing was rejected, but a check ended with an error or was not run."""


class Outcome(StrEnum):
    """What an audit came to as a whole."""

    REJECTED = "rejected"
    NOT_REJECTED = "not rejected"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What was audited.

    Attributes:
        kind: The kind of target, such as "protocol" or "run".
        name: Its name, without a folder of the machine.
        subjects: Its subjects.
        limits: What no audit of such a target can show, in sentences.
    """

    kind: str
    name: str
    subjects: tuple[Subject, ...]
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Untested:
    """Something that the audit did not test.

    Attributes:
        subject: The name of the subject; empty for the target as a whole.
        what: The id of a check or of a claim.
        why: The reason, a sentence.
    """

    subject: str
    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """A finished audit.

    Attributes:
        target: What was audited.
        level: How long it might take.
        master_seed: The master seed.
        started_s: When it began, in seconds since 1970.
        cpu_s: The CPU time of all attempts, in seconds.
        findings: What each check found, in the order of subjects and checks.
    """

    target: Target
    level: Level
    master_seed: bytes
    started_s: float
    cpu_s: float
    findings: tuple[Finding, ...]

    @property
    def rejected(self) -> tuple[Finding, ...]:
        """The findings that reject a claim."""
        return self.of(Verdict.REJECTED)

    @property
    def incomplete(self) -> tuple[Finding, ...]:
        """The checks that ended with an error or were not run."""
        return self.of(Verdict.ERRORED, Verdict.NOT_RUN)

    def of(self, *verdicts: Verdict) -> tuple[Finding, ...]:
        """Return the findings with one of these verdicts."""
        return tuple(finding for finding in self.findings if finding.verdict in verdicts)

    @property
    def measured(self) -> tuple[Finding, ...]:
        """The measurements, which decide nothing."""
        return self.of(Verdict.MEASURED)

    @property
    def epsilon(self) -> tuple[tuple[str, EpsilonRow], ...]:
        """All lower bounds on epsilon that were measured, each with the name of its subject."""
        return tuple((finding.subject, row) for finding in self.findings for row in finding.epsilon)

    @property
    def outcome(self) -> Outcome:
        """What the audit came to. One rejection is enough; an audit without any tested claim is incomplete."""
        if self.rejected:
            return Outcome.REJECTED
        if self.incomplete or not any(finding.verdict.tested for finding in self.findings):
            return Outcome.INCOMPLETE
        return Outcome.NOT_REJECTED

    @property
    def exit_code(self) -> int:
        """The exit code of the command."""
        codes = {Outcome.REJECTED: EXIT_REJECTED, Outcome.INCOMPLETE: EXIT_INCOMPLETE, Outcome.NOT_REJECTED: 0}
        return codes[self.outcome]

    @property
    def statistical_checks(self) -> int:
        """The number of statistical checks that were carried out."""
        return sum(finding.verdict.tested and finding.alpha > 0 for finding in self.findings)

    @property
    def chance_of_any_false_rejection(self) -> float:
        """The chance that an audit of correct subjects rejects anything, at most: the union bound."""
        return min(1.0, self.statistical_checks * FALSE_ALARM)

    @property
    def untested(self) -> tuple[Untested, ...]:
        """Everything that was not tested: checks that did not apply or did not end, claims without a check, limits."""
        found = [
            Untested(subject=each.subject, what=each.attack, why=each.evidence)
            for each in self.of(Verdict.NOT_APPLICABLE, Verdict.NOT_RUN, Verdict.ERRORED)
        ]
        for subject in self.target.subjects:
            tested = {
                claim
                for each in self.findings
                if each.subject == subject.name and each.verdict.tested
                for claim in each.claims
            }
            found += [
                Untested(subject=subject.name, what=claim.id, why=f"No check tested that {claim.text}.")
                for claim in subject.claims
                if claim.id not in tested
            ]
        return (*found, *(Untested(subject="", what=self.target.kind, why=limit) for limit in self.target.limits))

    @property
    def claims(self) -> tuple[Claim, ...]:
        """All claims of all subjects by id, each once."""
        found = {claim.id: claim for subject in self.target.subjects for claim in subject.claims}
        return tuple(found[identity] for identity in sorted(found))

    def verdict_on(self, claim: str) -> Verdict:
        """Return the verdict on a claim over all subjects that make it."""
        verdicts = {finding.verdict for finding in self.findings if claim in finding.claims}
        for verdict in (Verdict.REJECTED, Verdict.ERRORED, Verdict.NOT_RUN, Verdict.NOT_REJECTED):
            if verdict in verdicts:
                return verdict
        return Verdict.NOT_APPLICABLE
