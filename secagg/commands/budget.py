"""What the commands `secagg budget report` and `verify` do, from their arguments to their words."""

import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from dp.errors import LedgerCorrupt
from dp.ledger.ledger import Ledger
from dp.reporting.collect import budget_report
from dp.reporting.document import as_json as report_as_json
from dp.reporting.page import as_html
from dp.reporting.text import as_text, columns, wrapped
from dp.reporting.wording import amount
from secagg.commands.output_file import check_output_file, write_output_file
from secagg.errors import ConfigurationError
from secagg.paths import escaped, expanded
from secagg.privacy.several_ledgers import together
from secagg.reports.earlier_ledgers import with_earlier
from secagg.runs.kept_ledgers import LEDGER

NOT_INTACT = 3
"""Exit code of `verify` where the file could be read and is not what was written, lacks the head that was kept, or is
beyond its budget, which no ledger lets happen."""

_BORDERS: Final = "|\u2502\u2503"
"""Of tables, which may be copied with a head that was broken in one."""

_FAILED: Final = r"(?m)^(.*FAILED.*|.*BEYOND THE BUDGET.*|(?<=FAILED\n)(.+\n)+)"


def report_on_terminal(
    *paths: Path, as_json: bool, html: Path | None, organisation: str | None = None, title: str | None = None
) -> None:
    """Print what the releases of a ledger, or of several together, have cost; write the page if one is asked for.

    Args:
        paths: Ledgers, or folders of runs.
        as_json: Print JSON.
        html: The page's file, or None. Applies only to one ledger.
        organisation: Name of the responsible organisation, or None. Applies only to one ledger, which names none.
        title: Name of the run, or None. Applies only to one ledger, which names none.

    Raises:
        ConfigurationError: There is no ledger, the page cannot be written, several ledgers do not add up, or an option
            that applies only to one ledger was given with several.
        dp.errors.DpError: A ledger cannot be read, it records a name that was given, or an extra is missing.
    """
    files = [ledger_file(path) for path in paths]
    if len(files) != 1:
        for option, value in (("--html", html), ("--organisation", organisation), ("--title", title)):
            if value is not None:
                raise ConfigurationError(f"{option}: expected one ledger, found {len(files)}. Report them one by one.")
        added = together(files)
        _say((added.as_json() if as_json else added.as_text(width=columns())).rstrip("\n"))
        return
    (file,) = files
    check_output_file("--html", html)
    if html is not None and expanded(html).exists() and expanded(html).samefile(file):
        raise ConfigurationError(
            f"--html: expected a file for the page, found the ledger {html} itself. Name another file."
        )
    with Ledger.open_to_read(file) as opened:
        found = budget_report(opened).named(run=title, organisation=organisation)
    found = with_earlier(found, file)
    if html is not None:
        write_output_file("--html", html, as_html(found))
    _say((report_as_json(found) if as_json else as_text(found)).rstrip("\n"), warn=bool(found.failed) and not as_json)


def verify_on_terminal(path: Path, *, head: str | None) -> int:
    """Check that a ledger is consistent; print what it holds, wrapped, and its head on a line of its own.

    Args:
        path: A ledger, or the folder of a run.
        head: A digest that was kept earlier and must be in the chain, or None. Blanks, line ends and a table's
            borders in it are ignored, since terminals break long lines.

    Returns:
        The exit code: 0, or `NOT_INTACT`.

    Raises:
        ConfigurationError: There is no ledger.
        dp.errors.DpError: The ledger cannot be read, or `head` is not a digest: nothing is said about it.
    """
    file = ledger_file(path)
    kept = None if head is None else "".join(part for part in head if not part.isspace() and part not in _BORDERS)
    try:
        with Ledger.open_to_read(file, head=kept) as opened:
            budget, spent, entries = opened.budget, opened.spent(), opened.entries()
            last, after = opened.head, 0 if kept is None else opened.records_after(kept)
            unsupported = opened.unsupported_realised()
    except LedgerCorrupt as error:
        return _refused(f"not intact: {error}")
    found = amount(spent, budget)
    if spent.epsilon > budget.epsilon:
        return _refused(f"{file}: beyond its budget: {found}")
    if unsupported:
        numbers = ", ".join(str(number) for number in unsupported[:5]) + (", ..." if len(unsupported) > 5 else "")
        return _refused(f"{file}: not intact: less noise is recorded than was reserved, of {numbers}")
    uncommitted = sum(entry.commitment is None for entry in entries)
    if kept is None:
        whole = "consistent; no --head given, so a rebuilt, replaced or truncated ledger would not be noticed"
    else:
        grown = f"{after} record{'' if after == 1 else 's'} after the kept head"
        whole = f"intact, {grown}" if after else "intact, and the kept head is its last record"
    releases = f"{len(entries)} release{'' if len(entries) == 1 else 's'}"
    said = wrapped(f"{whole}: {releases} ({uncommitted} uncommitted), {found}", columns())
    sys.stdout.write("\n".join((*said, f"head {last}")) + "\n")
    return 0


def _say(text: str, *, warn: bool = False) -> None:
    """Print, whatever the terminal's encoding can show; in the warning colour what failed, where there are colours."""
    encoding = sys.stdout.encoding or "utf-8"
    shown = text.encode(encoding, errors="backslashreplace").decode(encoding)
    if warn and sys.stdout.isatty():
        words = Text(shown)
        words.highlight_regex(_FAILED, "bold yellow")
        Console().print(words, soft_wrap=True)
    else:
        sys.stdout.write(shown + "\n")


def _refused(reason: str) -> int:
    Console(stderr=True).print(f"[red]secagg:[/] {escape(escaped(reason))}", soft_wrap=True)
    return NOT_INTACT


def ledger_file(path: Path) -> Path:
    """Return the ledger of a path, which may be the folder of a run.

    Raises:
        ConfigurationError: It is a folder without a ledger.
    """
    path = expanded(path)
    if not path.is_dir():
        return path
    if not (path / LEDGER).is_file():
        raise ConfigurationError(
            f"{path}: expected the folder of a run with noise, found no {LEDGER} in it. Check the path. A run "
            "without noise has no budget."
        )
    return path / LEDGER
