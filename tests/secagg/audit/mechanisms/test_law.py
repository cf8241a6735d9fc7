import math

import numpy as np
import pytest
from scipy import special

from secagg.audit.mechanisms.law import DiscreteGaussianLaw, Law, Moments, OwnLaw, SkellamLaw, moments_of


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0, 10.0, 300.0])
def test_discrete_gaussian_has_the_moments_of_its_probabilities(sigma: float) -> None:
    law = DiscreteGaussianLaw(sigma)
    found = moments_of(law.probabilities(law.reach))
    assert law.moments.variance == pytest.approx(found.variance, rel=1e-12)
    assert law.moments.fourth == pytest.approx(found.fourth, abs=1e-9 * found.variance**2)


@pytest.mark.parametrize("variance", [0.01, 1.0, 40.0, 1e4])
def test_skellam_has_the_moments_of_its_probabilities(variance: float) -> None:
    law = SkellamLaw(variance)
    found = moments_of(law.probabilities(law.reach))
    assert found.variance == pytest.approx(variance, rel=1e-10)
    assert found.fourth == pytest.approx(variance, rel=1e-3, abs=1e-9 * variance**2)


@pytest.mark.parametrize(
    "law", [DiscreteGaussianLaw(2.0), DiscreteGaussianLaw(1000.0), SkellamLaw(0.1), SkellamLaw(1e6)]
)
def test_cumulated_probabilities_are_sums(law: Law) -> None:
    edges = np.array([-(2**50), -3, -1, 0, 1, 2, 2**50], dtype=np.int64)
    weights = law.probabilities(law.reach)
    x = np.arange(-law.reach, law.reach + 1)
    right = [weights[x <= edge].sum() for edge in edges]
    np.testing.assert_allclose(law.cumulated(edges), right, atol=1e-12)


@pytest.mark.parametrize(("narrow", "wide"), [(DiscreteGaussianLaw(1023.0), DiscreteGaussianLaw(1025.0))])
def test_wide_laws_are_cumulated_as_normal_ones(narrow: Law, wide: Law) -> None:
    for law in (narrow, wide):
        deviation = math.sqrt(law.moments.variance)
        edges = np.array([round(at * deviation) for at in (-3, -1, 0, 1, 3)], dtype=np.int64)
        np.testing.assert_allclose(law.cumulated(edges), special.ndtr((edges + 0.5) / deviation), atol=1e-7)


def test_own_law_has_the_moments_of_its_probability_function() -> None:
    law = OwnLaw(lambda x: np.where(np.abs(x) <= 1, 1 / 3, 0.0), furthest=5)
    assert law.moments.variance == pytest.approx(2 / 3)
    assert law.moments.fourth == pytest.approx(2 / 3 - 3 * (2 / 3) ** 2)
    assert law.cumulated(np.array([-2, -1, 0, 7])) == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_moments_of_sums_add_up() -> None:
    assert Moments(variance=2.0, fourth=1.0).times(3) == Moments(variance=6.0, fourth=3.0)
