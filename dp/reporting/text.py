"""A budget report as plain text for a terminal: the guarantee, its releases, its assumptions."""

import shutil
import textwrap
from typing import Final

from dp.figures import used_in_percent
from dp.reporting.assumptions import Assumption, State
from dp.reporting.checklist import facts
from dp.reporting.report import BudgetReport, ReportedRelease

LEAST_WIDTH: Final = 60
_LABEL = 24
_HEADINGS: Final = {
    State.FAILED: "FAILED",
    State.VERIFIED: "verified",
    State.DECLARED: "declared, not verified",
}


def as_text(report: BudgetReport, *, width: int | None = None) -> str:
    """Return the report as lines of text; of more than 200 releases, only those that are accounted.

    Args:
        report: A report.
        width: The number of columns at which sentences are wrapped; less than 60 counts as 60. None stands for the
            width of the terminal, or for the environment's COLUMNS. The table of releases needs 80 columns. An
            ellipsis ends the name of a release that is cut short.
    """
    width = columns() if width is None else max(LEAST_WIDTH, width)
    heading_width = max(len(heading) for heading, _ in facts(report))
    title = "Privacy budget" + (f": {report.headline}" if report.failed else "")
    lines = [*wrapped(title, width), "", *wrapped(report.statement, width), ""]
    for heading, text in facts(report):
        first = f"{heading:<{heading_width}}  "
        if " " not in text and len(first) + len(text) > width:  # A digest stays on one line, so that it can be copied.
            lines += [heading, f"  {text}"]
        else:
            lines += wrapped(text, width, first=first)
    lines += [
        "",
        f"{'#':>5}  {'release':<{_LABEL}}  {'noise mult.':>11}  {'realised':>9}  {'contributors':>12}  "
        f"{_last_heading(report):>9}",
    ]
    lines += [_line(report, release) for release in report.accounted]
    if len(report.accounted) < len(report.releases):
        shown = f"{len(report.accounted)} of {len(report.releases)} releases, evenly spread; the JSON report lists all"
        lines += wrapped(shown, width)
    if report.spent.used is None and any(release.epsilon_after is None for release in report.accounted):
        lines += wrapped("Epsilon was computed only for evenly spread releases; the others have a dash (-)", width)
    for state, heading in _HEADINGS.items():
        found = [assumption for assumption in report.assumptions if assumption.state is state]
        if not found:
            continue
        lines += ["", f"Assumptions: {heading}"]
        for assumption in found:
            lines += _item(assumption, width)
    return "\n".join(lines) + "\n"


def _last_heading(report: BudgetReport) -> str:
    """Return what the last column of the table of releases shows."""
    if report.spent.used is not None:
        return "used"
    return "if fixed" if report.claims_budget else "epsilon"


def _line(report: BudgetReport, release: ReportedRelease) -> str:
    label = release.label if len(release.label) <= _LABEL else f"{release.label[: _LABEL - 3]}..."
    contributors = "uncommitted" if release.contributors is None else str(release.contributors)
    realised = "-" if release.excess is None else f"{release.excess:+.2%}"
    epsilon = "-" if release.epsilon_after is None else report.shown(release.epsilon_after)
    if release.used_after is not None:
        epsilon = used_in_percent(release.used_after)
    return (
        f"{release.number:>5}  {label:<{_LABEL}}  {release.noise_multiplier:>11.4g}  {realised:>9}  "
        f"{contributors:>12}  {epsilon:>9}"
    )


def _item(assumption: Assumption, width: int) -> list[str]:
    return wrapped(assumption.in_words, width, first="  - ")


def columns() -> int:
    """Return the width of the terminal, or of the environment's COLUMNS, but at least 60."""
    return max(LEAST_WIDTH, shutil.get_terminal_size().columns)


def wrapped(text: str, width: int | None, *, first: str = "") -> list[str]:
    """Return lines, with later ones indented to the text of the first; a long word, such as a digest, is not broken.

    Args:
        text: The text of one paragraph.
        width: The number of columns; less than 60 counts as 60. None: one line, however long.
        first: What the first line begins with.
    """
    if width is None:
        return [f"{first}{text}"]
    return textwrap.wrap(
        text,
        max(LEAST_WIDTH, width),
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
