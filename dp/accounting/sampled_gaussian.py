r"""The Renyi divergence of a Poisson-sampled release with Gaussian noise, at any one real order, by quadrature.

With sampling rate q, noise multiplier z and w(u) = 1 - q + q exp(u/z - 1/(2 z^2)), the divergence of order a of the
release with the unit from the one without is log(A)/(a - 1), A = E[w(u)^a] for a standard normal u. In the other
direction it is at most that (`docs/subsampling.md`, corollary on symmetric noise, for every real a > 1).

The trapezoidal rule with step h bounds A - 1 = E[w^a - 1] from above. For |Im u| <= y < pi z the integrand is analytic,
since w has its zeros at Im u = pi z, and there |phi(u) w^a| <= exp(y^2/2) phi(Re u) w(Re u)^a. So the error of the rule
is at most 2 exp(y^2/2) (A + 1) / (exp(2 pi y/h) - 1) (Trefethen, Weideman, SIAM Review 56, 2014, Theorem 5.1). Beyond
the ends of the sum, w^a <= 1 + exp(a (u/z - 1/(2 z^2))). Both terms fall outwards there, so that sums over the tails
are at most the integrals, which are Gaussian tails.
"""

import functools
import math
from typing import Final

import numpy as np

MOST_POINTS: Final = 1_000_000
_STRIP: Final = 3.0
"""The half-width y of the strip over z, below pi."""

_WIDEST: Final = 8.0
_DIGITS: Final = 60.0
"""The error of the rule is at most twice exp of minus this, times A + 1."""

_TAIL: Final = 12.0
_ROUNDING: Final = 2.0**-48
_LARGE: Final = 300.0


@functools.lru_cache(maxsize=4096)
def sampled_gaussian_divergence(sampling_rate: float, noise_multiplier: float, order: float) -> float:
    """Return a bound on the Renyi divergence of one sampled release, in both directions.

    Args:
        sampling_rate: The probability q that a unit takes part, above 0 and below 1.
        noise_multiplier: The noise multiplier z, above 0.
        order: The order a, above 1.

    Formal guarantees:
        If the sample is drawn afresh and in secret, the result bounds D_a(with || without) and D_a(without || with)
        under add-or-remove-one for one unit.

    Returns:
        At least 0, rounded up; infinite if more than a million points would be needed.
    """
    q, z, a = sampling_rate, noise_multiplier, order
    y = min(_STRIP * z, _WIDEST)
    step = 2 * math.pi * y / (y**2 / 2 + _DIGITS)
    reach = _TAIL + math.sqrt(-2 * a * math.log(q))
    low, high = -reach, a / z + reach
    if (high - low) / step > MOST_POINTS:
        return math.inf
    u = np.arange(math.floor(low / step), math.ceil(high / step) + 1) * step
    change = u / z - 1 / (2 * z**2)
    logarithms = np.logaddexp(math.log1p(-q), math.log(q) + change)
    small = change < 1
    logarithms[small] = np.log1p(q * np.expm1(change[small]))
    raised = a * logarithms
    density = -(u**2) / 2 - math.log(2 * math.pi) / 2
    highest = float((density + raised).max())
    if highest > _LARGE:  # Then 1, the tails and the error of the rule are too small to be seen beside A.
        rounding = _ROUNDING * (1 + float((np.abs(density) + np.abs(raised)).max()))
        return (highest + math.log(step * float(np.exp(density + raised - highest).sum())) + rounding) / (a - 1)
    # Far from 0, the power and the density are multiplied as logarithms, so that neither overflows.
    terms = np.where(
        raised < 1, np.exp(density) * np.expm1(np.minimum(raised, 1.0)), np.exp(density + raised) - np.exp(density)
    )
    moment = step * float(terms.sum())
    rounding = _ROUNDING * step * float((np.abs(terms) * (1 + np.abs(density) + np.abs(raised))).sum())
    # By erfc(x) <= exp(-x^2), and in one exponent, since exp((a^2 - a)/(2 z^2)) alone may overflow.
    tails = math.exp(-(reach**2) / 2) + math.exp((a**2 - a) / (2 * z**2) - reach**2 / 2)
    rule = math.exp(1 - _DIGITS) * (moment + 3)
    return math.log1p(max(moment, 0.0) + rounding + tails + 2 * rule) / (a - 1) * (1 + _ROUNDING)
