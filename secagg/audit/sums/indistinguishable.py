"""Checks that two sets of inputs with the same sum give views that cannot be told apart.

A fixed classifier is trained on one half of the views and judged by an exact binomial test on the other half. Beside
it, a Kolmogorov-Smirnov test compares the two sets in each feature. Both have half of the check's error rate.

The judged views are as many of each set, so that the number of right answers is a sum of two binomial variables, whose
rates of success add up to at most 1 if the sets cannot be told apart. Its upper tail is at most that of fair coins
(Hoeffding, Annals of Mathematical Statistics 27, 1956, cited from memory, and computed for the sizes used). The
Kolmogorov-Smirnov test is exact up to 10,000 views of each set; features with ties make it conservative.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from protocols.session import Vector
from secagg.audit.attack import LEVEL_OF_ATTEMPT, Attack, Inapplicable, Layer, Level, Plan, Result
from secagg.audit.seeds import generator_of
from secagg.audit.sums.cohort import Cohort
from secagg.audit.sums.observation import Numbers, observe
from secagg.audit.sums.subject import SumSubject
from secagg.audit.sums.view import Carrier, probed, smallest

_LENGTH: Final = 4
_FEATURES: Final = 8  # The number of features that the classifier uses: those that differ most in the first half.
_POWER: Final = 0.995


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a comparison of two sets of inputs has fixed.

    Attributes:
        clients: The size of the cohort.
        carrier: Where the masked vectors are; None if the protocol encrypts vectors.
        sessions: The number of sessions, of both sets together.
    """

    clients: int
    carrier: Carrier | None
    sessions: int


