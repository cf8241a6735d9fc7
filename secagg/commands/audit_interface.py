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
            help="How thorough the audit is. No check begins after 60 seconds (quick) or 15 minutes (full). "
            "Default: quick.",
            show_default=False,
        ),
    ] = "quick",
    html: Annotated[Path | None, typer.Option(help="File for a self-contained HTML page.")] = None,
    as_json: Annotated[Path | None, typer.Option("--json", help="File for the result as JSON.")] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            metavar="HEX",
            help="Master seed of an audit that is to be repeated, 64 hexadecimal digits. Default: a new one, which is "
            "printed.",
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="CHECK",
            help="Id of the only check to run, or the first parts of the ids of several, such as view.uniform.",
        ),
    ] = None,
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test",
            help="Run the checks on planted bugs, and show which checks reject each. Takes no target. Exit code 3: a "
            "check did not reject the bug that it is meant for.",
        ),
    ] = False,
) -> None:
    """Test what a protocol, mechanism, training, run, transcript or ledger claims.

    The result is "rejected", "not rejected" or "incomplete", and a list of what
    was not tested. A claim that is not rejected is not proven. Exit code 0: not
    rejected; 2: a wrong argument, or a target that cannot be read; 3: rejected;
    4: nothing was rejected, but the audit is incomplete; 130, 143 or 129:
    interrupted.
    """
    from secagg.commands.audit import audit_on_terminal, self_test_on_terminal

    if self_test:
        raise typer.Exit(self_test_on_terminal(target, level=level, seed=seed, others=(html, as_json, only)))
    raise typer.Exit(audit_on_terminal(target, level=level, html=html, as_json=as_json, seed=seed, only=only))
