"""The classifier and the tests beside it: what they reject, and what they do not."""

import numpy as np
import pytest
from scipy import stats

from protocols import Adversary, SecAgg
from protocols.plain import PlainSum
from secagg.audit.attack import LEVEL_OF_ATTEMPT, Attack, Level
from secagg.audit.finding import Verdict
from secagg.audit.runner import finding
from secagg.audit.sums.attacks.base import sum_of
from secagg.audit.sums.indistinguishable import (
    SameSum,
    SameSumColluding,
    classified,
    compared,
    edge_of,
    two_sets,
)
from secagg.audit.sums.subject import SumSubject

each_check = pytest.mark.parametrize("check", [SameSum(), SameSumColluding()], ids=lambda check: check.id)


@each_check
def test_plain_sum_is_rejected(check: Attack[SumSubject]) -> None:
    found = finding(SumSubject.suggested(PlainSum), check, level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.REJECTED


@each_check
def test_secagg_is_not_rejected(check: Attack[SumSubject]) -> None:
    found = finding(SumSubject.suggested(SecAgg), check, level=Level.QUICK, master=b"master")
    assert found.verdict is Verdict.NOT_REJECTED


def test_two_sets_have_one_sum_and_one_vector_of_the_colluder() -> None:
    cohort = SumSubject.suggested(SecAgg, adversary=Adversary.MALICIOUS).cohort(3, length=4)
    one, other = two_sets(cohort, b"seed")
    modulus = cohort.session.modulus
    assert sum_of(one, (1, 2, 3), modulus).tolist() == sum_of(other, (1, 2, 3), modulus).tolist()
    assert one[1].tolist() != other[1].tolist()
    assert one[3].tolist() == other[3].tolist()


def test_features_of_one_distribution_are_rejected_as_rarely_as_stated() -> None:
    """Of 120 comparisons about 6 at most are below 0.05: more than 20 have a chance below 1e-6."""
    generator = np.random.default_rng(3)
    results = [compared(*generator.normal(size=(2, 60, 8))) for _ in range(120)]
    assert sum(result.p_value is not None and result.p_value < 0.05 for result in results) <= 20


def test_shift_of_one_feature_is_rejected() -> None:
    one, other = np.random.default_rng(3).normal(size=(2, 400, 20))
    other[:, 7] += 1
    result = compared(one, other)
    assert result.rejects
    right, judged = classified(one, other)
    assert judged == 400
    assert right > 230


def test_features_that_never_vary_are_no_evidence() -> None:
    result = compared(np.ones((20, 3)), np.ones((20, 3)))
    assert result.p_value == 1.0


def test_feature_that_is_constant_in_each_set_tells_them_apart() -> None:
    one, other = np.zeros((40, 2)), np.zeros((40, 2))
    other[:, 1] = 1
    assert compared(one, other).rejects


def test_edge_of_4000_views_is_below_one_twentieth() -> None:
    """The binomial test at half the level finds an edge of 0.047 with 99.5%, and misses a much smaller one."""
    edge = edge_of(4_000)
    assert edge < 0.05
    critical = stats.binom.isf(LEVEL_OF_ATTEMPT / 2, 4_000, 0.5) + 1
    assert stats.binom.sf(critical - 1, 4_000, 0.5 + edge) >= 0.995
    assert stats.binom.sf(critical - 1, 4_000, 0.5 + edge / 2) < 0.5
