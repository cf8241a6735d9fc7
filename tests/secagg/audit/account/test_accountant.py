"""The bounds with which an accountant is compared."""

import math

import pytest

from secagg.audit.account.accountant import (
    AccountantSubject,
    FromAbove,
    gaussian_cases,
    lattice_cases,
    renyi_bound,
    sampled_cases,
    toolkit_epsilon,
)
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.runner import finding
from tests.support.audit_checks import MASTER


@pytest.mark.parametrize("case", gaussian_cases(), ids=lambda case: case.words)
def test_exact_epsilon_of_gaussian_noise_is_below_the_simple_bound(case) -> None:  # type: ignore[no-untyped-def]
    assert 0 < case.bound < renyi_bound(case.events)
    assert toolkit_epsilon(case.events, 1e-5) == pytest.approx(case.bound, rel=0.35)


def test_lower_bounds_grow_with_the_number_of_releases() -> None:
    for cases in (lattice_cases(), sampled_cases((1, 2))[1::2]):
        bounds = [case.bound for case in cases]
        assert bounds == sorted(bounds)
        assert 0 < bounds[0] < math.inf


def test_accountant_that_says_too_much_is_rejected_from_above() -> None:
    doubled = AccountantSubject(lambda events, delta: 2 * toolkit_epsilon(events, delta))
    assert finding(doubled, FromAbove(), level=Level.QUICK, master=MASTER).verdict is Verdict.REJECTED
