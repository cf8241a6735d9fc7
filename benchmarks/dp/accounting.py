"""What accounting costs, beside dp-accounting used directly, and how long noise takes to calibrate.

Every figure is of a first call: caches are emptied before it, and the libraries loaded.  dp-accounting has no event for
lattice noise; what it does for the continuous Gaussian with the same noise multiplier stands beside all.
"""

import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

import dp_accounting
import dp_accounting.pld
import dp_accounting.rdp
import msgspec
from rich import box
from rich.table import Table

from benchmarks.timing import took
from dp.accounting.guarantee import guarantee
from dp.calibration.least_noise import calibrate_gaussian, calibrate_noise
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    NoisyEvent,
    PoissonSampledEvent,
    SkellamEvent,
)
from dp.noise.distributed import DistributedDiscreteGaussian, DistributedSkellam

POPULATION: Final = 3400
PER_ROUND: Final = 100
DIMENSION: Final = 2**20
L2_SENSITIVITY: Final = 1e4
DELTA: Final = 1 / POPULATION
EPSILON: Final = 6.0
RELATION: Final = NeighbouringRelation.ADD_OR_REMOVE_ONE
MULTIPLIERS: Final = {1.0: 40.0, PER_ROUND / POPULATION: 1.0}
"""By sampling rate, the noise multiplier that is accounted for."""

MOST_RDP_S: Final = 0.5
MOST_PLD_S: Final = 3.0

_Key = TypeVar("_Key")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Releases of one kind, accounted; medians over the repeats.

    Attributes:
        accountant: This package's, or one of dp-accounting's, with its own orders or a grid of 1e-4.
        noise: Which.
        sampling_rate: Of everybody, in each release; 1 where all take part.
        noise_multiplier: Of each release.
        releases: How many.
        seconds: Of processor time.
        epsilon: At `DELTA`.
    """

    accountant: str
    noise: str
    sampling_rate: float
    noise_multiplier: float
    releases: int
    seconds: float
    epsilon: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """How long one search for the least noise takes.

    Attributes:
        noise: Which; the Gaussian is accounted by privacy loss distributions, lattice noise by Renyi DP.
        sampling_rate: As in `Account`.
        releases: As in `Account`.
        seconds: Of processor time, median over the repeats.
        noise_multiplier: That was found, for `EPSILON` at `DELTA`.
        target: What the seconds should stay under.
    """

    noise: str
    sampling_rate: float
    releases: int
    seconds: float
    noise_multiplier: float
    target: float


def events(multiplier: float) -> dict[str, NoisyEvent]:
    """Each noise with this multiplier, the lattice's from `PER_ROUND` contributors, by name."""
    deviation = multiplier * L2_SENSITIVITY
    return {
        "Gaussian": GaussianEvent(noise_multiplier=multiplier, relation=RELATION),
        "discrete Gaussian": DistributedDiscreteGaussianEvent(
            local_sigma=deviation / PER_ROUND**0.5,
            contributors=PER_ROUND,
            l2_sensitivity=L2_SENSITIVITY,
            dimension=DIMENSION,
            relation=RELATION,
        ),
        "Skellam": SkellamEvent(
            variance=deviation**2,
            contributors=PER_ROUND,
            l2_sensitivity=L2_SENSITIVITY,
            dimension=DIMENSION,
            relation=RELATION,
        ),
    }


def measure_accounts(*, sampling_rates: tuple[float, ...], releases: int, repeats: int) -> list[Account]:
    """Every noise at every rate.

    Args:
        sampling_rates: Of `MULTIPLIERS`.
        releases: How many rounds.
        repeats: Of each rate, all accountants in turn in each.
    """
    accounts = []
    for rate in sampling_rates:
        multiplier = MULTIPLIERS[rate]
        works = {
            **{("ours", noise): partial(_ours, event, rate, releases) for noise, event in events(multiplier).items()},
            ("dp-accounting, RDP", "Gaussian"): partial(_renyi, multiplier, rate, releases),
            ("dp-accounting, PLD", "Gaussian"): partial(_losses, multiplier, rate, releases),
        }
        accounts += [
            Account(
                accountant=accountant,
                noise=noise,
                sampling_rate=rate,
                noise_multiplier=multiplier,
                releases=releases,
                seconds=seconds,
                epsilon=epsilon,
            )
            for (accountant, noise), (seconds, epsilon) in _medians(works, repeats).items()
        ]
    return accounts


def _ours(event: NoisyEvent, rate: float, releases: int) -> float:
    each = event if rate == 1 else PoissonSampledEvent(sampling_rate=rate, event=event)
    return guarantee({each: releases}, delta=DELTA, relation=RELATION).epsilon


