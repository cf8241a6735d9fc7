"""Lower bounds on the mu of Gaussian differential privacy, and on epsilon, from the scores of an attack.

Scores of releases without the canary are called `out`, with it `inn`. A test says "in" if a score is above a threshold.
Its false positive rate is P(out > threshold), and its false negative rate is P(inn <= threshold). A bound with the
error `alpha` exceeds the truth with a chance of at most `alpha`. For normal scores with the threshold in the middle it
is far less: exact sums give about `alpha` squared, since both rates have to be too low at the same time.

Sources: Dong, Roth, Su, "Gaussian Differential Privacy", arXiv 1905.02383, Equation 6 and Corollary 2.13; the numbers
are those that the code of jax_privacy cites, and the paper's own text could not be read here. The version in the
Journal of the Royal Statistical Society has the second one as Corollary 1. Both formulas are checked against an
independent closed form in the tests. Auditing in this way is due to Nasr et al., arXiv 2302.07956.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_LEAST_ALPHA: Final = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """How often a test with a threshold fixed beforehand was wrong.

    Attributes:
        false_positives: The number of releases without the canary that the test took for ones with it.
        outs: The number of releases without the canary.
        false_negatives: The number of releases with the canary that the test took for ones without it.
        inns: The number of releases with the canary.
    """

    false_positives: int
    outs: int
    false_negatives: int
    inns: int

    @classmethod
    def at(cls, out: NDArray[np.float64], inn: NDArray[np.float64], threshold: float) -> "Errors":
        """Return the errors at a threshold that was fixed before the scores were seen."""
        return cls(
            false_positives=int(np.count_nonzero(out > threshold)),
            outs=len(out),
            false_negatives=int(np.count_nonzero(inn <= threshold)),
            inns=len(inn),
        )

    def upper(self, alpha: float) -> tuple[float, float]:
        """Return upper bounds on both error rates, which hold together except with a chance of `alpha`."""
        return cp_upper(self.false_positives, self.outs, alpha / 2), cp_upper(
            self.false_negatives, self.inns, alpha / 2
        )


def cp_upper(count: int, trials: int, alpha: float) -> float:
    """Return the upper bound of Clopper and Pearson on a probability.

    Args:
        count: How often an event occurred.
        trials: The number of independent trials.
        alpha: The chance that the bound is below the probability, at most.
    """
    from scipy.special import betainccinv

    return float(betainccinv(count + 1, trials - count, alpha)) if count < trials else 1.0


def mu_low(errors: Errors, alpha: float) -> float:
    """Return a lower bound on mu, at least 0.

    Gaussian differential privacy says that the false negative rate is at least Phi(Phi^-1(1 - FPR) - mu).
    """
    from scipy.special import ndtri

    positives, negatives = errors.upper(alpha)
    return max(0.0, float(-ndtri(positives) - ndtri(negatives)))


def mu_p_value(errors: Errors, mu: float) -> float:
    """Return the least alpha at which `mu_low` exceeds a claimed mu, above 0; 1 if it does at none.

    If the claim is true, `mu_low(alpha)` exceeds it with a chance of at most alpha. So this is a p value.
    """
    low, high = math.log(_LEAST_ALPHA), 0.0
    if mu_low(errors, 1.0) <= mu:
        return 1.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (low, middle) if mu_low(errors, math.exp(middle)) > mu else (middle, high)
    return math.exp(high)


def gaussian_log_delta(epsilon: float, mu: float) -> float:
    """Return the logarithm of the delta at which mu-GDP has this epsilon: Corollary 2.13, in logarithms."""
    from scipy.special import log_ndtr

    first = float(log_ndtr(-epsilon / mu + mu / 2))
    second = epsilon + float(log_ndtr(-epsilon / mu - mu / 2))
    return first + math.log1p(-math.exp(second - first)) if second < first else -math.inf


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the epsilon of mu-GDP, at least 0.

    Args:
        mu: At least 0.
        delta: Strictly between 0 and 1.
    """
    from scipy.optimize import brentq

    target = math.log(delta)
    if mu <= 0 or gaussian_log_delta(0.0, mu) <= target:
        return 0.0
    high = 1.0
    while gaussian_log_delta(high, mu) > target:
        high *= 2
    return float(brentq(lambda epsilon: gaussian_log_delta(epsilon, mu) - target, 0.0, high, xtol=1e-12))


def gaussian_mu(epsilon: float, delta: float) -> float:
    """Return the mu whose `gaussian_epsilon` is `epsilon`, which is above 0."""
    from scipy.optimize import brentq

    high = 1.0
    while gaussian_epsilon(high, delta) < epsilon:
        high *= 2
    return float(brentq(lambda mu: gaussian_epsilon(mu, delta) - epsilon, 0.0, high, xtol=1e-12))


def mu_if_normal(out: NDArray[np.float64], inn: NDArray[np.float64], alpha: float) -> float:
    """Return a lower bound on mu that holds if scores are normal with one variance, at least 0.

    It inverts the noncentral t by its normal approximation, which is good above 1,000 trials. No verdict rests on it.
    """
    from scipy.special import ndtri

    freedom = len(out) + len(inn) - 2
    deviation = math.sqrt((float(np.var(out)) * len(out) + float(np.var(inn)) * len(inn)) / freedom)
    scale = math.sqrt(1 / len(out) + 1 / len(inn))
    statistic = (float(np.mean(inn)) - float(np.mean(out))) / (deviation * scale)
    spread = math.sqrt(1 + statistic**2 / (2 * freedom))
    return max(0.0, float((statistic + ndtri(alpha) * spread) * scale))


def normality_p_value(out: NDArray[np.float64], inn: NDArray[np.float64]) -> float:
    """Return the p value of a test that both sets of scores are normal: D'Agostino and Pearson, with Bonferroni."""
    from scipy.stats import normaltest

    return min(1.0, 2 * min(float(normaltest(out).pvalue), float(normaltest(inn).pvalue)))
