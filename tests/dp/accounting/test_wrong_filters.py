"""What may not be claimed where results decide what is released next, by exact computation.

No function of the product makes these claims. The figures show why: `dp.ledger` refuses such events in a ledger whose
events may depend on results, and states the budget of a ledger with a filter, not what was spent.
"""

import math
from typing import Final

import mpmath  # type: ignore[import-untyped]  # dp-accounting brings it; it has no type information
import numpy as np
import pytest

from tests.support.exact_gaussian import exact_epsilon
from tests.support.finite_pairs import (
    Pair,
    best_continuation,
    best_in_both_directions,
    hockey_stick,
    product,
    randomised_response,
    revealing,
)

DELTA: Final = 0.1790498892168176


def test_filter_by_curves_of_randomised_response_is_exceeded() -> None:
    """Each order of two releases costs the same delta at epsilon 1; to choose the second by the first costs more."""
    first, second, other = randomised_response(0.5), randomised_response(1.0), revealing(DELTA)
    assert hockey_stick(product(first, second), 1.0) == pytest.approx(DELTA, abs=1e-15)
    assert hockey_stick(product(first, other), 1.0) == pytest.approx(DELTA, abs=1e-15)
    chosen = best_in_both_directions(first, [second, other], 1.0)
    assert chosen == pytest.approx(0.2466485041399688, abs=1e-15)
    assert chosen / DELTA == pytest.approx(1.37754066880, abs=1e-11)


def sampled(sigma: float, rate: float) -> Pair:
    """Return the pair of a discrete Gaussian of sensitivity 1 with Poisson sampling: with the target, and without."""
    x = np.arange(-80, 81)
    without = np.exp(-(x**2) / (2 * sigma**2))
    without /= without.sum()
    there = np.append(0.0, without[:-1])
    return list(zip(((1 - rate) * without + rate * there).tolist(), without.tolist(), strict=True))


def test_filter_by_curves_of_sampled_integer_noise_is_exceeded() -> None:
    """Both second releases cost what the other one costs at epsilon 1/2, but not after each result of the first."""
    first, second, other = sampled(1.2, 0.2), sampled(6.0, 1.0), sampled(0.7, 0.03964)
    fixed = [hockey_stick(product(first, each), 0.5) for each in (second, other)]
    assert fixed == pytest.approx([0.0080801486, 0.0080803776], abs=1e-10)
    assert best_continuation(first, [second, other], 0.5) / max(fixed) == pytest.approx(1.1293040, abs=1e-7)


@pytest.mark.parametrize(("noise_multiplier", "times"), [(1, 1.689786), (4, 1.586276), (10, 1.508825)])
def test_epsilon_so_far_is_exceeded_if_results_decide_when_to_stop(noise_multiplier: int, times: float) -> None:
    """One or two Gaussian releases; the second is made unless the loss of the first is above its epsilon.

    The claim is the epsilon of what was released, at delta 1e-3. The integral is over the results of the first release
    after which the second one is made.
    """
    with mpmath.workdps(25):
        mu, delta = 1 / mpmath.mpf(noise_multiplier), mpmath.mpf(10) ** -3
        one, two = exact_epsilon(mu, delta), exact_epsilon(mu * mpmath.sqrt(2), delta)

        def after(x: mpmath.mpf) -> mpmath.mpf:
            least = two / mu + mu - x
            shifted = mpmath.npdf(x - mu) * mpmath.ncdf(mu - least)
            return shifted - mpmath.exp(two) * mpmath.npdf(x) * mpmath.ncdf(-least)

        failing = delta + mpmath.quad(after, [-12, -6, -2, 0, 1, one / mu + mu / 2])
        assert math.isclose(failing / delta, times, abs_tol=5e-7)
