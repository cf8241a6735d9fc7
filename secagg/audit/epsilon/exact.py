"""The exact epsilon of one release with integer noise, and the mu that its noise claims.

Let X be integer noise in independent coordinates with one symmetric and log-concave distribution p on the integers, and
let v be an integer vector of L2 norm at most the sensitivity D. With z(k) = Phi^-1(P(X < k)), let all spacings
z(k + 1) - z(k) of one coordinate be at most 1/s. Then (X + v, X) is a post-processing of (N(v, s^2), N(0, s^2)), and so
at most mu-GDP with mu = D / s:

- In one coordinate, as p is log-concave, the most powerful tests are {x >= k} and mixtures of two of them. Their level
  is Phi(-z(k)), and their power Phi(-z(k - v)) <= Phi(-z(k) + |v| / s), that of the Gaussian test of this level.
  Between two of them the trade-off curve is straight, and that of the Gaussian is convex. By Blackwell's theorem, as
  Dong, Roth, Su use it (arXiv 1905.02383), a pair whose curve is nowhere below another is a post-processing of that
  pair.
- In several coordinates, the product of these kernels does the same.

Let -log(p(k - 1) p(k + 1) / p(k)^2) <= B for all k >= 1, and let a^2 = 6 (1 - sqrt(1 - B/3)). If the same holds at k =
0, or p(0) <= Phi(a/2) - Phi(-a/2), then no spacing exceeds a. So s = 1/a, s^2 = (1 + sqrt(1 - B/3)) / (2 B). For the
discrete Gaussian B = 1/sigma^2, which makes s^2 about sigma^2 - 1/12; for Skellam noise of variance m it makes s^2
about m - 7/12. This bound on spacings is not proved here. The tests compute the spacings themselves, and sum lattice
distributions of one coordinate exactly. At the widths of a mean of 24 bits, of 10^5 steps and more, the epsilon of the
Gaussian and that of the lattice noise agree to ten digits.
"""

import math
from typing import Final, assert_never

from dp.accounting.renyi import inflation
from dp.events import DistributedDiscreteGaussianEvent, LatticeEvent, SkellamEvent
from secagg.audit.epsilon.estimators import gaussian_epsilon

LEAST_VARIANCE: Final = 4.0
"""Below this variance, in squared steps, the exact epsilon is not offered."""


def gaussian_deviation(event: LatticeEvent) -> float:
    """Return the standard deviation s, in steps, of the Gaussian noise whose post-processing the integer noise is.

    Args:
        event: A release whose noise has a variance of at least `LEAST_VARIANCE`.
    """
    from scipy.special import erfinv, ive

    match event:
        case DistributedDiscreteGaussianEvent(local_sigma=sigma, contributors=contributors):
            return _deviation(1 / (contributors * sigma**2) + 2 * inflation(sigma, contributors))
        case SkellamEvent(variance=variance):
            centre = 2 * math.sqrt(2) * float(erfinv(ive(0, variance)))
            return min(_deviation(-math.log1p(-1 / math.sqrt(variance**2 + 0.75))), 1 / centre)
        case _:
            assert_never(event)


def exact_mu(event: LatticeEvent) -> float:
    """Return the mu of one release: the sensitivity over `gaussian_deviation`."""
    return event.l2_sensitivity / gaussian_deviation(event)


def exact_epsilon(event: LatticeEvent, delta: float) -> float:
    """Return the exact epsilon of one release, up to the bound that the module describes."""
    return gaussian_epsilon(exact_mu(event), delta)


def _deviation(curvature: float) -> float:
    return math.sqrt((1 + math.sqrt(1 - curvature / 3)) / (2 * curvature))
