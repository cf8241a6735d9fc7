"""An accountant as a subject, and the comparison of its epsilon with bounds from both sides.

From below: the exact epsilon of Gaussian releases (Balle and Wang, arXiv 1805.06083, Theorem 8; composed releases of
noise multipliers s_i are one release of noise multiplier (sum 1 / s_i^2)^(-1/2)), and a lower bound for sampled
Gaussian and for lattice noise by the optimistic privacy loss distributions of the package dp-accounting. They round
losses down, and composition keeps that order. Yet its `self_compose` adds 1e-15 to the probability of an infinite loss,
in optimistic distributions too, and it computes in floating point. Of a delta of 1e-5 this is a part of 1e-10, which is
covered by the tolerance of 1e-6 of epsilon. From above:
the simplest bound by Renyi DP (Mironov, arXiv 1702.07476, Proposition 3 and Corollary 3), which a guarantee that is
computed with more care never exceeds.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from dp.accounting.guarantee import guarantee
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    PoissonSampledEvent,
    PrivacyEvent,
)
from secagg.audit.attack import Attack, Layer, Level, Plan, Result
from secagg.audit.claims import Claim, claimed
from secagg.audit.epsilon.estimators import gaussian_epsilon
from secagg.audit.subject import Subject

Events = Mapping[PrivacyEvent, int]
EpsilonOf = Callable[[Events, float], float]

COUNTS: Final = (1, 2, 4, 64)
_DELTA: Final = 1e-5
_NOISE: Final = (1.0, 3.0, 10.0)
_ROUNDING: Final = 1e-6  # Relative; the accountants compute in floating point.


def toolkit_epsilon(events: Events, delta: float) -> float:
    """Return the epsilon of the toolkit's own guarantee."""
    relation = next(iter(events)).relation
    return guarantee(events, delta=delta, relation=relation).epsilon


