"""What the terminal and the page say of an audit."""

from typing import Final

from secagg.audit.audit import Audit, Outcome
from secagg.audit.epsilon.rows import EpsilonRow
from secagg.audit.finding import Finding, Verdict

_MEANING: Final = {
    Outcome.NOT_REJECTED: "No check found a claim to be false. This is no proof: the list of what was not tested, and "
    "what each check can find, belong to the result.",
    Outcome.INCOMPLETE: "No check found a claim to be false, but checks ended with an error, or there was no time left "
    "for them, or no check applied.",
}


def meaning(audit: Audit) -> str:
    """Return what the result means, in sentences."""
    if audit.outcome is not Outcome.REJECTED:
        return _MEANING[audit.outcome]
    if any(not finding.alpha for finding in audit.rejected):
        return "At least one claim is false: an exact check has found a counterexample."
    return (
        "At least one claim is false, or a statistical check was wrong, which has a chance of at most 1 in a million "
        "for each check."
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
        return f"Incomplete: {counted(len(audit.incomplete), 'check')} did not end; {tested} ended without a rejection"
    return f"Not rejected by {counted(tested, 'check')}"


def error_rate(audit: Audit) -> str:
    """Return what the error rate of the whole audit is, in a sentence."""
    exact = len(audit.of(Verdict.NOT_REJECTED, Verdict.REJECTED)) - audit.statistical_checks
    if not audit.statistical_checks:
        return f"{counted(exact, 'exact check')} and no statistical one: there is no error rate."
    return (
        f"{counted(exact, 'check')} {'is' if exact == 1 else 'are'} exact. {audit.statistical_checks} "
        f"{'is' if audit.statistical_checks == 1 else 'are'} statistical: if every subject is correct, the chance that "
        f"this audit rejects anything is at most {audit.chance_of_any_false_rejection:.2g}."
    )


def measured(finding: Finding) -> str:
    """Return what a check computed, such as "variance ratio: 1.02, limit 1.05"; empty if it computed no number."""
    if finding.value is None:
        return finding.statistic
    limit = "" if finding.threshold is None else f", limit {finding.threshold:.6g}"
    return f"{finding.statistic}: {finding.value:.6g}{limit}"


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
