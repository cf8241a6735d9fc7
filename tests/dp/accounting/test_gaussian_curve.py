"""The largest Gaussian parameter of a budget, against 60 digits and against the figures of `docs/participation.md`."""

import math
from fractions import Fraction
from typing import Final

import mpmath  # type: ignore[import-untyped]  # dp-accounting brings it; it has no type information
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dp.accounting.gaussian_curve import largest_mu, least_multiplier
from dp.accounting.guarantee import is_within
from dp.accounting.privacy_loss import gaussian_epsilon
from dp.errors import InvalidParameter
from dp.events import GaussianEvent

ABOVE: Final = 1e-7
"""By how much a figure of the code may be above the exact one, as a part of it."""

EPSILONS: Final = [
    (1 / 3400, 1.069, 1, "3.2360047"),
    (1 / 3400, 1.069, 10, "13.883161"),
    (1 / 3400, 1.069, 44, "39.785226"),
    (1 / 3400, 1.069, 45, "40.462019"),
    (1 / 3400, 1.069, 46, "41.136195"),
    (1 / 3400, 1.069, 90, "69.036272"),
    (1 / 3400, 1.069, 1500, "779.87177"),
    (1 / 3400, 4.33, 45, "6.0021546"),
    (1 / 3400, 25.0, 1500, "6.0019343"),
    (2.94117e-4, 1.069, 45, "40.462022"),
    (2.94117e-4, 1.069, 1500, "779.87179"),
    (1e-3, 1.0, 1, "3.1386705"),
    (1e-3, 1.0, 4, "7.5812799"),
    (1e-3, 4.0, 30, "4.6508967"),
    (1e-3, 10.0, 30, "1.5085812"),
    (1e-5, 1.0, 1, "4.3771781"),
    (1e-5, 4.0, 4, "1.9930914"),
    (1e-5, 4.0, 30, "6.3257154"),
    (1e-6, 4.0, 30, "7.0167886"),
    (1e-6, 10.0, 4, "0.83411755"),
]
PARAMETERS: Final = [
    (1.0, 1 / 3400, "0.34378780"),
    (2.0, 1 / 3400, "0.62378584"),
    (3.0, 1 / 3400, "0.87819867"),
    (6.0, 1 / 3400, "1.5487943"),
    (10.0, 1 / 3400, "2.3101141"),
    (1.0, 1e-3, "0.38840125"),
    (2.0, 1e-3, "0.69192700"),
    (4.0, 1e-3, "1.2149521"),
    (6.0, 1e-3, "1.6711985"),
    (8.0, 1e-3, "2.0832736"),
    (1.0, 1e-5, "0.26805112"),
    (2.0, 1e-5, "0.50155169"),
    (4.0, 1e-5, "0.92493090"),
    (6.0, 1e-5, "1.3095258"),
    (8.0, 1e-5, "1.6660306"),
]
MULTIPLIERS: Final = [
    (1.0, 1 / 3400, 1, "2.9087710"),
    (1.0, 1 / 3400, 45, "19.512629"),
    (2.0, 1 / 3400, 50, "11.335730"),
    (3.0, 1 / 3400, 1500, "44.101449"),
    (6.0, 1 / 3400, 1, "0.64566353"),
    (6.0, 1 / 3400, 45, "4.3312427"),
    (6.0, 1 / 3400, 50, "4.5655306"),
    (6.0, 1 / 3400, 1500, "25.006441"),
    (6.0, 2.94117e-4, 45, "4.3312432"),
    (6.0, 2.94117e-4, 1500, "25.006444"),
    (10.0, 1 / 3400, 45, "2.9038409"),
]


def exact_delta(mu: mpmath.mpf, epsilon: mpmath.mpf) -> mpmath.mpf:
    """Return the delta of a Gaussian parameter, by the formula that needs no care at 60 digits."""
    left = mpmath.ncdf(mu / 2 - epsilon / mu)
    return left - mpmath.exp(epsilon) * mpmath.ncdf(-mu / 2 - epsilon / mu)


def exact_mu(epsilon: float, delta: float) -> mpmath.mpf:
    return mpmath.findroot(
        lambda mu: mpmath.log(exact_delta(mu, mpmath.mpf(epsilon))) - mpmath.log(mpmath.mpf(delta)),
        mpmath.mpf(largest_mu(epsilon, delta)),
        tol=1e-40,
    )


def exact_epsilon(mu: mpmath.mpf, delta: float, near: float) -> mpmath.mpf:
    return mpmath.findroot(
        lambda epsilon: mpmath.log(exact_delta(mu, epsilon)) - mpmath.log(mpmath.mpf(delta)),
        mpmath.mpf(near),
        tol=1e-40,
    )


