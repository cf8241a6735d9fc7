"""What the command `secagg budget plan` does, from its arguments to its words."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from dp.ledger.ledger import Ledger
from dp.noise.distributed import LatticeNoise
from dp.reporting.page import require_extra
from protocols import Adversary
from secagg.checks import SERVERS, check_choice
from secagg.commands.budget import ledger_file
from secagg.commands.output_file import check_output_file, write_output_file
from secagg.errors import ConfigurationError
from secagg.paths import escaped
from secagg.planning.budget.ledger_rounds import plan_rounds
from secagg.planning.budget.page import as_html
from secagg.planning.budget.plan import plan
from secagg.planning.budget.request import GAUSSIAN, BudgetRequest
from secagg.planning.budget.rows import as_text
from secagg.privacy.contributors import ADVERSARIAL, DROPOUT


def plan_on_terminal(
    *,
    clients: int | None,
    rounds: int,
    noise_multiplier: float | None,
    epsilon: float | None,
    delta: float | None,
    cohort: int | None,
    cap: int | None,
    per_round: int | None,
    sampling: float | None,
    more_rounds: int | None,
    mechanism: str,
    bits: int | None,
    dimension: int | None,
    compression: float,
    dropout: float,
    adversarial: float,
    minimum_contributors: int | None,
    adversary: str,
    table: bool,
    as_json: bool,
    html: Path | None,
    ledger: Path | None,
) -> None:
    """Print what rounds will cost, or what noise they need, with `table` also by rounds and noise; write a page.

    The arguments are those of `BudgetRequest`, and where to write. With a ledger, print what noise more rounds need
    under it (`plan_rounds`); of the other arguments, only `rounds`, `cohort` and `cap` apply then.

    Raises:
        ConfigurationError: The arguments do not fit together, or the page cannot be written.
        dp.errors.DpError: A number is out of range, no noise reaches the epsilon, or an extra is missing.
    """
    columns = shutil.get_terminal_size().columns
    if ledger is not None:
        _refuse_with_ledger(
            {
                "--clients": clients is not None,
                "--noise-multiplier": noise_multiplier is not None,
                "--epsilon": epsilon is not None,
                "--delta": delta is not None,
                "--per-round": per_round is not None,
                "--sampling": sampling is not None,
                "--more-rounds": more_rounds is not None,
                "--mechanism": mechanism != GAUSSIAN,
                "--bits": bits is not None,
                "--dimension": dimension is not None,
                "--compression": compression != 1,
                "--dropout": dropout != DROPOUT,
                "--adversarial": adversarial != ADVERSARIAL,
                "--minimum-contributors": minimum_contributors is not None,
                "--adversary": adversary != Adversary.CURIOUS,
                "--table": table,
                "--html": html is not None,
            }
        )
        with Ledger.open_to_read(ledger_file(ledger)) as opened:
            further = plan_rounds(opened, rounds=rounds, cohort=cohort, cap=cap)
        sys.stdout.write(further.as_json() + "\n" if as_json else further.as_text(width=columns))
        return
    if clients is None:
        raise ConfigurationError("--clients: expected the size of the population, found none. Give it, or --ledger.")
    if mechanism not in (GAUSSIAN, *LatticeNoise):
        choices = ", ".join((GAUSSIAN, *LatticeNoise))
        raise ConfigurationError(
            f"--mechanism: expected one of {choices}, found {escaped(mechanism)}. Use one of these."
        )
    if per_round is not None:
        if sampling is not None:
            raise ConfigurationError(
                "--per-round and --sampling: expected at most one of them, found both. --sampling is --per-round over "
                "--clients. Give one."
            )
        if not 1 <= per_round <= clients:
            raise ConfigurationError(
                f"--per-round: expected 1 to {clients}, the number of clients, found {per_round}. Use a number in this "
                "range."
            )
        sampling = per_round / clients
    request = BudgetRequest(
        clients=clients,
        rounds=rounds,
        noise_multiplier=noise_multiplier,
        epsilon=epsilon,
        delta=delta,
        cohort=cohort,
        cap=cap,
        sampling=sampling,
        more_rounds=more_rounds,
        mechanism=GAUSSIAN if mechanism == GAUSSIAN else LatticeNoise(mechanism),
        bits=bits,
        dimension=dimension,
        compression=compression,
        dropout=dropout,
        adversarial=adversarial,
        minimum_contributors=minimum_contributors,
        adversary=check_choice("--adversary", adversary, Adversary, among=SERVERS),
    )
    if html is not None:
        require_extra()
        check_output_file("--html", html)
    found = plan(request, table=table or html is not None)
    if html is not None:
        write_output_file("--html", html, as_html(found))
    sys.stdout.write(found.as_json() + "\n" if as_json else as_text(found, width=columns))


def _refuse_with_ledger(given: Mapping[str, bool]) -> None:
    """Refuse options that do not apply with a ledger, whose budget and population are fixed.

    Raises:
        ConfigurationError: Such an option is given.
    """
    for option, found in given.items():
        if found:
            raise ConfigurationError(
                f"{option}: expected none with --ledger, found one: the ledger says what may be spent, and on whom. "
                "Leave it out."
            )