def _renyi(multiplier: float, rate: float, releases: int) -> float:
    accountant = dp_accounting.rdp.RdpAccountant()
    return float(accountant.compose(_theirs(multiplier, rate), releases).get_epsilon(DELTA))


def _losses(multiplier: float, rate: float, releases: int) -> float:
    accountant = dp_accounting.pld.PLDAccountant()
    return float(accountant.compose(_theirs(multiplier, rate), releases).get_epsilon(DELTA))


def _theirs(multiplier: float, rate: float) -> Any:
    gaussian = dp_accounting.GaussianDpEvent(multiplier)
    return gaussian if rate == 1 else dp_accounting.PoissonSampledDpEvent(rate, gaussian)


def measure_calibrations(*, sampling_rates: tuple[float, ...], releases: int, repeats: int) -> list[Calibration]:
    """The least of every noise for one budget, at every rate.

    Args:
        sampling_rates: Above 0 and at most 1.
        releases: How many rounds.
        repeats: Of each rate, all searches in turn in each.
    """
    calibrations = []
    for rate in sampling_rates:
        found = _medians(_searches(rate, releases), repeats)
        calibrations += [
            Calibration(
                noise=noise,
                sampling_rate=rate,
                releases=releases,
                seconds=seconds,
                noise_multiplier=multiplier,
                target=MOST_PLD_S if noise == "Gaussian" else MOST_RDP_S,
            )
            for noise, (seconds, multiplier) in found.items()
        ]
    return calibrations


def _searches(rate: float, releases: int) -> dict[str, Callable[[], float]]:
    budget: dict[str, Any] = {
        "epsilon": EPSILON,
        "delta": DELTA,
        "releases": releases,
        "relation": RELATION,
        "sampling_rate": rate,
    }
    lattice = budget | {
        "l2_sensitivity": L2_SENSITIVITY,
        "dimension": DIMENSION,
        "minimum_contributors": PER_ROUND,
    }
    return {
        "Gaussian": lambda: calibrate_gaussian(**budget),
        "discrete Gaussian": lambda: calibrate_noise(DistributedDiscreteGaussian, **lattice).noise_multiplier,
        "Skellam": lambda: calibrate_noise(DistributedSkellam, **lattice).noise_multiplier,
    }


def _medians(works: Mapping[_Key, Callable[[], float]], repeats: int) -> dict[_Key, tuple[float, float]]:
    """The median seconds and the result of each, all of them in turn in each repeat, as first calls."""
    results: dict[_Key, float] = {}

    def keep(key: _Key) -> None:
        results[key] = works[key]()

    seconds: dict[_Key, list[float]] = {key: [] for key in works}
    for _ in range(repeats):
        for key in works:
            forget()
            seconds[key].append(took(partial(keep, key)))
    return {key: (statistics.median(seconds[key]), results[key]) for key in works}


def forget() -> None:
    """Empty every cache of the package `dp`, so that the next call is a first one."""
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "dp"]
    for value in {id(value): value for module in modules for value in vars(module).values()}.values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()


def account_table(accounts: list[Account]) -> Table:
    """One line for each kind of release and accountant."""
    title = f"accounting {accounts[0].releases:,} releases, delta 1/{POPULATION:,}"
    shown = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("noise", "sampled", "multiplier", "accountant", "ms", "epsilon"):
        shown.add_column(heading, justify="left" if heading in ("noise", "accountant") else "right", no_wrap=True)
    for each in accounts:
        shown.add_row(
            each.noise,
            f"{each.sampling_rate:.1%}",
            f"{each.noise_multiplier:g}",
            each.accountant,
            f"{1e3 * each.seconds:,.1f}",
            f"{each.epsilon:.4f}",
        )
    return shown


def calibration_table(calibrations: list[Calibration]) -> Table:
    """One line for each kind of noise."""
    title = f"least noise for epsilon {EPSILON:g}, {calibrations[0].releases:,} releases, delta 1/{POPULATION:,}"
    shown = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("noise", "sampled", "multiplier", "ms", "at most", ""):
        shown.add_column(heading, justify="left" if heading == "noise" else "right", no_wrap=True)
    for each in calibrations:
        shown.add_row(
            each.noise,
            f"{each.sampling_rate:.1%}",
            f"{each.noise_multiplier:.4f}",
            f"{1e3 * each.seconds:,.1f}",
            f"{1e3 * each.target:,.0f}",
            "met" if each.seconds <= each.target else "MISSED",
        )
    return shown
