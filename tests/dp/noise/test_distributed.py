"""Statistical tests raise a false alarm with probability 1e-6 a check and get one retry on a fresh seed."""

import hashlib
import math
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, get_args

import numpy as np
import pytest
from scipy import special

from dp.errors import InvalidParameter
from dp.noise.discrete_gaussian import discrete_gaussian
from dp.noise.distributed import (
    MECHANISMS,
    DistributedDiscreteGaussian,
    DistributedSkellam,
    LatticeMechanism,
    LatticeNoise,
    rounded_down,
    skellam_reach,
)
from dp.noise.skellam import skellam
from tests.support.chi_square import skellam_chi_square

FALSE_ALARM = 1e-6


def mechanism(**changes: Any) -> DistributedDiscreteGaussian:
    parameters: dict[str, Any] = {
        "local_sigma": 3.0,
        "minimum_contributors": 16,
        "l2_sensitivity": 6.0,
        "dimension": 1000,
    }
    return DistributedDiscreteGaussian(**parameters | changes)


def skellam_mechanism(**changes: Any) -> DistributedSkellam:
    parameters: dict[str, Any] = {
        "local_variance": 9.0,
        "minimum_contributors": 16,
        "l2_sensitivity": 6.0,
        "dimension": 1000,
    }
    return DistributedSkellam(**parameters | changes)


def test_share_is_a_discrete_gaussian_of_the_local_sigma() -> None:
    def entropy(length: int) -> bytes:
        return hashlib.shake_256(b"share").digest(length)

    share = mechanism().share(entropy)
    np.testing.assert_array_equal(share, discrete_gaussian(3.0, 1000, entropy))
    assert share.shape == (1000,)
    assert share.dtype == np.int64


def test_shares_are_independent() -> None:
    assert (mechanism().share() != mechanism().share()).any()


def test_noise_is_that_of_the_smallest_cohort() -> None:
    assert mechanism().central_sigma == 12.0
    assert mechanism().noise_multiplier == 2.0
    event = mechanism().event
    assert event.noise_multiplier == 2.0
    assert (event.local_sigma, event.contributors, event.l2_sensitivity, event.dimension) == (3.0, 16, 6.0, 1000)


def test_realised_noise_is_that_of_the_shares_in_the_sum() -> None:
    event = mechanism().realised(64)
    assert (event.local_sigma, event.contributors, event.l2_sensitivity, event.dimension) == (3.0, 64, 6.0, 1000)
    assert mechanism().realised(16) == mechanism().event
    with pytest.raises(InvalidParameter, match="contributors"):
        mechanism().realised(0)


def log_ratio(sigma: str, shares: int) -> Decimal:
    """Return the largest |log| ratio of the law of a sum of discrete Gaussians to one of their variance, in 80 digits.

    The ratio is periodic in the sum's residue modulo the number of shares.
    """
    with localcontext(prec=80):
        reach = math.ceil(30 * Decimal(sigma))
        one = [(-(Decimal(x) ** 2) / (2 * Decimal(sigma) ** 2)).exp() for x in range(-reach, reach + 1)]
        total, law = sum(one), [Decimal(1)]
        one = [weight / total for weight in one]
        for _ in range(shares):
            law = [
                sum((law[x - y] * one[y] for y in range(max(0, x - len(law) + 1), min(x + 1, len(one)))), Decimal(0))
                for x in range(len(law) + len(one) - 1)
            ]
        centre, double_variance = len(law) // 2, 2 * shares * Decimal(sigma) ** 2
        single = [(-(Decimal(x - centre) ** 2) / double_variance).exp() for x in range(len(law))]
        whole = sum(single)
        near = range(centre - shares, centre + shares + 1)
        return max(abs((law[x] * whole / single[x]).ln()) for x in near)


@pytest.mark.parametrize(
    ("sigma", "shares", "expected"), [("0.7", 2, 1.6e-2), ("0.7", 10, 4.6e-3), ("2", 2, 1.4e-17), ("2", 10, 2.8e-30)]
)
def test_sums_of_shares_are_as_near_to_one_discrete_gaussian_as_documented(
    sigma: str, shares: int, expected: float
) -> None:
    assert float(log_ratio(sigma, shares)) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("contributors", [1, 10, 400])
