"""A budget report as plain text for a terminal: the guarantee, its releases, its assumptions."""

from typing import TYPE_CHECKING

from dp.reporting.assumptions import Assumption
from dp.reporting.checklist import rounded_up

if TYPE_CHECKING:
    from dp.report import BudgetReport, ReportedRelease

_LABEL = 24


def as_text(report: "BudgetReport") -> str:
    """Return the report as lines of text; of more than 200 releases, those that are accounted."""
    width = max(len(heading) for heading, _ in report.facts)
    lines = ["Privacy budget", "", report.statement, ""]
    lines += [f"{heading:<{width}}  {text}" for heading, text in report.facts]
    lines += [
        "",
        f"{'#':>5}  {'release':<{_LABEL}}  {'noise mult.':>11}  {'realised':>9}  {'contributors':>12}  {'epsilon':>9}",
    ]
    lines += [_line(release) for release in report.accounted]
    if len(report.accounted) < len(report.releases):
        lines.append(
            f"{len(report.accounted)} of {len(report.releases)} releases, evenly spread; JSON lists all of them"
        )
    for heading, verified in (("Verified", True), ("Declared, not verified", False)):
        found = [assumption for assumption in report.assumptions if assumption.verified is verified]
        lines += ["", f"Assumptions: {heading.lower()}", *map(_item, found)]
    return "\n".join(lines) + "\n"


def _line(release: "ReportedRelease") -> str:
    contributors = "uncommitted" if release.contributors is None else str(release.contributors)
    realised = "-" if release.excess is None else f"{release.excess:+.2%}"
    epsilon = "-" if release.epsilon_after is None else rounded_up(release.epsilon_after)
    return (
        f"{release.number:>5}  {release.label[:_LABEL]:<{_LABEL}}  {release.noise_multiplier:>11.4g}  {realised:>9}  "
        f"{contributors:>12}  {epsilon:>9}"
    )


def _item(assumption: Assumption) -> str:
    return f"  - {assumption.text} ({assumption.how})"
