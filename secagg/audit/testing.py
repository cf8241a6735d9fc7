"""Audits as tests of a project's own suite; they need pytest and its plugin `secagg.audit.pytest_plugin`.

    from secagg.audit import SecureSumAudit

    class TestMine(SecureSumAudit):
        def subject(self):
            return MyProtocol(neighbours=4)

Each check is a test of its own. A rejection is a failure whose message is the finding; a check that does not apply is
skipped with its reason.
"""

from typing import Any, ClassVar

import pytest

from secagg.audit.adapt import subjects_of
from secagg.audit.attack import Attack, Level
from secagg.audit.finding import Finding, Verdict
from secagg.audit.means.subject import MeanSubject
from secagg.audit.mechanisms.subject import MechanismSubject
from secagg.audit.run_folder.subject import RunSubject
from secagg.audit.runner import finding
from secagg.audit.subject import Subject
from secagg.audit.suite import ATTACKS
from secagg.audit.sums.subject import SumSubject
from secagg.audit.transcript.subject import TranscriptSubject

Case = tuple[Subject, Attack[Any]]


class ClaimsAudit:
    """All checks on the subjects that `subject` returns, as tests; the base of the classes below.

    Attributes:
        accepted: The class of subjects that this audit is for.
    """

    accepted: ClassVar[type[Subject]] = Subject

    def subject(self) -> object:
        """Return what to audit. It is called once when pytest collects the tests."""
        raise NotImplementedError(f"{type(self).__name__}.subject: expected a method that returns what to audit")

    @classmethod
    def cases(cls) -> list[Case]:
        """Return every check that tests a claim of a subject.

        Raises:
            TypeError: `subject` returns something that this class does not audit.
        """
        subjects = subjects_of(f"{cls.__name__}.subject", cls().subject())
        for each in subjects:
            if not isinstance(each, cls.accepted):
                raise TypeError(
                    f"{cls.__name__}.subject: expected a {cls.accepted.kind}, found a {each.kind}. Derive the class "
                    "from the audit for this kind, or return another object."
                )
        return [
            (subject, attack)
            for subject in subjects
            for attack in ATTACKS
            if isinstance(subject, attack.subjects) and subject.claims_any(attack.tests)
        ]

    def test_claim(
        self, audit_case: Case, audit_level: Level, audit_seed: bytes, audit_findings: list[Finding]
    ) -> None:
        """Run one check on one subject."""
        subject, attack = audit_case
        found = finding(subject, attack, level=audit_level, master=audit_seed)
        audit_findings.append(found)
        if found.verdict is Verdict.NOT_APPLICABLE:
            pytest.skip(found.evidence)
        if found.verdict not in (Verdict.NOT_REJECTED, Verdict.MEASURED):
            pytest.fail(in_words(found), pytrace=False)


class SecureSumAudit(ClaimsAudit):
    """The audit of a protocol: `subject` returns a `SecureSum`, its class, or a `SumSubject`."""

    accepted = SumSubject


class SecureMeanAudit(ClaimsAudit):
    """The audit of a mean: `subject` returns a `SecureMean` or a `MeanSubject`."""

    accepted = MeanSubject


class MechanismAudit(ClaimsAudit):
    """The audit of noise: `subject` returns a `MechanismSubject`, which says how to draw and what the law is."""

    accepted = MechanismSubject


class RunAudit(ClaimsAudit):
    """The audit of the folder of a finished run: `subject` returns a `RunSubject`."""

    accepted = RunSubject


class TranscriptAudit(ClaimsAudit):
    """The audit of a transcript: `subject` returns a `TranscriptSubject`."""

    accepted = TranscriptSubject


def in_words(found: Finding) -> str:
    """Return a finding as the message of a failed test."""
    lines = [
        f"{found.verdict}: {found.subject}",
        f"claims: {', '.join(found.claims)}",
        f"check {found.attack}: {found.title}.",
        f"found: {found.evidence or found.statistic}",
    ]
    lines += [f"seed of attempt {number}: {each.seed}" for number, each in enumerate(found.attempts, 1)]
    return "\n".join(lines)
