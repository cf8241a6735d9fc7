"""The exact account of continuous Gaussian noise in multiple precision, by code that shares nothing with `dp`.

mu is the Gaussian parameter of releases together: mu^2 is the sum of 1/z^2 over their noise multipliers z.
"""

from collections.abc import Callable
from typing import Any, Final

import mpmath  # type: ignore[import-untyped]  # dp-accounting brings it; it has no type information

DIGITS: Final = 60
_HALVINGS: Final = 80


def exact_delta(mu: Any, epsilon: Any) -> Any:
    """Return the delta of N(mu, 1) against N(0, 1) at an epsilon: Balle and Wang, arXiv 1805.06530v2, Theorem 8."""
    with mpmath.workdps(DIGITS):
        change, at = mpmath.mpf(mu), mpmath.mpf(epsilon)
        if change == 0:
            return mpmath.mpf(0)
        less, more = (mpmath.ncdf(half - at / change) for half in (change / 2, -change / 2))
        return less - mpmath.exp(at) * more


def exact_epsilon(mu: Any, delta: Any) -> Any:
    """Return the least epsilon at which N(mu, 1) against N(0, 1) has at most this delta."""
    with mpmath.workdps(DIGITS):
        change = mpmath.mpf(mu)
        if exact_delta(change, 0) <= delta:
            return mpmath.mpf(0)
        return _least(lambda at: exact_delta(change, at) <= delta, change**2 / 2 + 60 * change)


def exact_mu(epsilon: Any, delta: Any) -> Any:
    """Return the largest mu with which N(mu, 1) against N(0, 1) has at most this delta at an epsilon."""
    with mpmath.workdps(DIGITS):
        return _least(lambda mu: exact_delta(mu, epsilon) > delta, mpmath.mpf(100))


def _least(holds: Callable[[Any], bool], high: Any) -> Any:
    """Return where a property begins to hold, between 0 and `high`, where it does."""
    low = mpmath.mpf(0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
