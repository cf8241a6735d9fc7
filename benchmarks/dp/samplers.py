"""How fast exact noise is drawn: samples a second of one core, beside what others draw in its place.

Beside the discrete Gaussian, OpenDP's (the sampler of arXiv 2004.00010 in Rust, called through its Python interface,
which takes and gives lists: a twelfth of its time) and numpy's continuous Gaussian, which is neither exact nor drawn
from a cryptographic stream.  Beside the Skellam, the difference of numpy's Poisson samples.  Where OpenDP is not
installed its column is empty.
"""

import importlib.util
import statistics
from collections.abc import Callable
from functools import partial
from operator import truediv
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from benchmarks.timing import took
from dp.noise.discrete_gaussian import discrete_gaussian
from dp.noise.skellam import skellam

SCALES: Final = {"discrete Gaussian": (10.0, 1e3, 1e6), "Skellam": (10.0, 1e3, 1e6, 1e9)}
LEAST_RATE: Final = 3e6
OPENDP_FEWER: Final = 100

Draw = Callable[[float, int], object]


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Samples a second of processor time; medians over the repeats.

    Attributes:
        law: Which noise.
        scale: Sigma of the discrete Gaussian, variance of the Skellam.
        ours: Of this package.
        numpy: Of numpy's Gaussian, or of the difference of its Poisson samples.
        opendp: Of OpenDP's discrete Gaussian; None where it is not installed, and for the Skellam, which it lacks.
        over_numpy: Median of ours over numpy's in the same repeat.
        over_opendp: Median of ours over OpenDP's in the same repeat.
        first_ms: What the first sample of a scale takes in this process, table included.
        target: What ours should reach, at least.
    """

    law: str
    scale: float
    ours: float
    numpy: float
    opendp: float | None
    over_numpy: float
    over_opendp: float | None
    first_ms: float
    target: float


def measure_rates(*, samples: int, repeats: int) -> list[Rate]:
    """All laws and scales.

    Args:
        samples: Of each call; OpenDP is asked for a hundredth.
        repeats: Of each row, all sides in turn in each.
    """
    opendp = _opendp_gaussian if importlib.util.find_spec("opendp") is not None else None
    return [
        _measure(law, scale, (ours, numpy, theirs), samples, repeats)
        for law, ours, numpy, theirs in (
            ("discrete Gaussian", discrete_gaussian, _numpy_gaussian, opendp),
            ("Skellam", skellam, _numpy_skellam, None),
        )
        for scale in SCALES[law]
    ]


def _measure(law: str, scale: float, draws: tuple[Draw, Draw, Draw | None], samples: int, repeats: int) -> Rate:
    ours, numpy, opendp = draws
    first_s = took(partial(ours, scale, 1))
    if opendp is not None:
        opendp(scale, 1)  # imports it
    beside: dict[str, list[float]] = {"numpy": [], "opendp": []}
    rates = []
    for _ in range(repeats):
        rates.append(samples / took(partial(ours, scale, samples)))
        beside["numpy"].append(samples / took(partial(numpy, scale, samples)))
        if opendp is not None:
            fewer = samples // OPENDP_FEWER
            beside["opendp"].append(fewer / took(partial(opendp, scale, fewer)))
    medians = {name: statistics.median(each) for name, each in beside.items() if each}
    ratios = {name: statistics.median(map(truediv, rates, beside[name])) for name in medians}
    return Rate(
        law=law,
        scale=scale,
        ours=statistics.median(rates),
        numpy=medians["numpy"],
        opendp=medians.get("opendp"),
        over_numpy=ratios["numpy"],
        over_opendp=ratios.get("opendp"),
        first_ms=1e3 * first_s,
        target=LEAST_RATE,
    )


def _numpy_gaussian(sigma: float, size: int) -> NDArray[np.float64]:
    return np.random.default_rng().normal(0, sigma, size)


def _numpy_skellam(variance: float, size: int) -> NDArray[np.int64]:
    generator = np.random.default_rng()
    return generator.poisson(variance / 2, size) - generator.poisson(variance / 2, size)


def _opendp_gaussian(sigma: float, size: int) -> list[int]:
    import opendp.prelude as opendp

    opendp.enable_features("contrib")
    domain, metric = opendp.vector_domain(opendp.atom_domain(T="i64")), opendp.l2_distance(T="i64")
    noised: list[int] = opendp.m.make_gaussian(domain, metric, scale=sigma)([0] * size)
    return noised


def rate_table(rates: list[Rate]) -> Table:
    """One line for each law and scale."""
    title = "million samples a second, one core; by sigma, or variance for the Skellam"
    shown = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("noise", "scale", "ours", "numpy", "OpenDP", "/ numpy", "/ OpenDP", "first\nms", ""):
        shown.add_column(heading, justify="left" if heading == "noise" else "right", no_wrap=True)
    for rate in rates:
        shown.add_row(
            rate.law,
            f"{rate.scale:g}",
            f"{rate.ours / 1e6:.1f}",
            f"{rate.numpy / 1e6:.1f}",
            "" if rate.opendp is None else f"{rate.opendp / 1e6:.3f}",
            f"{rate.over_numpy:.2f}",
            "" if rate.over_opendp is None else f"{rate.over_opendp:,.0f}",
            f"{rate.first_ms:.1f}",
            "met" if rate.ours >= rate.target else "MISSED",
        )
    return shown
