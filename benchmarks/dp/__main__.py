"""What differential privacy costs: `python -m benchmarks.dp --json benchmarks/results/dp.json`.

Samplers, a client's part of a private round, accounting and calibration, each set beside what others use in its place;
see the modules named `dp_...`.  Processor time of one core; what carries over to other machines are the ratios, each
taken within one run.
"""

import benchmarks.masking.core  # noqa: F401, I001  # before numpy

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console

from benchmarks.dp.accounting import (
    MULTIPLIERS,
    Account,
    Calibration,
    account_table,
    calibration_table,
    measure_accounts,
    measure_calibrations,
)
from benchmarks.dp.contribution import Contribution, contribution_table, measure_contributions
from benchmarks.dp.samplers import Rate, measure_rates, rate_table
from benchmarks.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured.

    Attributes:
        samples: Of each call of a sampler.
        lengths: Of the updates.
        sampling_rates: Of the releases to account for.
        releases: How many of them.
        repeats: Of everything.
    """

    samples: int
    lengths: tuple[int, ...]
    sampling_rates: tuple[float, ...]
    releases: int
    repeats: int


FULL: Final = Effort(
    samples=2_000_000, lengths=(1_000_000, 10_000_000), sampling_rates=tuple(MULTIPLIERS), releases=1500, repeats=5
)
SMOKE: Final = Effort(samples=20_000, lengths=(1_000,), sampling_rates=(1.0,), releases=2, repeats=1)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured.

    Attributes:
        machine: Where.
        rates: Of the samplers.
        contributions: A client's part of a round.
        accounts: Accounting.
        calibrations: Searches for the least noise.
    """

    machine: Machine
    rates: list[Rate]
    contributions: list[Contribution]
    accounts: list[Account]
    calibrations: list[Calibration]


def measure(effort: Effort) -> Report:
    """All of it."""
    accounted: dict[str, Any] = {
        "sampling_rates": effort.sampling_rates,
        "releases": effort.releases,
        "repeats": effort.repeats,
    }
    libraries = ["numpy", "scipy", "cryptography", "dp-accounting"]
    if importlib.util.find_spec("opendp") is not None:
        libraries.append("opendp")
    with Console(stderr=True).status("measuring, some minutes"):
        return Report(
            machine=Machine.here(libraries),
            rates=measure_rates(samples=effort.samples, repeats=effort.repeats),
            contributions=measure_contributions(lengths=effort.lengths, repeats=effort.repeats),
            accounts=measure_accounts(**accounted),
            calibrations=measure_calibrations(**accounted),
        )


def main(
    json: Annotated[Path | None, typer.Option(help="Also write the figures here.")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Only see whether everything runs; no figure is one.")] = False,
) -> None:
    """Measure samplers, a client's part of a round, accounting and calibration."""
    report = measure(SMOKE if smoke else FULL)
    console = Console()
    for table in (
        rate_table(report.rates),
        contribution_table(report.contributions),
        account_table(report.accounts),
        calibration_table(report.calibrations),
    ):
        console.print(table)
        console.print()
    console.print(f"{report.machine}", highlight=False)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    typer.run(main)