class AccountantSubject(Subject):
    """An accountant: it gives an epsilon for the composition of releases.

    Args:
        epsilon_of: Returns an epsilon for events with their counts, at a delta for all of them together.
        name: The name in reports.
        claims: What the accountant claims.
    """

    kind: ClassVar[str] = "accountant"

    def __init__(
        self,
        epsilon_of: EpsilonOf = toolkit_epsilon,
        *,
        name: str = "accountant",
        claims: Sequence[Claim] = claimed("C-26"),
    ) -> None:
        self.epsilon_of = epsilon_of
        self.name = name
        self.claims = tuple(claims)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Releases with a bound on their epsilon that does not come from the subject."""

    words: str
    events: Events
    bound: float


class FromBelow(Attack[AccountantSubject]):
    """Compares epsilon with what the releases certainly spend."""

    id = "account.composition.below"
    title = "The epsilon of 1 to 64 releases is compared with the exact epsilon, or with a lower bound on it"
    layer = Layer.ACCOUNT
    tests = ("C-26",)
    subjects = AccountantSubject

    def plan(self, subject: AccountantSubject, level: Level) -> Plan:
        """Plan all cases; sampled ones only at the full level, since they take seconds."""
        cases = (*gaussian_cases(), *lattice_cases(), *(sampled_cases() if level is Level.FULL else ()))
        return Plan(trials=len(cases), cpu_s=2.0 if level is Level.QUICK else 20.0, details=cases)

    def run(self, subject: AccountantSubject, plan: Plan, seed: bytes) -> Result:
        """Compare all cases."""
        worst, evidence = math.inf, ""
        for case in plan.details:
            found = subject.epsilon_of(case.events, _DELTA)
            ratio = found / case.bound
            if ratio < worst:
                worst = ratio
                evidence = (
                    f"For {case.words} at delta {_DELTA:g}, epsilon was given as {found:.6g}; it is at least "
                    f"{case.bound:.6g}."
                )
        return Result(
            statistic="least ratio of the given epsilon to the lower bound",
            value=worst,
            threshold=1.0,
            rejected=worst < 1 - _ROUNDING,
            evidence=evidence,
        )


class FromAbove(Attack[AccountantSubject]):
    """Compares epsilon with a simple upper bound, which shows figures that are needlessly large."""

    id = "account.composition.above"
    title = "The epsilon of 1 to 64 releases is compared with the simplest upper bound by Renyi DP"
    layer = Layer.ACCOUNT
    tests = ("C-26",)
    subjects = AccountantSubject

    def plan(self, subject: AccountantSubject, level: Level) -> Plan:
        """Plan all cases of Gaussian noise."""
        cases = tuple(
            Case(words=case.words, events=case.events, bound=renyi_bound(case.events)) for case in gaussian_cases()
        )
        return Plan(trials=len(cases), cpu_s=0.1, details=cases)

    def run(self, subject: AccountantSubject, plan: Plan, seed: bytes) -> Result:
        """Compare all cases."""
        ratios = [(subject.epsilon_of(case.events, _DELTA) / case.bound, case) for case in plan.details]
        worst, case = max(ratios, key=lambda pair: pair[0])
        return Result(
            statistic="largest ratio of the given epsilon to the simple upper bound",
            value=worst,
            threshold=1.0,
            rejected=worst > 1 + _ROUNDING,
            evidence=f"For {case.words} at delta {_DELTA:g}, epsilon was given as {worst * case.bound:.6g}; the "
            f"simplest bound by Renyi DP is {case.bound:.6g}.",
        )


def gaussian_cases() -> tuple[Case, ...]:
    """Return compositions of Gaussian releases, with their exact epsilon."""
    found = []
    for count in COUNTS:
        for noise in _NOISE:
            events: dict[PrivacyEvent, int] = {GaussianEvent(noise_multiplier=noise): count}
            found.append(_gaussian(f"{count} Gaussian releases of noise multiplier {noise:g}", events))
        mixed: dict[PrivacyEvent, int] = {GaussianEvent(noise_multiplier=noise): count for noise in _NOISE}
        found.append(_gaussian(f"{count} Gaussian releases of each of {len(_NOISE)} noise multipliers", mixed))
    return tuple(found)


def _gaussian(words: str, events: Events) -> Case:
    mu = math.sqrt(sum(count / event.noise_multiplier**2 for event, count in events.items()))
    return Case(words=words, events=events, bound=gaussian_epsilon(mu, _DELTA))


def lattice_cases() -> tuple[Case, ...]:
    """Return compositions of discrete Gaussian releases by one party, in one coordinate, with a lower bound."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    found = []
    for count in COUNTS:
        event = DistributedDiscreteGaussianEvent(local_sigma=8.0, contributors=1, l2_sensitivity=4.0, dimension=1)
        loss = pld.from_discrete_gaussian_mechanism(
            8.0, sensitivity=4, value_discretization_interval=1e-3, use_connect_dots=False, pessimistic_estimate=False
        )
        epsilon = loss.self_compose(count).get_epsilon_for_delta(_DELTA)
        found.append(Case(words=f"{count} discrete Gaussian releases", events={event: count}, bound=epsilon))
    return tuple(found)


def sampled_cases(counts: Sequence[int] = COUNTS) -> tuple[Case, ...]:
    """Return compositions of these numbers of Poisson-sampled Gaussian releases, with a lower bound."""
    from dp_accounting.pld import privacy_loss_distribution as pld

    found = []
    relation = NeighbouringRelation.ADD_OR_REMOVE_ONE
    for count in counts:
        for rate, noise in ((0.1, 1.0), (0.01, 0.8)):
            event = PoissonSampledEvent(
                sampling_rate=rate, event=GaussianEvent(noise_multiplier=noise, relation=relation)
            )
            loss = pld.from_gaussian_mechanism(
                noise,
                sampling_prob=rate,
                value_discretization_interval=1e-4,
                use_connect_dots=False,
                pessimistic_estimate=False,
            )
            epsilon = loss.self_compose(count).get_epsilon_for_delta(_DELTA)
            words = f"{count} Gaussian releases of noise multiplier {noise:g}, sampled with probability {rate:g}"
            found.append(Case(words=words, events={event: count}, bound=epsilon))
    return tuple(found)


def renyi_bound(events: Events) -> float:
    """Return the least of `a sum n / (2 s^2) + log(1 / delta) / (a - 1)` over orders a."""
    half = sum(count / event.noise_multiplier**2 for event, count in events.items()) / 2
    orders = 1 + np.geomspace(1e-3, 1e4, 20_000)
    return float(np.min(orders * half + math.log(1 / _DELTA) / (orders - 1)))
