"""Records the reports of the recorded ledgers and of the recorded run: python -m tests.vectors.record_reports.

Two things of a report are not this package's: the version of the software that reports, in whose place a mark stands,
and the drawings of a page, which are matplotlib's, and of which a list of digests is kept beside the page.
"""

import base64
import hashlib
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib
import msgspec
from matplotlib.font_manager import FontProperties, findfont

import dp
from dp import BudgetReport, Ledger
from dp.reporting.drawing import FAMILIES
from secagg.reports.report import RunReport
from secagg.runs.folder import RunFolder
from secagg.runs.prepare import prepare
from secagg.runs.summary import Summary
from tests.vectors.recorded import VECTORS, copied, rewrite, without_version

FOLDER: Final = VECTORS / "report"
LEDGERS: Final = VECTORS / "ledger"
RUN: Final = VECTORS / "checkpoint" / "run"
NAMES: Final = ("cohorts", "drawn", "examples", "local", "mixed", "readers", "thinner")
WIDTH: Final = 100
DRAWINGS: Final = "drawings.json"
MATPLOTLIB: Final = {"font": Path(findfont(FontProperties(family=FAMILIES))).name, "version": matplotlib.__version__}
"""What drawings depend on: the version of matplotlib, and the font that it measures words with."""

_IDENTIFIER: Final = re.compile(rb"(?<=[#\"])[a-z][0-9a-f]{10}(?=[)\"])")
"""The name of a part of a drawing: a digest of how numpy shows floats, which depends on the version of numpy."""

_DRAWING: Final = re.compile(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPage:
    """The text of a page without its drawings, and the drawings."""

    html: str
    drawings: tuple[bytes, ...]


def report_of(name: str) -> BudgetReport:
    """Return the report of a recorded ledger."""
    with Ledger.open_to_read(LEDGERS / f"{name}.sqlite") as ledger:
        return dp.budget_report(ledger)


def as_text(report: BudgetReport) -> str:
    """Return its text for a terminal, without this software's version."""
    heading = f"{'Software of this report':<{max(len(heading) for heading, _ in dp.facts(report))}}  "
    return without_version(dp.as_text(report, width=WIDTH), before=heading)


def as_json(report: BudgetReport) -> str:
    """Return its JSON, without this software's version in the two places that have it."""
    named = without_version(dp.as_json(report), before='"report_software": "')
    return without_version(named, before='"heading": "Software of this report",\n      "text": "')


def run_report(path: Path) -> RunReport:
    """Return the report of a copy of the recorded run."""
    folder = RunFolder(path)
    summary = msgspec.json.decode((path / "summary.json").read_bytes(), type=Summary)
    return RunReport.of(folder, prepare(folder.config()), summary)


def as_page(report: BudgetReport | RunReport) -> RecordedPage:
    """Return its page, without this software's version."""
    html = without_version(
        dp.as_html(report) if isinstance(report, BudgetReport) else report.as_html(),
        before="<dt>Software of this report</dt><dd>",
    )
    drawings = tuple(base64.b64decode(found) for found in _DRAWING.findall(html))
    return RecordedPage(html=_DRAWING.sub("DRAWING", html), drawings=drawings)


def digests(drawings: tuple[bytes, ...]) -> list[str]:
    """Return the SHA-256 of each drawing, its parts named by their order."""
    return [hashlib.sha256(_renamed(drawing)).hexdigest() for drawing in drawings]


def recorded(name: str) -> str:
    """Return a recorded text."""
    return (FOLDER / name).read_bytes().decode("utf-8")


def _renamed(drawing: bytes) -> bytes:
    names = {name: b"part-%d" % order for order, name in enumerate(dict.fromkeys(_IDENTIFIER.findall(drawing)))}
    return _IDENTIFIER.sub(lambda found: names[found[0]], drawing)


def _files() -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    drawn: dict[str, object] = {"matplotlib": MATPLOTLIB}
    for name in NAMES:
        report = report_of(name)
        page = as_page(report)
        files[f"{name}.json"] = as_json(report).encode()
        files[f"{name}.txt"] = as_text(report).encode()
        files[f"{name}.html"] = page.html.encode()
        drawn[name] = digests(page.drawings)
    with tempfile.TemporaryDirectory() as folder:
        page = as_page(run_report(copied(RUN, Path(folder) / "run")))
    files["run.html"] = page.html.encode()
    drawn["run"] = digests(page.drawings)
    files[DRAWINGS] = (json.dumps(drawn, indent=1) + "\n").encode()
    return files


if __name__ == "__main__":
    rewrite(FOLDER, _files())
