"""Upper tail of the hypergeometric distribution, exact to rounding that is bounded and counted on the safe side.

X is the number of marked members in a sample without replacement: `population` members, `marked` of them marked,
`sample` drawn, so P(X = x) = C(marked, x) C(population - marked, sample - x) / C(population, sample).

Only elementary facts are used: consecutive probabilities have a rational ratio, and that ratio falls as x grows
(the distribution is log-concave), so that what lies beyond a term is at most a geometric series.
"""

import math

import numpy as np

# Logarithms of binomial coefficients of up to a million members, from `math.lgamma`, are off by less than 1e-7.
LOG_ROUNDING = 1e-6

_NEGLIGIBLE = 1e-12  # of the probability asked for: where the summation of the tail may end


def log_choose(members: int, chosen: int) -> float:
    """The natural logarithm of C(members, chosen); minus infinity where `chosen` is outside [0, members]."""
    if not 0 <= chosen <= members:
        return -math.inf
    return math.lgamma(members + 1) - math.lgamma(chosen + 1) - math.lgamma(members - chosen + 1)


def upper_quantile(*, population: int, marked: int, sample: int, log_probability: float) -> int:
    """The least t with P(X > t) < exp(log_probability).

    The probability is taken `LOG_ROUNDING` larger than computed, so t can err only upwards, and does so only where
    the probability comes within that factor of the bound.

    Args:
        population: At least 1.
        marked: In [0, population].
        sample: In [0, population].
        log_probability: Natural logarithm, below -log(population + 1): t is then at or above the mode.

    Returns:
        t, between the mode and the largest possible X.

    Raises:
        ValueError: An argument outside its range.
    """
    if population < 1 or not 0 <= marked <= population or not 0 <= sample <= population:
        raise ValueError(f"cannot draw {sample} of {population} with {marked} marked")
    if not log_probability < -math.log(population + 1):
        raise ValueError(f"the tail must be asked for below 1 / {population + 1}, not e^{log_probability}")
    highest = min(marked, sample)
    mode = (marked + 1) * (sample + 1) // (population + 2)
    log_at_mode = (
        log_choose(marked, mode)
        + log_choose(population - marked, sample - mode)
        - log_choose(population, sample)
        + LOG_ROUNDING
    )
    bound = math.exp(log_probability - log_at_mode)  # relative to P(X = mode), as everything below
    deviation = math.sqrt(sample * marked / population * (population - marked) / population)
    width = 32 + int(12 * deviation)
    while True:
        end = min(highest, mode + width)
        x = np.arange(mode + 1, end + 1, dtype=np.float64)
        ratios = (marked - x + 1) * (sample - x + 1) / (x * (population - marked - sample + x))
        terms = np.cumprod(ratios)
        beyond = 0.0 if end == highest else float(terms[-1] * ratios[-1] / (1 - ratios[-1]))
        if beyond <= bound * _NEGLIGIBLE:
            break
        width *= 2
    tails = np.cumsum(terms[::-1])[::-1] + beyond  # tails[i] bounds P(X > mode + i)
    return mode + int(np.count_nonzero(tails >= bound))
