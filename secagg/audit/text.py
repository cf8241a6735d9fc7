"""An audit as text for a terminal."""

import textwrap
from collections import Counter
from typing import Final

from secagg.audit.audit import Audit
from secagg.audit.finding import Verdict
from secagg.audit.words import chance, confidence, counted, error_rate, found, headline, meaning, measured

WIDEST: Final = 100
"""Longest line, in characters, however wide the terminal is."""


def as_text(audit: Audit, *, width: int = WIDEST) -> str:
    """Return an audit as text: the result, what rejects, what was not tested, and how to repeat it.

    Args:
        audit: The audit.
        width: The longest line, in characters. Longer words stay whole, so that a seed can be copied.
    """
    parts = [
        f"Audit of {audit.target.name}, level {audit.level}",
        f"{headline(audit)}. {meaning(audit)}",
        error_rate(audit),
        *_rejections(audit),
        _not_rejected(audit),
        _not_tested(audit),
        _epsilon(audit),
        _measured(audit),
        f"Master seed {audit.master_seed.hex()}. Give it to --seed to repeat this audit.",
    ]
    return "\n\n".join(_wrapped(part, width) for part in parts if part) + "\n"


def _rejections(audit: Audit) -> list[str]:
    texts = {claim.id: claim.text for claim in audit.claims}
    return [
        "\n".join(
            (
                f"REJECTED: {finding.subject}",
                *(f"  claim {claim}: {texts.get(claim, '')}" for claim in finding.claims),
                f"  check {finding.attack}: {finding.title}.",
                f"  what was found: {found(finding)}",
                f"  chance of a false rejection: {chance(finding)}",
            )
        )
        for finding in audit.rejected
    ]


def _not_rejected(audit: Audit) -> str:
    kept = audit.of(Verdict.NOT_REJECTED)
    if not kept:
        return ""
    by_subject = Counter(finding.subject for finding in kept)
    lines = [f"  {subject}: {counted(count, 'check')}" for subject, count in by_subject.items()]
    return "\n".join((f"NOT REJECTED by {counted(len(kept), 'check')}:", *lines))


def _not_tested(audit: Audit) -> str:
    """List every reason once, with the subjects that it concerns."""
    untested = audit.untested
    if not untested:
        return (
            "NOT TESTED: no item. Each claim was tested by at least one check, which finds only some kinds of faults."
        )
    by_reason: dict[tuple[str, str], list[str]] = {}
    for each in untested:
        by_reason.setdefault((each.what, each.why), []).append(each.subject)
    lines = [
        f"  {what}{_of(subjects)}: {why}"
        for (what, why), subjects in sorted(by_reason.items(), key=lambda item: item[0])
    ]
    return "\n".join((f"NOT TESTED, {counted(len(untested), 'item')}:", *lines))


def _epsilon(audit: Audit) -> str:
    """List the lower bounds on epsilon, each beside the exact epsilon and the ledger's."""
    if not audit.epsilon:
        return ""
    lines = ["LOWER BOUNDS ON EPSILON (a small bound shows a weak attack, not a stronger guarantee):"]
    for subject, row in audit.epsilon:
        exact = "not known" if row.exact is None else f"{row.exact:.2f}"
        ledger = "" if row.ledger is None else f", ledger {row.ledger:.2f}"
        lines.append(
            f"  {subject}, {row.unit}, delta {row.delta:g}: at least {row.lower_bound:.2f} ({confidence(row)}, "
            f"{row.method}); exact {exact}{ledger}"
        )
    return "\n".join(lines)


def _measured(audit: Audit) -> str:
    lines = [
        f"  {finding.subject}, {finding.attack}: {measured(finding)}"
        + "".join(f"; {name} {value:.4g}" for name, value in finding.figures)
        for finding in audit.measured
    ]
    return "\n".join(("MEASURED (a measurement can reject nothing):", *lines)) if lines else ""


def _of(subjects: list[str]) -> str:
    named = [subject for subject in subjects if subject]
    return f" ({', '.join(named)})" if named else ""


def _wrapped(part: str, width: int) -> str:
    lines = []
    for line in part.split("\n"):
        indent = " " * (len(line) - len(line.lstrip()))
        lines += textwrap.wrap(
            line, width, subsequent_indent=f"{indent}  ", break_on_hyphens=False, break_long_words=False
        ) or [""]
    return "\n".join(lines)
