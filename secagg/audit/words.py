"""What the terminal and the page say of an audit."""

from typing import Final

from secagg.audit.audit import Audit, Outcome
from secagg.audit.epsilon.rows import EpsilonRow
from secagg.audit.finding import Finding, Verdict

_MEANING: Final = {
    Outcome.NOT_REJECTED: "No check rejected a claim. This is no proof. What was not tested, and the faults that each "
    "check can find, are part of the result.",
    Outcome.INCOMPLETE: "No check rejected a claim. But at least one check ended with an error or was not run for lack "
    "of time, or no check applied.",
}


def meaning(audit: Audit) -> str:
    """Return what the result means, in sentences."""
    if audit.outcome is not Outcome.REJECTED:
        return _MEANING[audit.outcome]
    if any(not finding.alpha for finding in audit.rejected):
        return "At least one claim is false: an exact check has found a counterexample."
    return (
        "At least one claim is false, or a statistical check has rejected a correct subject by chance. For each check, "
        "this chance is at most 1 in a million."
    )


def headline(audit: Audit) -> str:
    """Return the result in one line, such as "2 of 40 checks reject a claim"."""
    tested = len(audit.of(Verdict.NOT_REJECTED, Verdict.REJECTED))
    if audit.outcome is Outcome.REJECTED:
        count = len(audit.rejected)
        return f"{count} of {counted(tested, 'check')} reject{'s' if count == 1 else ''} a claim"
    if audit.outcome is Outcome.INCOMPLETE:
        if not tested:
            return "No claim was tested"
        missing = counted(len(audit.incomplete), "check")
        return f"Incomplete: {missing} without a result; {tested} ended without a rejection"
    return f"Not rejected by {counted(tested, 'check')}"


def error_rate(audit: Audit) -> str:
    """Return what the error rate of the whole audit is, in a sentence."""
    exact = len(audit.of(Verdict.NOT_REJECTED, Verdict.REJECTED)) - audit.statistical_checks
    if not audit.statistical_checks:
        exactly = f"{counted(exact, 'check')} {'is' if exact == 1 else 'are'} exact"
        return f"{exactly}, and none is statistical. An exact check does not reject by chance."
    return (
        f"{counted(exact, 'check')} {'is' if exact == 1 else 'are'} exact, and {audit.statistical_checks} "
        f"{'is' if audit.statistical_checks == 1 else 'are'} statistical. If every subject is correct, the chance that "
        f"this audit rejects anything is at most {audit.chance_of_any_false_rejection:.2g}."
    )


def measured(finding: Finding) -> str:
    """Return what a check computed, such as "variance ratio: 1.02, limit 1.05"; empty if it computed no number."""
    if finding.value is None:
        return finding.statistic
    limit = "" if finding.threshold is None else f", limit {finding.threshold:.6g}"
    return f"{finding.statistic}: {finding.value:.6g}{limit}"


def found(finding: Finding) -> str:
    """Return what a check found, as a sentence."""
    text = finding.evidence or measured(finding)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def chance(finding: Finding) -> str:
    """Return the chance that a check rejects a correct subject, in words."""
    return "none, the check is exact" if not finding.alpha else f"at most {finding.alpha:.0e}"


def confidence(row: EpsilonRow) -> str:
    """Return the confidence of a lower bound in words, such as "95%"."""
    doubt = 1 - row.confidence
    return f"{row.confidence:.0%}" if doubt > 1e-3 else f"1 - {doubt:.0e}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
