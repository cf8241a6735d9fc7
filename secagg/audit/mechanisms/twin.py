"""Exact twins of the samplers, and the check that compares them word by word.

A wrong comparison of one word in 2^47 cannot be found by statistics. Here the same words go through the sampler and
through a computation in integers and decimal fractions: random words of a tape, and words on both sides of every border
of acceptance.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dp.noise.discrete_gaussian import Bits, KeyStream, sample
from dp.noise.envelope import Envelope
from dp.noise.skellam import PoissonTable
from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.mechanisms.exact_gaussian import ExactGaussian
from secagg.audit.mechanisms.exact_poisson import ExactPoisson
from secagg.audit.mechanisms.steered import Steered
from secagg.audit.mechanisms.subject import MechanismSubject, Twin
from secagg.audit.seeds import Tape


class ExactTwin(Attack[MechanismSubject]):
    """The same words through the sampler and through its exact twin."""

    id = "replay.twin"
    title = (
        "Drawn noise is compared with an exact computation from the same random words, also at all borders of "
        "acceptance"
    )
    layer = Layer.REPLAY
    tests = ("C-15",)
    subjects = MechanismSubject

    def plan(self, subject: MechanismSubject, level: Level) -> Plan | Inapplicable:
        """Return sample size and cost."""
        if subject.twin is None:
            return Inapplicable(
                why="There is no exact computation of this noise to compare with. So small errors cannot be found."
            )
        trials = {Level.QUICK: 100_000, Level.FULL: 2_000_000}[level]
        return Plan(trials=trials, cpu_s=0.3, details=subject.twin)

    def run(self, subject: MechanismSubject, plan: Plan, seed: bytes) -> Result:
        """Compare values from a tape, then values from words at the borders."""
        twin: Twin = plan.details
        differing = _differing(subject.draw(plan.trials, Tape(seed)), twin.exact(plan.trials, KeyStream(Tape(seed))))
        if differing is not None:
            return _rejected(f"value {differing} of {plan.trials} from the words of a tape")
        steered = 0
        for at, queue in enumerate(twin.borders()):
            size = queue[0].size
            steered += size
            label = f"borders {at}"
            differing = _differing(
                twin.sampler(size, Steered(queue, KeyStream(Tape(seed, label)))),
                twin.exact(size, Steered(queue, KeyStream(Tape(seed, label)))),
            )
            if differing is not None:
                return _rejected(f"value {differing} from {size} words at the borders of acceptance")
        return Result(statistic=f"differing values of {plan.trials}, and of {steered} words at borders", value=0.0)


def _differing(one: NDArray[np.int64], other: NDArray[np.int64]) -> int | None:
    if one.shape != other.shape:
        return min(one.size, other.size)
    differing = np.flatnonzero(one != other)
    return int(differing[0]) if differing.size else None


def _rejected(where: str) -> Result:
    return Result(
        statistic="differing values",
        value=1.0,
        threshold=1.0,
        rejected=True,
        evidence=f"The sampler and the exact computation from the same words differ in {where}.",
    )


def gaussian_twin(sigma: float) -> Twin:
    """Return the exact twin of `dp.noise.discrete_gaussian.discrete_gaussian`."""
    envelope = Envelope.of(Fraction(sigma))
    return Twin(
        sampler=lambda size, bits: sample(envelope, size, bits),
        exact=lambda size, bits: ExactGaussian.of(Fraction(sigma)).draw(size, bits),
        borders=lambda: ExactGaussian.of(Fraction(sigma)).borders(),
    )


def skellam_twin(variance: float) -> Twin:
    """Return the exact twin of `dp.noise.skellam.skellam`."""
    mean = Fraction(variance) / 2

    def sampler(size: int, bits: Bits) -> NDArray[np.int64]:
        return PoissonTable.of(mean).draw(size, bits) - PoissonTable.of(mean).draw(size, bits)

    return Twin(
        sampler=sampler,
        exact=lambda size, bits: ExactPoisson.of(mean).differences(size, bits),
        borders=lambda: ExactPoisson.of(mean).borders(),
    )
