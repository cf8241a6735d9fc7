import hashlib
import math
from typing import Any

import numpy as np
import pytest

from dp.distributed import DistributedDiscreteGaussian
from dp.errors import InvalidParameter
from dp.sampling import discrete_gaussian


def mechanism(**changes: Any) -> DistributedDiscreteGaussian:
    parameters: dict[str, Any] = {
        "local_sigma": 3.0,
        "minimum_contributors": 16,
        "l2_sensitivity": 6.0,
        "dimension": 1000,
    }
    return DistributedDiscreteGaussian(**parameters | changes)


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
