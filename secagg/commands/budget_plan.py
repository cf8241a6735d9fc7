"""What the command `secagg budget plan` does, from its arguments to its words."""

import sys
from pathlib import Path

from dp.noise.distributed import LatticeNoise
from protocols import Adversary
from secagg.checks import check_choice
from secagg.errors import ConfigurationError
from secagg.files import write_whole
from secagg.paths import escaped, expanded
from secagg.planning.budget.page import as_html
from secagg.planning.budget.plan import plan
from secagg.planning.budget.request import GAUSSIAN, BudgetRequest
from secagg.planning.budget.rows import as_text


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
    dropout: float,
    adversarial: float,
    minimum_contributors: int | None,
    adversary: str,
    table: bool,
    as_json: bool,
    html: Path | None,
) -> None:
    """Print what rounds will cost, or what noise they need, with `table` also by rounds and noise; write a page.

    The arguments are those of `BudgetRequest`, and where to write.

    Raises:
        ConfigurationError: The arguments do not fit together, or the page cannot be written.
        dp.errors.DpError: A number is out of range, no noise reaches the epsilon, or an extra is missing.
    """
    if clients is None:
        raise ConfigurationError("--clients: expected the size of the population, found none. Give it.")
    if mechanism not in (GAUSSIAN, *LatticeNoise):
        choices = ", ".join((GAUSSIAN, *LatticeNoise))
        raise ConfigurationError(f"--mechanism: expected one of {choices}, found {escaped(mechanism)}.")
    if per_round is not None:
        if sampling is not None:
            raise ConfigurationError(
                "--per-round and --sampling: expected at most one of them, found both. --sampling is --per-round over "
                "--clients. Give one."
            )
        if not 1 <= per_round <= clients:
            raise ConfigurationError(f"--per-round: expected 1 to {clients}, the number of clients, found {per_round}.")
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
        dropout=dropout,
        adversarial=adversarial,
        minimum_contributors=minimum_contributors,
        adversary=check_choice("--adversary", adversary, Adversary),
    )
    found = plan(request, table=table or html is not None)
    if html is not None:
        _write_page(html, as_html(found))
    sys.stdout.write(found.as_json() + "\n" if as_json else as_text(found))


def _write_page(path: Path, page: str) -> None:
    file = expanded(path)
    try:
        write_whole(file, lambda partial: partial.write_text(page, encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"--html: expected a file that can be written, found {escaped(str(path))}: {error.strerror}. Name another "
            "file."
        ) from None
