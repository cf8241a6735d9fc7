"""Lower bounds on the epsilon of many steps of sampled Gaussian noise, by the trade-off curve of that mechanism itself.

The curve is not that of Gaussian differential privacy, so bounds on mu do not hold. A noise multiplier s is
contradicted if the error rates of a test, taken at their upper bounds, are both too low for it: 1 - FNR > exp(e) FPR +
delta_s(e) for some e, or the same with the rates exchanged. Here delta_s is that of the privacy loss distribution of
all steps, from above. Whatever has more noise is then contradicted too. So the epsilon of the least noise multiplier
that is contradicted is a lower bound. One pair of bounds on the rates serves for all e, both directions and all s.

That epsilon is the account's, which errs to the other side. At 20 steps with s = 0.6, and at 100 steps with s = 1, both
sampled at a rate of 0.1, it is too large by a part below 1e-6 (extrapolated from optimistic distributions). The search
stops within 0.5% of the least s, on the safe side.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.accounting.guarantee import subsampled_gaussian_epsilon
from secagg.audit.epsilon.estimators import Errors, cp_upper

Floats = NDArray[np.float64]

GRID: Final = np.linspace(0.0, 20.0, 201)
"""The values of e at which curves are compared, fixed for all audits."""

_LOSS_GRID: Final = 0.01
_SEARCHED: Final = 3.0  # The search goes from this part of the claimed noise multiplier to this multiple of it.
_PRECISION: Final = 0.005
_CANDIDATES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledGaussian:
    """Steps of Gaussian noise in each of which the protected example takes part with the same probability.

    Attributes:
        sampling_rate: The probability, in (0, 1].
        steps: The number of steps, at least 1.
        noise_multiplier: The standard deviation of the noise over the sensitivity, above 0.
    """

    sampling_rate: float
    steps: int
    noise_multiplier: float

    def deltas(self, epsilons: Floats) -> Floats:
        """Return delta at each epsilon, from above and for both directions of add-or-remove-one."""
        from dp_accounting.pld import privacy_loss_distribution

        one = privacy_loss_distribution.from_gaussian_mechanism(
            self.noise_multiplier, sampling_prob=self.sampling_rate, value_discretization_interval=_LOSS_GRID
        )
        return np.asarray(one.self_compose(self.steps).get_delta_for_epsilon(epsilons), dtype=np.float64)

    def epsilon(self, delta: float) -> float:
        """Return the epsilon of all steps, by the toolkit's own account of privacy loss distributions."""
        return subsampled_gaussian_epsilon(
            sampling=self.sampling_rate, noise_multiplier=self.noise_multiplier, rounds=self.steps, delta=delta
        )

    def simulated(self, trials: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
        """Return noisy sums in the canary's direction over the sensitivity: without the canary, and with it.

        Returns:
            Two arrays of shape `(trials, steps)`.
        """
        shape = (trials, self.steps)
        present = generator.random(shape) < self.sampling_rate
        noise = self.noise_multiplier * generator.normal(size=(2, *shape))
        return noise[0], noise[1] + present


def likelihood_ratio(sums: Floats, mechanism: SampledGaussian) -> Floats:
    """Return the score of an adversary that sees the noisy sum of every step: the logarithm of the likelihood ratio.

    Args:
        sums: Noisy sums in the canary's direction over the sensitivity, shape `(trials, steps)`.
        mechanism: The claimed mechanism.
    """
    rate = mechanism.sampling_rate
    exponents = (2 * sums - 1) / (2 * mechanism.noise_multiplier**2)
    absent = math.log1p(-rate) if rate < 1 else -math.inf
    return np.asarray(np.logaddexp(absent, math.log(rate) + exponents).sum(axis=1), dtype=np.float64)


def contradicts(rates: tuple[float, float], deltas: Floats) -> bool:
    """Return whether error rates at their upper bounds are too low for a curve.

    Args:
        rates: The upper bounds on the false positive and the false negative rate.
        deltas: The curve's delta at each point of `GRID`.
    """
    return _most_excess(rates, deltas) > 0


def epsilon_low(errors: Errors, alpha: float, claimed: SampledGaussian, delta: float) -> float:
    """Return a lower bound on the epsilon of all steps, at least 0.

    Args:
        errors: The errors of a test that was fixed before the scores were seen.
        alpha: The chance that the bound exceeds the truth, at most.
        claimed: The mechanism, with the claimed noise multiplier, from which the search starts.
        delta: The delta of the epsilon.
    """
    rates = errors.upper(alpha)

    def contradicted(factor: float) -> bool:
        multiplier = claimed.noise_multiplier * factor
        return contradicts(rates, _curve(replace(claimed, noise_multiplier=multiplier)))

    if not contradicted(_SEARCHED):
        return 0.0
    low, high = (1 / _SEARCHED, 1.0) if contradicted(1.0) else (1.0, _SEARCHED)
    while high / low > 1 + _PRECISION:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if contradicted(middle) else (middle, high)
    return replace(claimed, noise_multiplier=claimed.noise_multiplier * high).epsilon(delta)


def threshold(simulated: tuple[Floats, Floats], claimed: SampledGaussian, *, trials: int, alpha: float) -> float:
    """Return the threshold that serves an audit best, from simulated scores of the claimed mechanism.

    Args:
        simulated: Simulated scores without the canary, and with it.
        claimed: The claimed mechanism.
        trials: The number of trials that the audit will make, with the canary and as many without.
        alpha: The error of the audit.
    """
    out, inn = simulated
    deltas = _curve(claimed)
    places = (np.arange(_CANDIDATES) + 0.5) / _CANDIDATES
    candidates = np.unique(np.concatenate([np.quantile(out, places), np.quantile(inn, places), np.sort(out)[-50:]]))

    def reached(at: float) -> float:
        false_positives, false_negatives = float(np.mean(out > at)), float(np.mean(inn <= at))
        positives, negatives = (
            cp_upper(round(rate * trials), trials, alpha / 2) for rate in (false_positives, false_negatives)
        )
        return _most_excess((positives, negatives), deltas)

    return float(max(candidates.tolist(), key=reached))


@lru_cache(maxsize=256)  # The searches of an audit begin at the same noise multipliers.
def _curve(mechanism: SampledGaussian) -> Floats:
    deltas = mechanism.deltas(GRID)
    deltas.setflags(write=False)
    return deltas


def _most_excess(rates: tuple[float, float], deltas: Floats) -> float:
    """Return by how much, at most, log((1 - FNR - delta(e)) / FPR) exceeds e, in either direction."""
    one, other = rates
    return max(_excess(one, other, deltas), _excess(other, one, deltas))


def _excess(lower: float, other: float, deltas: Floats) -> float:
    margins = 1 - other - deltas
    held = margins > 0
    return float(np.max(np.log(margins[held] / lower) - GRID[held], initial=-math.inf))
