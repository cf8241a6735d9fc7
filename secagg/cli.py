"""The command `secagg`: its app, and what becomes of errors.

Errors that the user can mend are one line on standard error and exit code 2; an interruption is exit code 130 (Ctrl-C),
143 (SIGTERM) or 129 (a terminal that closes).
"""
# ruff: noqa: E402 - an interruption is answered from here on: the imports take a second, and more from a cold disk.

from contextlib import ExitStack

from secagg.interruption import ending_at_once, raising

_starting = ExitStack()
_starting.enter_context(ending_at_once())

import io
import sys
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from dp.errors import DpError
from dp.version import SOFTWARE, VERSION
from protocols.errors import ProtocolError
from secagg.commands import (
    audit_interface,
    budget_interface,
    cost_interface,
    engine_interface,
    interface,
    node_interface,
    seed_interface,
)
from secagg.errors import SecaggError
from secagg.paths import escaped

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train models on many clients' data with secure aggregation and differential privacy.",
)
budget = typer.Typer(no_args_is_help=True, help="Plan a privacy budget, report on its ledger, and verify it.")
keys = typer.Typer(no_args_is_help=True, help="Make the keys of a node, a coordinator or a committee, and rosters.")
node = typer.Typer(no_args_is_help=True, help="Check the home of a node, and serve it.")
engine = typer.Typer(no_args_is_help=True, help="Run what makes an engine quicker.")

app.command()(interface.train)
app.add_typer(budget, name="budget")
budget.command()(budget_interface.plan)
budget.command()(budget_interface.report)
budget.command()(budget_interface.verify)
app.add_typer(keys, name="keys")
keys.command()(interface.committee)
keys.command()(seed_interface.member)
keys.command()(seed_interface.seed_committee)
keys.command()(node_interface.node)
keys.command()(node_interface.coordinator)
keys.command()(node_interface.roster)
app.add_typer(node, name="node")
node.command()(node_interface.check)
node.command()(node_interface.serve)
app.add_typer(engine, name="engine")
engine.command()(engine_interface.warm)
app.command()(interface.protocols)
app.command()(audit_interface.audit)
app.command()(cost_interface.plan)
app.command()(cost_interface.bench)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"{SOFTWARE} {VERSION}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of the command itself."""


def main() -> NoReturn:
    """Run the command."""
    _replace_what_cannot_be_encoded()
    with raising():
        code = _run()
    sys.exit(code)


def _replace_what_cannot_be_encoded() -> None:
    """Write characters that the terminal's encoding lacks as escapes, instead of ending with an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run() -> int:
    try:
        app(prog_name="secagg")  # Also where it is run as `python -m secagg`.
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except (SecaggError, DpError, ProtocolError, OSError) as error:
        Console(stderr=True).print(f"[red]secagg:[/] {escape(escaped(_in_words(error)))}", soft_wrap=True)
        return 2
    return 0


def _in_words(error: Exception) -> str:
    """Return the text of an error; that of the system's about a file names the file first, and says what to do."""
    if type(error).__module__ == "builtins" and isinstance(error, OSError) and error.filename is not None:
        found = error.strerror or type(error).__name__
        return f"{error.filename}: expected a file or folder that can be used, found: {found}. Check path and rights."
    return str(error)


_starting.close()
