"""What the command `audit` takes: its argument, options and help."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def audit(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="A protocol's name, module:factory, a configuration (.toml), the folder of a finished run, a recorded "
            "transcript, or a ledger. Default: everything that the toolkit ships.",
            show_default=False,
        ),
    ] = None,
    level: Annotated[
        Literal["quick", "full"],
        typer.Option(
            help="Time it may take: quick at most 60 seconds on two cores, full at most 15 minutes. Default: quick.",
            show_default=False,
        ),
    ] = "quick",
    html: Annotated[Path | None, typer.Option(help="File for a self-contained HTML page.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="File for the result as JSON.")] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            metavar="HEX",
            help="Master seed, 64 hexadecimal digits, to repeat an audit. Default: a new one, which is printed.",
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="CHECK",
            help="Run this check only, or those whose id begins with these parts, such as view.uniform.",
        ),
    ] = None,
    self_test: Annotated[
        bool,
        typer.Option("--self-test", help="Audit the audit: run all checks on the planted bugs. Takes no target."),
    ] = False,
) -> None:
    """Test what a protocol, mechanism, training, run, transcript or ledger claims.

    The result is "rejected" or "not rejected", with what was not tested. A
    claim that is not rejected is not proven. Exit code 0: not rejected; 2: a
    wrong argument, or a target that cannot be read; 3: rejected; 4: nothing
    rejected, but the audit is incomplete; 130, 143 or 129: interrupted.
    """
    from secagg.commands.audit import audit_on_terminal, self_test_on_terminal

    if self_test:
        raise typer.Exit(self_test_on_terminal(target, level=level, seed=seed, others=(html, as_json, only)))
    raise typer.Exit(audit_on_terminal(target, level=level, html=html, as_json=as_json, seed=seed, only=only))