def half_of_the_last_digit(figure: str) -> float:
    return 0.5000001 * 10.0 ** -len(figure.partition(".")[2])


@pytest.mark.parametrize(("delta", "multiplier", "count", "figure"), EPSILONS)
def test_epsilon_is_not_below_the_exact_figure(delta: float, multiplier: float, count: int, figure: str) -> None:
    with mpmath.workdps(60):
        mu = mpmath.sqrt(count) / mpmath.mpf(multiplier)
        found = gaussian_epsilon(float(1 / mu), delta)
        exact = exact_epsilon(mu, delta, found)
        assert abs(float(figure) - exact) <= half_of_the_last_digit(figure)
        assert exact <= found * (1 + mpmath.mpf(2) ** -50)
        assert found <= exact * (1 + ABOVE)


@pytest.mark.parametrize(("epsilon", "delta", "figure"), PARAMETERS)
def test_largest_mu_is_not_above_the_exact_figure(epsilon: float, delta: float, figure: str) -> None:
    with mpmath.workdps(60):
        found, exact = largest_mu(epsilon, delta), exact_mu(epsilon, delta)
        assert abs(float(figure) - exact) <= half_of_the_last_digit(figure)
        assert exact * (1 - ABOVE) <= found <= exact


@pytest.mark.parametrize(("epsilon", "delta", "releases", "figure"), MULTIPLIERS)
def test_least_multiplier_is_not_below_the_exact_figure(
    epsilon: float, delta: float, releases: int, figure: str
) -> None:
    found = least_multiplier(left=largest_mu(epsilon, delta) ** 2, releases=releases)
    with mpmath.workdps(60):
        exact = mpmath.sqrt(releases) / exact_mu(epsilon, delta)
        assert abs(float(figure) - exact) <= half_of_the_last_digit(figure)
        assert exact <= found <= exact * (1 + ABOVE)


def test_rounded_figures_of_earlier_texts_miss_the_budget() -> None:
    """4.33 and 25.0 are rounded down and miss epsilon 6 by 0.002."""
    assert gaussian_epsilon(4.33 / math.sqrt(45), 1 / 3400) > 6.002
    assert gaussian_epsilon(25.0 / math.sqrt(1500), 1 / 3400) > 6.0019


@given(
    st.floats(-6, 6).map(lambda power: 10.0**power),
    st.one_of(st.floats(-300, -0.01).map(lambda power: 10.0**power), st.floats(0.01, 0.99)),
    st.integers(1, 10**6),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_budget_that_is_used_up_exactly_is_kept(epsilon: float, delta: float, releases: int) -> None:
    """What is calibrated here fits by exact fractions, and by the accountants too."""
    mu = largest_mu(epsilon, delta)
    multiplier = least_multiplier(left=mu**2, releases=releases)
    assert releases / Fraction(multiplier) ** 2 <= Fraction(mu) ** 2
    assert is_within({GaussianEvent(noise_multiplier=multiplier): releases}, epsilon=epsilon, delta=delta)


@pytest.mark.parametrize("epsilon", [1e-30, 1e-6, 1.0, 700.0, 1e6, 1e30])
@pytest.mark.parametrize("delta", [5e-324, 1e-100, 1e-3, 0.5, 1 - 2.0**-53])
def test_largest_mu_of_extreme_budgets_is_safe(epsilon: float, delta: float) -> None:
    with mpmath.workdps(80):
        found = mpmath.mpf(largest_mu(epsilon, delta))
        assert found > 0
        wide = epsilon < 1e5  # Beyond, 80 digits of e^epsilon are too few; there the accountant is the judge.
        if wide:
            assert exact_delta(found, mpmath.mpf(epsilon)) <= mpmath.mpf(delta)
            more = exact_delta(found * (1 + mpmath.mpf("1e-6")), mpmath.mpf(epsilon))
            assert more >= mpmath.mpf(delta) * (1 - mpmath.mpf("1e-4")) or delta > 0.9


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 1e-3), (math.nan, 1e-3), (1.0, 0.0), (1.0, 1.0), (True, 1e-3)])
def test_largest_mu_refuses_what_is_no_budget(epsilon: float, delta: float) -> None:
    with pytest.raises(InvalidParameter):
        largest_mu(epsilon, delta)


@pytest.mark.parametrize(("left", "releases"), [(0.0, 1), (math.inf, 1), (1.0, 0), (1.0, 1.5)])
def test_least_multiplier_refuses_what_is_no_rest(left: float, releases: int) -> None:
    with pytest.raises(InvalidParameter):
        least_multiplier(left=left, releases=releases)