@pytest.mark.parametrize("failure", [0.5, 1e-3, 1e-12])
def test_tail_bound_is_the_least_that_the_union_bound_allows(contributors: int, failure: float) -> None:
    bound = mechanism().tail_bound(contributors, failure)

    def exceeds(reach: int) -> float:
        return 2 * 1000 * math.exp(-(reach**2) / (2 * contributors * 9.0))

    assert exceeds(bound + 1) <= failure < exceeds(bound)


def test_tail_bound_holds_for_the_exact_law() -> None:
    narrow = mechanism(local_sigma=2.0, dimension=1)
    x = np.arange(-60, 61)
    one = np.exp(-(x**2) / 8.0)
    one /= one.sum()
    law = np.convolve(np.convolve(one, one), one)
    position = np.arange(law.size) - law.size // 2
    for failure in (0.5, 1e-3, 1e-9):
        assert law[np.abs(position) > narrow.tail_bound(3, failure)].sum() <= failure


# 2,000 sums of 5 shares in 100 coordinates; the bound fails for a sum with probability below 1e-9.
def test_tail_bound_holds_for_samples() -> None:
    small = mechanism(dimension=100)
    bound = small.tail_bound(5, 1e-9)
    sums = discrete_gaussian(3.0, 2000 * 5 * 100).reshape(2000, 5, 100).sum(axis=1)
    assert int(np.abs(sums).max()) <= bound


@pytest.mark.parametrize(
    "changes",
    [
        {"local_sigma": 1.99},
        {"local_sigma": 2.0**41},
        {"local_sigma": math.nan},
        {"minimum_contributors": 0},
        {"minimum_contributors": True},
        {"l2_sensitivity": 0.0},
        {"l2_sensitivity": math.inf},
        {"dimension": 0},
        {"dimension": 2.5},
        {"dimension": 10**400},
        {"minimum_contributors": 10**400},
        {"l2_sensitivity": 1e200},
    ],
)
def test_mechanism_refuses_parameters(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match=next(iter(changes))):
        mechanism(**changes)


@pytest.mark.parametrize(("contributors", "failure"), [(0, 0.1), (True, 0.1), (1, 0.0), (1, 1.0), (1, math.nan)])
def test_tail_bound_refuses_parameters(contributors: int, failure: float) -> None:
    with pytest.raises(InvalidParameter, match=r"contributors|failure"):
        mechanism().tail_bound(contributors, failure)


def test_skellam_share_is_a_sample_of_the_local_variance() -> None:
    def entropy(length: int) -> bytes:
        return hashlib.shake_256(b"share").digest(length)

    share = skellam_mechanism().share(entropy)
    np.testing.assert_array_equal(share, skellam(9.0, 1000, entropy))
    assert share.shape == (1000,)
    assert share.dtype == np.int64
    assert (skellam_mechanism().share() != skellam_mechanism().share()).any()


def test_skellam_noise_is_that_of_the_smallest_cohort() -> None:
    assert skellam_mechanism().central_sigma == 12.0
    assert skellam_mechanism().noise_multiplier == 2.0
    event = skellam_mechanism().event
    assert event.noise_multiplier == 2.0
    assert (event.variance, event.contributors, event.l2_sensitivity, event.dimension) == (144.0, 16, 6.0, 1000)
    assert skellam_mechanism().realised(17).variance == 153.0
    assert skellam_mechanism().realised(17).contributors == 17
    with pytest.raises(InvalidParameter, match="contributors"):
        skellam_mechanism().realised(0)


@pytest.mark.parametrize("local_variance", [0.1, 1 / 3, 2.0**-30, 1e9 / 7])
@pytest.mark.parametrize("contributors", [1, 3, 10, 2**53 - 1])
def test_skellam_accounts_for_the_exact_sum_rounded_down(local_variance: float, contributors: int) -> None:
    exact = contributors * Fraction(local_variance)
    accounted = skellam_mechanism(local_variance=local_variance).realised(contributors).variance
    assert Fraction(accounted) <= exact < Fraction(math.nextafter(accounted, math.inf))


