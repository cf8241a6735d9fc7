"""Checks of what a run came to: its summary and its report follow from everything else."""

import re
import warnings
from typing import Any, Final

import msgspec

from dp.ledger.ledger import Ledger
from dp.version import VERSION
from secagg.audit.run_folder.check import HOLDS, Unreadable, Untested, Verdict
from secagg.audit.run_folder.evidence import Evidence
from secagg.audit.run_folder.rounds import close
from secagg.audit.run_folder.weights import tolerance_of
from secagg.errors import MissingExtraError
from secagg.reports.report import RunReport
from secagg.runs.comparison import PLAIN, WITHOUT_NOISE
from secagg.runs.folder import COMPARISON, REPORT, SUMMARY
from secagg.runs.summary import BUDGET_EXCEEDED, COHORTS_EXHAUSTED, Account, Summary, summarise
from secagg.training.model_state import evaluate

DRAWING: Final = re.compile(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)")
_FREE: Final = ("software", "version")
"""Fields of the summary that nothing else in the folder decides."""

_SHOWN: Final = 60


def check_summary_read(evidence: Evidence) -> Verdict:
    """Check that summary and comparison can be read, and that the summary has no other fields."""
    try:
        summary, _ = evidence.summary, evidence.compared
    except Unreadable as error:
        return Verdict(found=error.found)
    if evidence.bytes_of(SUMMARY) != msgspec.json.format(msgspec.json.encode(summary)) + b"\n":
        return Verdict(found=f"{SUMMARY} is not written as a run writes it, or has other fields.")
    return HOLDS


def check_comparison(evidence: Evidence) -> Verdict:
    """Check that there are compared runs if they were asked for, and that they went as far as this one was to go."""
    path, goal = evidence.path / COMPARISON, evidence.goal
    if path.exists() and not evidence.bytes_of(COMPARISON).endswith(b"\n"):
        return Verdict(found=f"The last line of {COMPARISON} is cut short.")
    written = b"".join(msgspec.json.encode(line) + b"\n" for line in evidence.compared)
    if path.exists() and evidence.bytes_of(COMPARISON) != written:
        return Verdict(found=f"{COMPARISON} is not written as a run writes it, or has other fields.")
    expected = list(range(1, goal + 1)) if evidence.config.compare else []
    for kind in (WITHOUT_NOISE, PLAIN):
        if [line.record.round for line in evidence.compared if line.kind == kind] != expected:
            return Verdict(
                found=f"{COMPARISON} does not have rounds 1 to {goal} of each run, as far as they are asked for."
            )
    return HOLDS


def check_summary(evidence: Evidence) -> Verdict:
    """Check that each field of the summary follows from the rest of the folder."""
    found, expected = evidence.summary, _summary(evidence)
    for name in Summary.__struct_fields__:
        if name not in _FREE and not _equal(getattr(found, name), getattr(expected, name), rel=tolerance_of(evidence)):
            return Verdict(found=f"{SUMMARY} has another {name} than follows from the rest of the folder.")
    return HOLDS


def check_report_present(evidence: Evidence) -> Verdict:
    """Check that there is a report that can be read."""
    try:
        _ = evidence.report
    except Unreadable as error:
        return Verdict(found=error.found)
    return HOLDS


def check_report_text(evidence: Evidence) -> Verdict:
    """Check that the report, made again, has the same text."""
    found, expected = DRAWING.sub("", evidence.report), DRAWING.sub("", _page(evidence))
    if found == expected:
        return HOLDS
    place = next(
        (index for index, (one, other) in enumerate(zip(found, expected, strict=False)) if one != other),
        min(len(found), len(expected)),
    )
    near = found[max(0, place - _SHOWN // 2) : place + _SHOWN // 2]
    return Verdict(
        found=f"{REPORT} differs from the report that is made again, near {near!r}. It was changed, or other code of "
        f"version {VERSION} has made it."
    )


def check_report_drawings(evidence: Evidence) -> Verdict:
    """Check that the drawings of the report, made again, are the same."""
    found, expected = DRAWING.findall(evidence.report), DRAWING.findall(_page(evidence))
    if len(found) != len(expected):
        return Verdict(found=f"{REPORT} has {len(found)} drawings, and {len(expected)} if it is made again.")
    other = sum(one != again for one, again in zip(found, expected, strict=True))
    if other and other == len(found):
        raise Untested(
            f"Every drawing of {REPORT} is another one if it is made again, as with another version of matplotlib or "
            "another font. Run the audit where the report was made."
        )
    if other:
        return Verdict(found=f"{other} of the {len(found)} drawings of {REPORT} are other ones if it is made again.")
    return HOLDS


def _summary(evidence: Evidence) -> Summary:
    """Return the summary that follows from the rest of the folder."""
    prepared, records = evidence.prepared, evidence.records
    model, account = prepared.devices.model, None
    if evidence.config.private:
        _ = evidence.ledger
        with Ledger.open_to_read(evidence.folder.ledger) as ledger:
            account = Account.of(ledger)
    _, accuracy_before = evaluate(model, evidence.weights(0), prepared.test)
    return summarise(
        prepared,
        records,
        loss_and_accuracy=evaluate(model, evidence.weights(len(records)), prepared.test),
        accuracy_before=accuracy_before,
        compared=evidence.compared,
        account=account,
        stopped_because=_stopped_because(evidence),
        saved_model=f"model{model.suffix}",
    )


def _stopped_because(evidence: Evidence) -> str | None:
    """Return what may have ended a run early that has fewer rounds than it was to have; None if it has all."""
    if len(evidence.records) >= evidence.goal:
        return None
    found = evidence.summary.stopped_because
    return found if found in (BUDGET_EXCEEDED, COHORTS_EXHAUSTED) else BUDGET_EXCEEDED


def _page(evidence: Evidence) -> str:
    """Return the report, made again.

    Raises:
        Untested: Another version wrote the run, or a package for reports is not installed.
    """
    prepared, summary, _ = evidence.prepared, evidence.summary, (evidence.records, evidence.compared, evidence.goal)
    if evidence.config.private:
        _ = evidence.ledger
    if summary.version != VERSION:
        raise Untested(
            f"The run was written by version {summary.version}, whose reports version {VERSION} cannot make."
        )
    return evidence.rendered(lambda: _rendered(evidence, prepared, summary))


def _rendered(evidence: Evidence, prepared: Any, summary: Summary) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return RunReport.of(evidence.folder, prepared, summary).as_html()
    except MissingExtraError as error:
        raise Untested(f"The report cannot be made again: {error}") from None


def _equal(found: Any, expected: Any, *, rel: float) -> bool:
    if isinstance(found, msgspec.Struct) and isinstance(expected, msgspec.Struct):
        return _equal(msgspec.to_builtins(found), msgspec.to_builtins(expected), rel=rel)
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(_equal(found[key], expected[key], rel=rel) for key in found)
    if isinstance(found, float) and isinstance(expected, int | float):
        return close(found, expected, rel=rel)
    return bool(found == expected)
