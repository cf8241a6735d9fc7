"""Samples of examples: whether each takes part independently, with the probability that the accounting assumes.

All three checks use that memberships are independent coins of one known probability q: the size of a step's sample and
an example's number of steps are binomial, and two steps have a binomial number of examples in common. Dispersions are
compared by `statistics.variance_p` with the exact moments of the binomial law; overlaps and totals by exact binomial
tails.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from protocols.crypto.entropy import Entropy
from secagg.audit.attack import LEVEL_OF_ATTEMPT, Attack, Layer, Level, Plan, Result
from secagg.audit.claims import Claim, claimed
from secagg.audit.mechanisms.law import Moments
from secagg.audit.mechanisms.statistics import POWER_OF_ATTEMPT, in_words, variance_p
from secagg.audit.seeds import Tape
from secagg.audit.subject import Subject
from secagg.models.poisson import poisson_sample

EXAMPLES: Final = 2000
RATE: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A training's request for samples.

    Attributes:
        examples: The number of examples.
        rate: The probability with which each takes part in a step.
        steps: The number of steps.
    """

    examples: int
    rate: float
    steps: int


Samples = Callable[[Schedule, Entropy], Sequence[NDArray[np.int64]]]
"""Returns, for each step, the positions of the examples that take part."""


class SamplingSubject(Subject):
    """A source of the samples of a training's steps.

    Args:
        samples: Draws the samples of all steps.
        name: The name in reports.
        claims: What the samples claim.
    """

    kind: ClassVar[str] = "mechanism"

    def __init__(self, samples: Samples, *, name: str, claims: Sequence[Claim] | None = None) -> None:
        self.name = name
        self.claims = claimed("C-23") if claims is None else tuple(claims)
        self.samples = samples


def poisson_samples(schedule: Schedule, entropy: Entropy) -> list[NDArray[np.int64]]:
    """Return the samples of all steps, drawn as example-level training draws them."""
    return [poisson_sample(schedule.examples, schedule.rate, entropy) for _ in range(schedule.steps)]


class _OfSamples(Attack[SamplingSubject]):
    """A check of the samples of some steps."""

    layer = Layer.MECHANISM
    tests = ("C-23",)
    subjects = SamplingSubject
    statistical = True
    steps: ClassVar[dict[Level, int]] = {Level.QUICK: 200, Level.FULL: 2000}

    def plan(self, subject: SamplingSubject, level: Level) -> Plan:
        """Return the number of steps and the cost."""
        schedule = Schedule(examples=EXAMPLES, rate=RATE, steps=self.steps[level])
        return Plan(trials=schedule.steps, power=self.power(schedule), cpu_s=0.05, details=schedule)

    @abstractmethod
    def power(self, schedule: Schedule) -> str:
        """Return what is rejected with 99% probability."""

    def drawn(self, subject: SamplingSubject, plan: Plan, seed: bytes) -> list[NDArray[np.int64]]:
        """Return the samples of all steps."""
        samples = [np.asarray(sample) for sample in subject.samples(plan.details, Tape(seed))]
        if len(samples) != plan.details.steps:
            raise ValueError(f"samples: expected {plan.details.steps}, found {len(samples)}")
        return samples


class SampleSizes(_OfSamples):
    """The sizes of the samples: their total, and how much they vary."""

    id = "mechanism.sampling.sizes"
    title = "The mean and the variance of the sample sizes are compared with the binomial distribution"

    def power(self, schedule: Schedule) -> str:
        """Return what is rejected with 99% probability."""
        moments = binomial_moments(schedule.examples, schedule.rate)
        return in_words(schedule.steps, moments, tests=2, what="sizes", law="binomial")

    def run(self, subject: SamplingSubject, plan: Plan, seed: bytes) -> Result:
        """Draw, and compare total and variance."""
        schedule: Schedule = plan.details
        sizes = np.array([sample.size for sample in self.drawn(subject, plan, seed)], dtype=np.float64)
        moments = binomial_moments(schedule.examples, schedule.rate)
        squares = float(((sizes - schedule.examples * schedule.rate) ** 2).sum())
        total = two_sided(int(sizes.sum()), schedule.examples * schedule.steps, schedule.rate)
        found = {"variance": variance_p(squares, schedule.steps, moments), "total": total}
        where = min(found, key=found.__getitem__)
        return Result(
            statistic="variance of the sizes over the binomial one",
            value=squares / schedule.steps / moments.variance,
            p_value=min(2 * found[where], 1.0),
            evidence=f"The {where} of the sizes of {schedule.steps} samples is not binomial: mean {sizes.mean():.6g}, "
            f"variance {squares / schedule.steps:.6g}, for {schedule.examples} examples at a rate of {schedule.rate}.",
        )


