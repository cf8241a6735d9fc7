"""Checks of drawn noise: its variance, its fit to the exact law, and the independence of draws."""

import math
from typing import ClassVar, Final

import numpy as np

from secagg.audit.attack import Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.mechanisms.law import DiscreteGaussianLaw
from secagg.audit.mechanisms.statistics import (
    Cells,
    correlation_p,
    count_for,
    detected_correlation,
    in_words,
    least_count,
    least_pairs,
    variance_p,
)
from secagg.audit.mechanisms.subject import MechanismSubject
from secagg.audit.seeds import Tape

_SECONDS_OF_A_VALUE: Final = 5e-8


class Variance(Attack[MechanismSubject]):
    """The sum of squares of many draws."""

    id = "mechanism.variance"
    title = "The variance of drawn noise is compared with that of the claimed distribution, in both directions"
    layer = Layer.MECHANISM
    tests = ("C-15",)
    subjects = MechanismSubject
    statistical = True
    sizes: ClassVar[dict[Level, int]] = {Level.QUICK: 200_000, Level.FULL: 2_000_000}
    most: ClassVar[int] = 20_000_000

    def plan(self, subject: MechanismSubject, level: Level) -> Plan | Inapplicable:
        """Return sample size and cost."""
        moments = subject.law.moments
        count = max(self.sizes[level], least_count(moments))
        if count > self.most:
            return Inapplicable(
                why=f"A variance of {moments.variance:.3g} is that of noise which is almost always zero: a test of "
                f"variance would need {count:.3g} values."
            )
        return Plan(trials=count, power=in_words(count, moments), cpu_s=count * _SECONDS_OF_A_VALUE)

    def run(self, subject: MechanismSubject, plan: Plan, seed: bytes) -> Result:
        """Draw, and compare the sum of squares."""
        squares = 0.0
        for piece in subject.pieces(plan.trials, Tape(seed)):
            values = piece.astype(np.float64)
            squares += float(values @ values)
        moments = subject.law.moments
        found = squares / plan.trials
        return Result(
            statistic="variance over the claimed one",
            value=found / moments.variance,
            p_value=variance_p(squares, plan.trials, moments),
            evidence=f"{plan.trials} values have the variance {found:.6g}; {subject.law.words} has "
            f"{moments.variance:.6g}.",
        )


class RoundedVariance(Variance):
    """A test of variance that is large enough to find a rounded normal of the same sigma.

    Rounding adds 1/12 to the variance. From a width of about 10 on, more values would be needed than can be drawn, and
    only an exact twin tells the two apart.
    """

    id = "mechanism.variance.rounded"
    title = "The variance of drawn noise is compared with that of a rounded normal of the same sigma"
    most: ClassVar[int] = 100_000_000

    def plan(self, subject: MechanismSubject, level: Level) -> Plan | Inapplicable:
        """Return sample size and cost."""
        moments = subject.law.moments
        needed = count_for(1 + 1 / (12 * moments.variance), moments)
        if needed > self.most:
            return Inapplicable(
                why=f"To tell a rounded normal from {subject.law.words} by its variance, {needed:.2g} values would be "
                "needed. Only a comparison with an exact computation can."
            )
        if level is Level.QUICK and not isinstance(subject.law, DiscreteGaussianLaw):
            return Inapplicable(why="At the quick level, only noise that claims to be discrete Gaussian is tested.")
        if needed <= Variance.sizes[level]:
            return Inapplicable(why=f"The check {Variance.id} draws enough values at this level.")
        # The size in the table of planted bugs; the rest is a reserve.
        count = min(self.most, 10 ** math.ceil(math.log10(needed)))
        return Plan(
            trials=count,
            power=f"a rounded normal of the same sigma; {in_words(count, moments)}",
            cpu_s=count * _SECONDS_OF_A_VALUE,
        )


class Fit(Attack[MechanismSubject]):
    """Pearson's test against the exact probability function."""

    id = "mechanism.fit"
    title = "Drawn noise is compared with its exact probability function, tails included"
    layer = Layer.MECHANISM
    tests = ("C-15",)
    subjects = MechanismSubject
    statistical = True
    sizes: ClassVar[dict[Level, int]] = {Level.QUICK: 200_000, Level.FULL: 4_000_000}

    def plan(self, subject: MechanismSubject, level: Level) -> Plan | Inapplicable:
        """Return sample size and cost."""
        count = self.sizes[level]
        cells = Cells(subject.law, count)
        if cells.expected.size < 2:
            return Inapplicable(why=f"{count} values of {subject.law.words} nearly all fall on one integer.")
        return Plan(
            trials=count,
            power=f"probabilities of which the chi-square distance is {cells.detected(count):.2g} or more",
            cpu_s=count * _SECONDS_OF_A_VALUE,
            details=cells,
        )

    def run(self, subject: MechanismSubject, plan: Plan, seed: bytes) -> Result:
        """Draw, count, and compare."""
        cells: Cells = plan.details
        counts = sum(cells.counts(piece) for piece in subject.pieces(plan.trials, Tape(seed)))
        statistic, p_value = cells.p_value(np.asarray(counts))
        worst = int(np.argmax((counts - cells.expected) ** 2 / cells.expected))
        return Result(
            statistic=f"Pearson's chi-square of {cells.expected.size} cells",
            value=statistic,
            p_value=p_value,
            evidence=f"Cell {worst} of {cells.expected.size}, in ascending order, has {int(np.asarray(counts)[worst])} "
            f"of {plan.trials} values; {subject.law.words} gives it {cells.expected[worst]:.6g}.",
        )


class DrawCorrelation(Attack[MechanismSubject]):
    """Two draws of one source, and neighbouring values of one draw."""

    id = "mechanism.draws"
    title = "Two draws from one source, and adjacent values of one draw, are tested for correlation"
    layer = Layer.MECHANISM
    tests = ("C-16",)
    subjects = MechanismSubject
    statistical = True
    tested: ClassVar[int] = 2

    def plan(self, subject: MechanismSubject, level: Level) -> Plan | Inapplicable:
        """Return sample size and cost."""
        count = max({Level.QUICK: 20_000, Level.FULL: 1_000_000}[level], least_pairs(subject.law.moments))
        if count > Variance.most // 2:
            return Inapplicable(
                why="The noise is almost always zero, so that a correlation would need too many values."
            )
        return Plan(
            trials=count,
            power=f"a correlation of {detected_correlation(count, tests=self.tested):.2g} or more",
            cpu_s=2 * count * _SECONDS_OF_A_VALUE,
        )

    def run(self, subject: MechanismSubject, plan: Plan, seed: bytes) -> Result:
        """Draw twice, and correlate."""
        entropy = Tape(seed)
        one, other = (subject.draw(plan.trials, entropy).astype(np.float64) for _ in range(2))
        found = {
            "two draws": correlation_p(one, other),
            "adjacent values of one draw": correlation_p(one[:-1], one[1:]),
        }
        where = min(found, key=found.__getitem__)
        return Result(
            statistic="smallest p value of the correlations",
            value=found[where],
            p_value=min(self.tested * found[where], 1.0),
            evidence=f"Correlated are {where}, {plan.trials} values each.",
        )
