"""What `secagg node check` prints of a node's home."""

from pathlib import Path
from typing import Final

import typer
from rich.console import Console

from secagg.engines.home import Home
from secagg.engines.node_check import NodeReport, check_node
from secagg.paths import escaped, expanded

FAULTY: Final = 3
"""The exit code for a home that cannot take part in anything."""


def check_on_terminal(path: Path) -> None:
    """Print what a home is and what its node will accept; end with exit code 3 if it accepts nothing.

    Raises:
        SecaggError: The home is not complete, is damaged, is in use, or others may use it.
        dp.errors.DpError: Its ledger cannot be opened.
    """
    report = check_node(Home.open(expanded(path)))
    console = Console()
    for line in lines(report):
        console.print(escaped(line), highlight=False, markup=False, soft_wrap=True)
    if report.faults:
        raise typer.Exit(FAULTY)


def lines(report: NodeReport) -> list[str]:
    """Return a report as lines for a terminal."""
    found = [f"{label}: {text}" for label, text in report.facts]
    found += [
        "",
        "This node will accept:" if not report.faults else "This node accepts NOTHING as it is. Its policy says:",
    ]
    found += [f"  {sentence}" for sentence in report.accepts]
    found += [f"WARNING: {sentence}" for sentence in report.warnings]
    found += [f"FAULT: {sentence}" for sentence in report.faults]
    return found