class ExampleCounts(_OfSamples):
    """How often each example takes part in an epoch's steps."""

    id = "mechanism.sampling.counts"
    title = "The number of steps that use each example in an epoch is compared with the binomial distribution"
    steps: ClassVar[dict[Level, int]] = {Level.QUICK: round(1 / RATE), Level.FULL: round(1 / RATE)}

    def power(self, schedule: Schedule) -> str:
        """Return what is rejected with 99% probability."""
        moments = binomial_moments(schedule.steps, schedule.rate)
        return in_words(schedule.examples, moments, what="counts", law="binomial")

    def run(self, subject: SamplingSubject, plan: Plan, seed: bytes) -> Result:
        """Draw an epoch, and compare the variance of the examples' counts."""
        schedule: Schedule = plan.details
        counts = np.zeros(schedule.examples)
        for sample in self.drawn(subject, plan, seed):
            np.add.at(counts, sample, 1)
        moments = binomial_moments(schedule.steps, schedule.rate)
        squares = float(((counts - schedule.steps * schedule.rate) ** 2).sum())
        return Result(
            statistic="variance of the examples' counts over the binomial one",
            value=squares / schedule.examples / moments.variance,
            p_value=variance_p(squares, schedule.examples, moments),
            evidence=f"In an epoch of {schedule.steps} steps, the counts of {schedule.examples} examples have "
            f"the variance {squares / schedule.examples:.6g}; independent coins give {moments.variance:.6g}.",
        )


class StepOverlaps(_OfSamples):
    """How many examples two consecutive steps have in common."""

    id = "mechanism.sampling.steps"
    title = "The number of examples that consecutive steps share is compared with the binomial distribution"

    def power(self, schedule: Schedule) -> str:
        """Return what is rejected with 99% probability."""
        return f"a correlation of memberships of {detected_overlap(schedule):.2g} or more"

    def run(self, subject: SamplingSubject, plan: Plan, seed: bytes) -> Result:
        """Draw, and count the examples that are in both steps of each pair."""
        schedule: Schedule = plan.details
        samples = self.drawn(subject, plan, seed)
        shared = sum(np.intersect1d(samples[at], samples[at + 1]).size for at in range(0, schedule.steps - 1, 2))
        pairs = schedule.examples * (schedule.steps // 2)
        return Result(
            statistic="examples shared by consecutive steps, over those expected",
            value=shared / (pairs * schedule.rate**2),
            p_value=two_sided(shared, pairs, schedule.rate**2),
            evidence=f"{schedule.steps // 2} pairs of consecutive steps share {shared} examples; independent samples "
            f"share {pairs * schedule.rate**2:.6g} on average.",
        )


def two_sided(count: int, trials: int, probability: float) -> float:
    """Return twice the smaller exact binomial tail, at most 1."""
    law = stats.binom(trials, probability)
    return min(2 * float(min(law.cdf(count), law.sf(count - 1))), 1.0)


def detected_overlap(schedule: Schedule) -> float:
    """Return the correlation of memberships of two steps that one attempt detects with `POWER_OF_ATTEMPT`, exactly."""
    pairs, rate = schedule.examples * (schedule.steps // 2), schedule.rate
    least = int(stats.binom.isf(LEVEL_OF_ATTEMPT / 2, pairs, rate**2)) + 1
    shared = float(special.betaincinv(least, pairs - least + 1, POWER_OF_ATTEMPT))
    return (shared - rate**2) / (rate * (1 - rate))


def binomial_moments(trials: int, probability: float) -> Moments:
    """Return the variance and the fourth cumulant of the binomial law."""
    variance = trials * probability * (1 - probability)
    return Moments(variance=variance, fourth=variance * (1 - 6 * probability * (1 - probability)))


SAMPLING: Final = (SampleSizes(), ExampleCounts(), StepOverlaps())
