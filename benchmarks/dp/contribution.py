"""What a client's part of a private round costs: rotation, clipping, encoding, and its share of the noise.

The protocol comes after that and is measured elsewhere.  Set beside it is the usual way of adding noise centrally:
clip in float64 and add numpy's Gaussian, in the clear.  Processor time, one core; memory is measured apart, in vectors
of float64, above the update that the caller holds.
"""

import os
import statistics
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from benchmarks.timing import took
from dp.noise.distributed import LatticeNoise
from protocols import SecAggPlus
from secagg.aggregation.mean import SecureMean
from secagg.privacy.noise import Target

CLIENTS: Final = 1000
MINIMUM_CONTRIBUTORS: Final = 900
MODULUS_BITS: Final = 24
EPSILON: Final = 8.0
DELTA: Final = 1e-6
RELEASES: Final = 100
CLIP_L2: Final = 1.0

_FLOAT64_BYTES: Final = 8


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """One client, one round; medians over the repeats.

    Attributes:
        mechanism: Whose noise, or None for none.
        length: Coordinates of the update.
        padded: Coordinates of the vector that is sent.
        seconds: Of processor time.
        over_numpy: Median of the time over numpy's clipping and Gaussian in the same repeat.
        peak_vectors: The most memory above the update itself, in float64 vectors of the length of the update.
    """

    mechanism: LatticeNoise | None
    length: int
    padded: int
    seconds: float
    over_numpy: float
    peak_vectors: float


def measure_contributions(*, lengths: tuple[int, ...], repeats: int) -> list[Contribution]:
    """Every length, without noise and with each mechanism's."""
    return [_measure(length, mechanism, repeats) for length in lengths for mechanism in (None, *LatticeNoise)]


def _measure(length: int, mechanism: LatticeNoise | None, repeats: int) -> Contribution:
    planned, update = _plan(length, mechanism), np.random.default_rng(length).normal(size=length)
    session = planned.session(os.urandom(16))

    def contribute() -> None:
        planned.contribution([update], rotation=planned.rotation(session))

    contribute()  # tables of the noise, pages of memory
    turns = [(took(contribute), took(partial(_noised_by_numpy, update))) for _ in range(repeats)]
    return Contribution(
        mechanism=mechanism,
        length=length,
        padded=planned.encoding.length,
        seconds=statistics.median(ours for ours, _ in turns),
        over_numpy=statistics.median(ours / numpy for ours, numpy in turns),
        peak_vectors=_peak_bytes(contribute) / (_FLOAT64_BYTES * length),
    )


def _plan(length: int, mechanism: LatticeNoise | None) -> SecureMean:
    target = None
    if mechanism is not None:
        target = Target(epsilon=EPSILON, delta=DELTA, releases=RELEASES, colluding=0, mechanism=mechanism)
    return SecureMean.plan(
        protocol=SecAggPlus(neighbours=100, share_threshold=60),
        clients=range(CLIENTS),
        minimum_contributors=MINIMUM_CONTRIBUTORS,
        shapes=[(length,)],
        clip_l2=CLIP_L2,
        modulus_bits=MODULUS_BITS,
        target=target,
    )


def _noised_by_numpy(update: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = update * min(1.0, CLIP_L2 / float(np.linalg.norm(update)))
    clipped += np.random.default_rng().normal(0, CLIP_L2, update.size)
    return clipped


def _peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def contribution_table(contributions: list[Contribution]) -> Table:
    """One line for each length and mechanism."""
    title = f"a client's part of a round modulo 2^{MODULUS_BITS}, one core"
    shown = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("noise", "length", "ms", "ns a\ncoordinate", "over numpy's\nGaussian", "peak,\nvectors"):
        shown.add_column(heading, justify="left" if heading == "noise" else "right", no_wrap=True)
    for each in contributions:
        shown.add_row(
            "none" if each.mechanism is None else str(each.mechanism),
            f"{each.length:,}",
            f"{1e3 * each.seconds:,.1f}",
            f"{1e9 * each.seconds / each.length:.1f}",
            f"{each.over_numpy:.1f}",
            f"{each.peak_vectors:.2f}",
        )
    return shown
