"""Membership inference: its curve by hand, the members that it finds without noise, and that it decides nothing."""

import numpy as np
import pytest

from secagg.audit.attack import Level, Plan
from secagg.audit.epsilon.membership import (
    POOL,
    RATES,
    Membership,
    MembershipSubject,
    area,
    attacked,
    likelihood_ratios,
    true_positives,
)
from secagg.audit.finding import Verdict
from secagg.audit.runner import finding

SEED = bytes(range(32))


def test_curve_of_a_few_scores_is_that_by_hand() -> None:
    scores = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    members = np.array([True, False, True, True, False, False])
    assert true_positives(scores, members, 0.0) == pytest.approx(1 / 3)
    assert true_positives(scores, members, 0.34) == 1
    assert true_positives(scores, members, 1.0) == 1
    assert area(scores, members) == pytest.approx(7 / 9)


def test_likelihood_ratio_prefers_the_nearer_mean() -> None:
    said = np.array([[0.0], [0.2], [1.0], [1.2]])
    halves = np.array([[False], [False], [True], [True]])
    low, middle, high = likelihood_ratios(said, halves, [np.array([value]) for value in (0.1, 0.6, 1.1)])
    assert low[0] == pytest.approx(-1 / (2 * 0.01))
    assert middle[0] == pytest.approx(0)
    assert high[0] == pytest.approx(-low[0])


def test_members_are_found_in_a_model_without_noise() -> None:
    """By chance, 1% of the 400 or so members would be found at 1% false positives; 10% has a chance below 1e-6."""
    scores, members = attacked(MembershipSubject(name="bare", target=None), shadows=12, released=4, seed=SEED)
    assert scores.shape == members.shape == (4 * POOL,)
    assert true_positives(scores, members, 0.01) > 0.1
    assert area(scores, members) > 0.75


def test_curve_of_private_training_is_shown_without_a_verdict() -> None:
    subject = MembershipSubject.planned(name="private", epsilon=4.38)
    found = finding(subject, Membership(), level=Level.QUICK, master=bytes(32))
    assert found.verdict is Verdict.MEASURED
    assert found.epsilon == ()
    names, values = zip(*found.figures, strict=True)
    assert names == (*(f"true positives at {rate:.1%} false positives" for rate in RATES), "area under the curve")
    assert values[1] < 0.1
    assert 0.35 < values[3] < 0.65


def test_membership_plans_more_models_at_the_full_level() -> None:
    subject = MembershipSubject.planned(name="private", epsilon=4.38)
    quick, full = (Membership().plan(subject, level) for level in Level)
    assert isinstance(quick, Plan)
    assert isinstance(full, Plan)
    assert (quick.trials, full.trials) == (4 * POOL, 16 * POOL)
