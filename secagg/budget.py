"""What the commands `secagg budget report`, `plan` and `verify` do, from their arguments to their words."""

import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from dp.checks import harmless
from dp.errors import LedgerCorrupt
from dp.ledger import Ledger
from dp.report import BudgetReport
from dp.reporting.checklist import rounded_up
from secagg.errors import ConfigurationError
from secagg.files import write_whole
from secagg.planning import plan
from secagg.question import PlannedMechanism, Question

NOT_INTACT = 3
"""Exit code of `verify` where the file could be read and is not what was written, lacks the head that was kept, or is
beyond its budget, which no ledger lets happen."""


def report_on_terminal(path: Path, *, as_json: bool, html: Path | None) -> None:
    """Print what a ledger's releases have cost, and write the page if one is asked for.

    Args:
        path: A ledger, or the folder of a run.
        as_json: Print JSON.
        html: The page's file, or None.

    Raises:
        ConfigurationError: There is no ledger, or the page cannot be written.
        dp.errors.DpError: The ledger cannot be read, or an extra is missing.
    """
    file = _ledger(path)
    if html is not None and html.exists() and html.samefile(file):
        raise ConfigurationError(f"{html} is the ledger itself; name another file for the page")
    with Ledger.open_to_read(file) as opened:
        found = BudgetReport.from_ledger(opened)
    if html is not None:
        page = found.as_html()
        try:
            write_whole(html, lambda partial: partial.write_text(page, encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"cannot write {html}: {error.strerror}") from None
    _say((found.as_json() if as_json else found.as_text()).rstrip("\n"))


def verify_on_terminal(path: Path, *, head: str | None) -> int:
    """Check a ledger's chain of records, and print one line.

    Args:
        path: A ledger, or the folder of a run.
        head: A digest that was kept earlier and must be in the chain, or None.

    Returns:
        The exit code: 0, or `NOT_INTACT`.

    Raises:
        ConfigurationError: There is no ledger.
        dp.errors.DpError: The ledger cannot be read, or `head` is not a digest: nothing is said about it.
    """
    file = _ledger(path)
    try:
        with Ledger.open_to_read(file, head=head) as opened:
            budget, spent, entries = opened.budget, opened.spent(), opened.entries()
            kept, after = opened.head, 0 if head is None else opened.records_after(head)
            unsupported = opened.unsupported_realised()
    except LedgerCorrupt as error:
        return _refused(f"not intact: {error}")
    amount = f"epsilon {rounded_up(spent.epsilon)} of {budget.epsilon:g} spent at delta {budget.delta!r}"
    if spent.epsilon > budget.epsilon:
        return _refused(f"{file}: beyond its budget: {amount}")
    if unsupported:
        found = ", ".join(str(number) for number in unsupported[:5]) + (", ..." if len(unsupported) > 5 else "")
        return _refused(f"{file}: not intact: less noise is recorded than was reserved, of {found}")
    uncommitted = sum(entry.commitment is None for entry in entries)
    if head is None:
        whole = "unaltered as far as it goes (give --head to learn whether its end was cut)"
    else:
        grown = f"{after} records after the kept head" if after else "and the kept head is its last record"
        whole = f"intact, {grown}"
    sys.stdout.write(f"{whole}: {len(entries)} releases ({uncommitted} uncommitted), {amount}; head {kept}\n")
    return 0


def _say(text: str) -> None:
    """Print, whatever the terminal's encoding can show."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, errors="backslashreplace").decode(encoding) + "\n")


def _refused(reason: str) -> int:
    Console(stderr=True).print(f"[red]secagg:[/] {escape(reason)}", soft_wrap=True)
    return NOT_INTACT


def plan_on_terminal(
    *,
    clients: int,
    rounds: int,
    noise_multiplier: float | None,
    epsilon: float | None,
    delta: float | None,
    per_round: int | None,
    sampling: float | None,
    mechanism: str,
    bits: int | None,
    dimension: int | None,
    dropout: float,
    adversarial: float,
    minimum_contributors: int | None,
    as_json: bool,
) -> None:
    """Print what rounds will cost, or what noise they need; arguments as in `Question`.

    Raises:
        ConfigurationError: The arguments do not fit together.
        dp.errors.DpError: A number is out of range, or no noise reaches the epsilon.
    """
    if mechanism not in tuple(PlannedMechanism):
        choices = ", ".join(PlannedMechanism)
        raise ConfigurationError(f"--mechanism: expected one of {choices}, found {harmless(mechanism)}")
    if per_round is not None:
        if sampling is not None:
            raise ConfigurationError("expected --per-round or --sampling, which is that over --clients; found both")
        if not 1 <= per_round <= clients:
            raise ConfigurationError(f"--per-round: expected 1 to {clients}, the number of clients, found {per_round}")
        sampling = per_round / clients
    found = plan(
        Question(
            clients=clients,
            rounds=rounds,
            noise_multiplier=noise_multiplier,
            epsilon=epsilon,
            delta=delta,
            sampling=sampling,
            mechanism=PlannedMechanism(mechanism),
            bits=bits,
            dimension=dimension,
            dropout=dropout,
            adversarial=adversarial,
            minimum_contributors=minimum_contributors,
        )
    )
    sys.stdout.write(found.as_json() + "\n" if as_json else found.as_text())


def _ledger(path: Path) -> Path:
    if not path.is_dir():
        return path
    if not (path / "ledger.sqlite").is_file():
        raise ConfigurationError(f"{path} holds no ledger.sqlite: no run, or one without noise, which has no budget")
    return path / "ledger.sqlite"
