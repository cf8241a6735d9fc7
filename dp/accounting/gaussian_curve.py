r"""The largest Gaussian parameter mu that a budget (epsilon, delta) allows, by the exact curve.

A release with Gaussian noise of noise multiplier z has mu = 1/z. Releases without sampling compose to one with
mu^2 = sum of mu_t^2, also if they are chosen adaptively (`docs/participation.md`, Theorem B). It is
(epsilon, delta)-differentially private if and only if (Balle, Wang, arXiv 1805.06530v2, Theorem 8)

    delta >= Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu).

With t = epsilon/mu - mu/2, the density phi and Mills' ratio M(t) = Phi(-t)/phi(t), the integral of exp(-ts - s^2/2)
over s > 0, the right side is phi(t) (M(t) - M(t + mu)), which loses no precision to e^epsilon. If mu is so small that
the difference would be lost, -mu M1 - mu^2/2 M2 - mu^3/6 M3 bounds it from above, since the fourth derivative of M is
positive; M1 = t M - 1, M2 = M + t M1 and M3 = 2 M1 + t M2 are the first three derivatives.

The right side grows with mu and so falls with t, and mu = sqrt(t^2 + 2 epsilon) - t. The smallest t that delta allows
is found by bisection. `dp.accounting.privacy_loss` has the other direction, from mu to epsilon.
"""

import functools
import math
from typing import Final

from dp.checks import integer_at_least, magnitude, positive_real, probability

_LEAST: Final = -9.0
_MOST: Final = 39.0
"""Every delta of float64 below 1 has its t between these."""

_BISECTIONS: Final = 200
_MARGIN: Final = 2e-8
"""The part of delta that is kept for rounding. The same curve in `dp.accounting.privacy_loss` keeps half of it, so what
is admitted here is admitted there too."""

_UP: Final = 1 + 2.0**-50
_SERIES_BELOW: Final = 1e-3
_SQRT_2: Final = math.sqrt(2)
_SQRT_HALF_PI: Final = math.sqrt(math.pi / 2)


def largest_mu(epsilon: float, delta: float) -> float:
    """Return the largest Gaussian parameter within a budget, rounded down.

    Args:
        epsilon: 1e-30 to 1e30.
        delta: Strictly between 0 and 1.

    Formal guarantees:
        Releases with Gaussian noise and without sampling, of noise multipliers z_t under one relation for one unit, are
        together (`epsilon`, `delta`)-differentially private under that relation for one unit, if the sum of 1/z_t^2 is
        at most the square of the result. Noise, cohorts and the number of releases may depend on earlier releases
        (Theorem B). The result is below the exact value by a part of at most 1e-7 if delta is at most 0.1 and epsilon
        is at least 1e-6.

    Raises:
        InvalidParameter: An argument is out of range.
    """
    return _largest_mu(magnitude("epsilon", epsilon), probability("delta", delta))


@functools.lru_cache(maxsize=1024)
def _largest_mu(epsilon: float, delta: float) -> float:
    log_wanted = math.log(delta)
    low, high = _LEAST, _MOST
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if log_delta(middle, _mu(middle, epsilon)) + _MARGIN <= log_wanted:
            high = middle
        else:
            low = middle
    return _mu(high, epsilon) / _UP


def least_multiplier(*, left: float, releases: int) -> float:
    """Return the least noise multiplier with which a number of releases is within what is left of a Gaussian budget.

    Args:
        left: The rest of mu^2, above 0: all of it is the square of `largest_mu`.
        releases: The number of releases without sampling, at least 1.

    Formal guarantees:
        For the result z, rounded up, releases / z^2 is at most `left`, by a part of 2**-50 at least.

    Raises:
        InvalidParameter: An argument is out of range.
    """
    return math.sqrt(integer_at_least("releases", releases, 1) / positive_real("left", left)) * _UP


def log_delta(t: float, mu: float) -> float:
    """Return log(phi(t) (M(t) - M(t + mu))): the logarithm of the delta of a Gaussian parameter `mu` at an epsilon.

    Args:
        t: epsilon / mu - mu / 2, -40 to 40.
        mu: Above 0.

    Returns:
        The logarithm with an error below 1e-8.
    """
    from scipy.special import erfcx

    mills, after = (_SQRT_HALF_PI * float(erfcx(at / _SQRT_2)) for at in (t, t + mu))
    if mu >= _SERIES_BELOW:
        difference = mills - after
    else:
        first = t * mills - 1
        second = mills + t * first
        third = 2 * first + t * second
        difference = -mu * (first + mu / 2 * (second + mu / 3 * third))
    return math.log(difference) - t**2 / 2 - math.log(2 * math.pi) / 2


def _mu(t: float, epsilon: float) -> float:
    root = math.sqrt(t**2 + 2 * epsilon)
    return root - t if t < 0 else 2 * epsilon / (root + t)