class _TwoInputSets(Attack[SumSubject]):
    """The common part: a cohort, two sets of inputs with the same sum, and the comparison of their views."""

    layer = Layer.VIEW
    subjects = SumSubject
    statistical = True
    honest: ClassVar[int] = 2
    colluding: ClassVar[int]
    masked: ClassVar[dict[Level, int]]
    """The number of sessions of a protocol without a committee, of both sets together."""
    encrypted: ClassVar[dict[Level, int]]
    """The number of sessions with ciphertexts, which take ten times as long."""

    def plan(self, subject: SumSubject, level: Level) -> Plan | Inapplicable:
        """See `Attack.plan`."""
        probe = probed(subject)
        if isinstance(probe, Inapplicable):
            return probe
        cohort = smallest(subject, at_least=self.honest + self.colluding, length=_LENGTH)
        if isinstance(cohort, Inapplicable):
            return cohort
        sessions = (self.encrypted if cohort.protocol.needs_committee else self.masked)[level]
        comparison = Comparison(clients=len(cohort.session.clients), carrier=probe.carrier, sessions=sessions)
        return Plan(
            trials=sessions,
            power=f"a linear classifier of the views that is right with probability {0.5 + edge_of(sessions // 2):.2f}",
            cpu_s=sessions * (0.02 if cohort.protocol.needs_committee else 0.005),
            details=comparison,
        )

    def run(self, subject: SumSubject, plan: Plan, seed: bytes) -> Result:
        """See `Attack.run`."""
        comparison: Comparison = plan.details
        cohort = subject.cohort(comparison.clients, length=_LENGTH)
        colluder = cohort.session.clients[-1] if self.colluding else None
        views = [
            [
                observe(cohort, inputs, seed, label=f"{which} {number}", carrier=comparison.carrier, colluder=colluder)
                for number in range(comparison.sessions // 2)
            ]
            for which, inputs in enumerate(two_sets(cohort, seed))
        ]
        features = max(view.size for each in views for view in each)
        one, other = (np.stack([np.pad(view, (0, features - view.size)) for view in each]) for each in views)
        return compared(one, other)


class SameSum(_TwoInputSets):
    """The server's view of two sets of inputs with the same sum."""

    id = "view.same_sum"
    title = "A classifier is trained to tell the server's views of two sets of inputs with the same sum apart"
    tests = ("C-03",)
    colluding: ClassVar[int] = 0
    masked: ClassVar[dict[Level, int]] = {Level.QUICK: 60, Level.FULL: 8_000}
    encrypted: ClassVar[dict[Level, int]] = {Level.QUICK: 32, Level.FULL: 800}


class SameSumColluding(_TwoInputSets):
    """The same comparison for a server that colludes with one client, whose vector is the same in both sets."""

    id = "view.same_sum.colluding"
    title = "A classifier with all secrets of a colluding client is trained to tell two inputs with the same sum apart"
    tests = ("C-04",)
    colluding: ClassVar[int] = 1
    masked: ClassVar[dict[Level, int]] = {Level.QUICK: 40, Level.FULL: 2_000}
    encrypted: ClassVar[dict[Level, int]] = {Level.QUICK: 32, Level.FULL: 400}


def two_sets(cohort: Cohort, seed: bytes) -> tuple[dict[int, Vector], dict[int, Vector]]:
    """Return two sets of inputs with the same sum modulo the modulus; only the first two clients' vectors differ."""
    session, choices = cohort.session, generator_of(seed, "two sets")
    one = {
        client: choices.integers(0, session.modulus, session.length, dtype=np.uint64, endpoint=False)
        for client in session.clients
    }
    first, second, *_ = session.clients
    # With the first client's vector at zero and at the middle, no feature of a plain vector is the same by chance.
    zero, half = np.zeros(session.length, dtype=np.uint64), np.full(session.length, session.modulus // 2, np.uint64)
    moved = np.uint64(session.modulus - 1) - half + np.uint64(1)
    return one | {first: zero, second: zero}, one | {first: half, second: moved}


def compared(one: Numbers, other: Numbers) -> Result:
    """Return the result of the comparison of two samples of views, each of shape `(sessions, features)`."""
    varying = (np.ptp(one, axis=0) > 0) | (np.ptp(other, axis=0) > 0) | (one[0] != other[0])
    one, other = one[:, varying], other[:, varying]
    if not one.shape[1]:
        return Result(statistic="features that differ between any two views", value=0.0, p_value=1.0)
    right, judged = classified(one, other)
    by_classifier = float(stats.binomtest(right, judged, 0.5, alternative="greater").pvalue)
    smallest_ks = min(float(stats.ks_2samp(one[:, at], other[:, at]).pvalue) for at in range(one.shape[1]))
    p_value = min(2 * min(by_classifier, one.shape[1] * smallest_ks), 1.0)
    return Result(
        statistic="p value of classifier and Kolmogorov-Smirnov tests together",
        value=p_value,
        threshold=LEVEL_OF_ATTEMPT,
        p_value=p_value,
        evidence=f"The classifier is right about {right} of {judged} views. The smallest p value of {one.shape[1]} "
        f"Kolmogorov-Smirnov tests is {smallest_ks:.1e}.",
    )


def classified(one: Numbers, other: Numbers) -> tuple[int, int]:
    """Return how many views of the second halves a classifier trained on the first halves assigns rightly, of how many.

    The classifier is linear discriminant analysis with a diagonal covariance, over the features whose standardised
    difference of means is largest.
    """
    half = len(one) // 2
    first, second = one[:half], other[:half]
    deviation = np.sqrt((first.var(axis=0) + second.var(axis=0)) / 2) + 1e-9 * (1 + np.abs(first).max(axis=0))
    difference = (second.mean(axis=0) - first.mean(axis=0)) / deviation
    chosen = np.argsort(-np.abs(difference))[:_FEATURES]
    middle = (first.mean(axis=0) + second.mean(axis=0)) / 2

    def score(views: Numbers) -> NDArray[np.float64]:
        scaled: NDArray[np.float64] = ((views - middle) / deviation)[:, chosen] @ difference[chosen]
        return scaled

    right = np.count_nonzero(score(one[half:]) < 0) + np.count_nonzero(score(other[half:]) > 0)
    return int(right), len(one) + len(other) - 2 * half


def edge_of(judged: int) -> float:
    """Return the smallest edge over one half that the binomial test finds with 99.5% probability at half the level."""
    critical = int(stats.binom.isf(LEVEL_OF_ATTEMPT / 2, judged, 0.5)) + 1
    edges = np.linspace(0, 0.5, 501)
    return float(edges[np.argmax(stats.binom.sf(critical - 1, judged, 0.5 + edges) >= _POWER)])
