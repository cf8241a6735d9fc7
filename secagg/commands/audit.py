"""What the command `secagg audit` does, from its arguments to its words."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from secagg.audit.attack import Level
from secagg.audit.audit import EXIT_REJECTED, Audit
from secagg.audit.document import as_json as audit_as_json
from secagg.audit.finding import Finding, Verdict
from secagg.audit.page import as_html
from secagg.audit.run import run_audit
from secagg.audit.self_test import Catch, self_test
from secagg.audit.self_test import as_text as rows_as_text
from secagg.audit.text import WIDEST, as_text
from secagg.commands.output_file import check_output_file, write_output_file
from secagg.commands.progress import shows_bars, write_line
from secagg.errors import ConfigurationError
from secagg.interruption import Interrupted

_SEED_BYTES: Final = 32
_LINES: Final = 10  # The number of lines that tell of the progress if no terminal shows a bar.


def audit_on_terminal(
    target: str | None, *, level: str, html: Path | None, as_json: Path | None, seed: str | None, only: str | None
) -> int:
    """Audit a target, print the result, write the files that are asked for, and return the exit code.

    Raises:
        ConfigurationError: The target is nothing that can be audited, an option is out of range, or a file cannot be
            written.
        dp.errors.DpError: A ledger cannot be read, or an extra is missing.
    """
    master = _master(seed)
    for option, path in (("--html", html), ("--json", as_json)):
        check_output_file(option, path)
    with _progress("checks") as observe:

        def ended(found: Finding, done: int, of: int) -> None:
            observe(done, of)
            if found.verdict is Verdict.REJECTED:
                write_line(f"rejected: {found.subject}: {found.attack}")

        try:
            audit = run_audit(target, level=Level(level), master=master, only=only, observe=ended)
        except SystemExit as ending:
            if isinstance(ending, Interrupted):
                raise
            # The code of other people must not choose the exit code of the audit.
            raise ConfigurationError(
                "target: expected subjects that leave the process alone, found one that has ended it. Nothing that was "
                "found until then is complete."
            ) from None
    width = min(WIDEST, shutil.get_terminal_size(fallback=(WIDEST, 24)).columns)
    sys.stdout.write(as_text(audit, width=width))
    for option, path, make in (("--html", html, as_html), ("--json", as_json, _as_json)):
        if path is not None:
            write_output_file(option, path, make(audit))
            write_line(f"wrote {path}")
    return audit.exit_code


def self_test_on_terminal(
    target: str | None, *, level: str, seed: str | None, others: tuple[object | None, ...]
) -> int:
    """Run all checks on all planted bugs, print the table, and return the exit code.

    Raises:
        ConfigurationError: A target, or an option of an audit, is given too.
    """
    if target is not None or any(each is not None for each in others):
        raise ConfigurationError(
            "--self-test: expected no target and none of --html, --json and --only, found one. Leave it out."
        )
    with _progress("planted bugs") as observe:
        rows = self_test(level=Level(level), master=_master(seed), observe=observe)
    sys.stdout.write(rows_as_text(rows))
    return 0 if all(row.catch is Catch.CAUGHT for row in rows) else EXIT_REJECTED


def _master(seed: str | None) -> bytes:
    if seed is None:
        return os.urandom(_SEED_BYTES)
    try:
        master = bytes.fromhex(seed)
    except ValueError:
        master = b""
    if len(master) != _SEED_BYTES:
        raise ConfigurationError(
            f"--seed: expected {2 * _SEED_BYTES} hexadecimal digits, found {len(seed)} characters that are not these. "
            "Give the master seed that an audit has printed."
        )
    return master


def _as_json(audit: Audit) -> str:
    return audit_as_json(audit) + "\n"


@contextmanager
def _progress(noun: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far the work is: a bar on a terminal, else about ten lines on standard error."""
    console = Console(stderr=True)
    if not shows_bars(console):
        yield lambda done, of: write_line(f"{done} of {of} {noun}") if _is_told(done, of) else None
        return
    columns = (TextColumn(noun), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(noun, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def _is_told(done: int, of: int) -> bool:
    return done == of or done * _LINES // of > (done - 1) * _LINES // of