def test_rounding_goes_down_on_either_side_of_a_float() -> None:
    for step in (Fraction(-1, 10**40), Fraction(0), Fraction(1, 10**40)):
        assert rounded_down(1 + step) == (1.0 if step >= 0 else math.nextafter(1, 0))


# 200,000 sums of 100 shares.
def test_skellam_shares_thinner_than_one_unit_sum_to_the_exact_law() -> None:
    thin = skellam_mechanism(local_variance=0.01, dimension=200_000)

    def p_value() -> float:
        return skellam_chi_square(sum((thin.share() for _ in range(100)), np.zeros(200_000, dtype=np.int64)), 1.0)

    assert any(p_value() > FALSE_ALARM for _ in range(2))


def chernoff(variance: float, reach: int, dimension: int) -> float:
    """Return the least of the Chernoff bounds over a fine grid of t, times the union over coordinates and signs."""
    t = np.linspace(0, 2 * math.asinh(reach / variance), 2_000_001)
    return float(2 * dimension * np.exp((variance * (np.cosh(t) - 1) - t * reach).min()))


@pytest.mark.parametrize(("contributors", "local_variance"), [(1, 0.001), (1, 9.0), (10, 9.0), (400, 9.0), (50, 1e6)])
@pytest.mark.parametrize("failure", [0.5, 1e-3, 1e-12])
def test_skellam_tail_bound_is_the_least_that_chernoff_allows(
    contributors: int, local_variance: float, failure: float
) -> None:
    bound = skellam_mechanism(local_variance=local_variance).tail_bound(contributors, failure)
    variance = contributors * local_variance
    assert chernoff(variance, bound + 1, 1000) <= failure < chernoff(variance, bound, 1000)


@pytest.mark.parametrize("variance", [2.0**-30, 0.01, 0.5, 3.0, 40.0, 1e3])
@pytest.mark.parametrize("failure", [0.5, 1e-3, 1e-9])
def test_skellam_tail_bound_holds_for_the_exact_law(variance: float, failure: float) -> None:
    bound = skellam_reach(Fraction(variance), 1, failure)
    beyond = np.arange(bound + 1, bound + 2000)
    assert 2 * float(special.ive(beyond, variance).sum()) <= failure


@pytest.mark.parametrize("variance", [Fraction(2) ** 40, Fraction(2) ** 85])
def test_skellam_tail_bound_nears_the_gaussian_one_at_large_variances(variance: Fraction) -> None:
    gaussian = math.sqrt(2 * float(variance) * math.log(2000 / 1e-9))
    assert skellam_reach(variance, 1000, 1e-9) == pytest.approx(gaussian, abs=1, rel=1e-9)


@pytest.mark.parametrize(
    "changes",
    [
        {"local_variance": 2.0**-31},
        {"local_variance": 2.0**33},
        {"local_variance": math.nan},
        {"local_variance": 0.0},
        {"local_variance": True},
        {"minimum_contributors": 0},
        {"minimum_contributors": True},
        {"l2_sensitivity": 0.0},
        {"l2_sensitivity": math.inf},
        {"dimension": 0},
        {"dimension": 2.5},
        {"minimum_contributors": 10**400},
        {"l2_sensitivity": 1e200},
    ],
)
def test_skellam_mechanism_refuses_parameters(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match=next(iter(changes))):
        skellam_mechanism(**changes)


@pytest.mark.parametrize(("contributors", "failure"), [(0, 0.1), (True, 0.1), (1, 0.0), (1, 1.0), (1, math.nan)])
def test_skellam_tail_bound_refuses_parameters(contributors: int, failure: float) -> None:
    with pytest.raises(InvalidParameter, match=r"contributors|failure"):
        skellam_mechanism().tail_bound(contributors, failure)


def test_every_law_of_integer_noise_has_a_mechanism_of_its_own() -> None:
    assert set(MECHANISMS) == set(LatticeNoise)
    assert set(MECHANISMS.values()) == set(get_args(LatticeMechanism))
