"""The upper tail of the hypergeometric distribution, exact but for rounding, which is bounded on the safe side.

X is the number of marked members in a sample without replacement: `population` members, `marked` of them marked,
`sample` drawn, so P(X = x) = C(marked, x) C(population - marked, sample - x) / C(population, sample).

Only elementary facts are used. Consecutive probabilities have a rational ratio, and that ratio falls as x grows (the
distribution is log-concave). So the sum of all terms after one term is at most a geometric series.
"""

import math

import numpy as np

# Logarithms of binomial coefficients of up to a million members, from `math.lgamma`, are off by less than 1e-7.
LOG_ROUNDING = 1e-6

_NEGLIGIBLE = 1e-12  # As a fraction of the requested probability: the summation of the tail may end at this size.


def log_choose(members: int, chosen: int) -> float:
    """Return the natural logarithm of C(members, chosen), or minus infinity if `chosen` is outside [0, members]."""
    if not 0 <= chosen <= members:
        return -math.inf
    return math.lgamma(members + 1) - math.lgamma(chosen + 1) - math.lgamma(members - chosen + 1)


def upper_quantile(*, population: int, marked: int, sample: int, log_probability: float) -> int:
    """Return the least t with P(X > t) < exp(log_probability).

    The logarithm of the probability is taken `LOG_ROUNDING` larger than computed. So t can err only upwards, and only
    if the probability is within that factor of the bound.

    Args:
        population: At least 1.
        marked: In [0, population].
        sample: In [0, population].
        log_probability: Natural logarithm, below -log(population + 1): t is then at or above the mode.

    Returns:
        t, between the mode and the largest possible X.

    Raises:
        ValueError: An argument is outside its range.
    """
    if population < 1 or not 0 <= marked <= population or not 0 <= sample <= population:
        raise ValueError(f"sample: cannot draw {sample} of {population} members, {marked} of them marked")
    if not log_probability < -math.log(population + 1):
        raise ValueError(f"probability: expected a value below 1 / {population + 1}, found e^{log_probability}")
    highest = min(marked, sample)
    mode = (marked + 1) * (sample + 1) // (population + 2)
    log_at_mode = (
        log_choose(marked, mode)
        + log_choose(population - marked, sample - mode)
        - log_choose(population, sample)
        + LOG_ROUNDING
    )
    bound = math.exp(log_probability - log_at_mode)  # Relative to P(X = mode), as everything below.
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
    tails = np.cumsum(terms[::-1])[::-1] + beyond  # tails[i] bounds P(X > mode + i).
    return mode + int(np.count_nonzero(tails >= bound))
