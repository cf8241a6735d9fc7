"""An audit as one self-contained HTML page, for a reviewer."""

from datetime import UTC, datetime

from dp.reporting.page import fill, require_extra
from dp.version import SOFTWARE, VERSION
from secagg.audit.attack import Layer
from secagg.audit.audit import Audit
from secagg.audit.epsilon.plot import lower_bounds
from secagg.audit.finding import Finding, Verdict
from secagg.audit.words import chance, confidence, counted, error_rate, found, headline, meaning, measured

LAYERS = {
    Layer.INVARIANT: "Sums, norms, refusals and secrecy are compared with what must hold in every case.",
    Layer.REPLAY: "The subject's randomness or messages are recorded, repeated and altered.",
    Layer.VIEW: "What a server sees is compared with what it may see.",
    Layer.ATTACK: "An adversary is run against the parties.",
    Layer.MECHANISM: "The distributions of noise, rounding and samples are tested.",
    Layer.EPSILON: "Attacks on releases give lower bounds on epsilon.",
    Layer.ACCOUNT: "Ledgers, composition, plans and the folders of runs are computed anew.",
}
"""What the checks of each layer do, in a sentence."""


def as_html(audit: Audit) -> str:
    """Return an audit as one self-contained HTML page, in the reader's light or dark scheme.

    Raises:
        dp.errors.MissingExtra: Jinja2 or matplotlib is not installed.
    """
    require_extra()
    return fill(
        "secagg.audit/audit.html.j2",
        audit=audit,
        headline=headline(audit),
        meaning=meaning(audit),
        error_rate=error_rate(audit),
        started=datetime.fromtimestamp(audit.started_s, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        software=f"{SOFTWARE} {VERSION}",
        claims=[(claim, audit.verdict_on(claim.id)) for claim in audit.claims],
        kept=_by_subject(audit.of(Verdict.NOT_REJECTED)),
        untested=_by_reason(audit),
        chart=lower_bounds([row for _, row in audit.epsilon]) if audit.epsilon else None,
        layers=LAYERS,
        confidence=confidence,
        measured=measured,
        chance=chance,
        found=found,
        counted=counted,
    )


def _by_subject(findings: tuple[Finding, ...]) -> dict[str, list[Finding]]:
    kept: dict[str, list[Finding]] = {}
    for finding in findings:
        kept.setdefault(finding.subject, []).append(finding)
    return kept


def _by_reason(audit: Audit) -> list[tuple[str, str, list[str]]]:
    """Return every check or claim that was not tested with its reason, each once, and the subjects concerned."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for each in audit.untested:
        reasons.setdefault((each.what, each.why), []).append(each.subject)
    return [(what, why, [name for name in names if name]) for (what, why), names in sorted(reasons.items())]
