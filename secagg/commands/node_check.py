"""What `secagg node check` prints of a node's home."""

from pathlib import Path
from typing import Final

import typer
from rich.console import Console

from secagg.engines.node.check import NodeReport, check_node
from secagg.engines.node.home import Home
from secagg.engines.nvflare.site_policy import SitePolicy, check_site
from secagg.paths import escaped, expanded

FAULTY: Final = 3
"""The exit code for a home that cannot take part in anything, or a FLARE site that is not safe."""


def check_on_terminal(path: Path, *, flare: Path | None = None) -> None:
    """Print what a home is and what its node will accept; end with exit code 3 if it should not take part.

    Args:
        path: The home.
        flare: The startup kit of the node's FLARE site, to be checked too; None without one.

    Raises:
        ConfigurationError: `flare` is no startup kit of a FLARE client, or one of its files is damaged.
        SecaggError: The home is not complete, is damaged, is in use, or others may use it.
        dp.errors.DpError: Its ledger cannot be opened.
    """
    home = Home.open(expanded(path))
    report = check_node(home)
    site = None if flare is None else check_site(expanded(flare), home=home.path)
    console = Console()
    for line in [*lines(report), *(() if site is None else site_lines(site))]:
        console.print(escaped(line), highlight=False, markup=False, soft_wrap=True)
    if report.faults or (site is not None and site.refusals):
        raise typer.Exit(FAULTY)


def site_lines(site: SitePolicy) -> list[str]:
    """Return what was found in a startup kit of FLARE as lines for a terminal."""
    safe = "Its FLARE site lets no code in, and only the class that the node needs."
    found = ["", safe if not site.refusals else "Its FLARE site lets others do more than the node needs:"]
    found += [f"WARNING: {sentence}" for sentence in site.notes]
    found += [f"FAULT: {sentence}" for sentence in site.refusals]
    return found


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
