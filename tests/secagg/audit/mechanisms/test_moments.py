from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from protocols.crypto.entropy import Entropy
from secagg.audit.attack import Attack, Level
from secagg.audit.finding import Verdict
from secagg.audit.mechanisms.law import DiscreteGaussianLaw, OwnLaw, SkellamLaw
from secagg.audit.mechanisms.moments import DrawCorrelation, Fit, RoundedVariance, Variance
from secagg.audit.mechanisms.subject import MechanismSubject
from secagg.audit.mechanisms.suite import gaussian_subject, skellam_subject
from secagg.audit.runner import finding

MASTER = b"test of moments"


def verdict(subject: MechanismSubject, attack: Attack[Any], level: Level = Level.QUICK) -> Verdict:
    return finding(subject, attack, level=level, master=MASTER).verdict


def coins(entropy: Entropy) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(entropy(16), "big"))


def own(draw: Callable[[np.random.Generator, int], NDArray[np.int64]]) -> MechanismSubject:
    """Return a third party's mechanism that claims -1, 0 and 1 with equal probabilities."""
    law = OwnLaw(lambda x: np.where(np.abs(x) <= 1, 1 / 3, 0.0), furthest=5)
    return MechanismSubject(lambda size, entropy: draw(coins(entropy), size), law, name="own")


def test_own_mechanism_with_its_probability_function_is_not_rejected() -> None:
    right = own(lambda generator, size: generator.integers(-1, 2, size))
    for attack in (Variance(), Fit(), DrawCorrelation()):
        assert verdict(right, attack) is Verdict.NOT_REJECTED


def test_fit_rejects_a_law_of_the_same_variance() -> None:
    """Two in 12 of the time, -2 or 2; else 0: the variance is 2/3."""
    wrong = own(lambda generator, size: generator.choice([-2, 0, 2], size, p=[1 / 12, 10 / 12, 1 / 12]))
    assert verdict(wrong, Variance()) is Verdict.NOT_REJECTED
    assert verdict(wrong, Fit()) is Verdict.REJECTED


def test_draws_that_depend_on_each_other_are_rejected() -> None:
    def twice(generator: np.random.Generator, size: int) -> NDArray[np.int64]:
        return np.repeat(generator.integers(-1, 2, size), 2)[:size]

    assert verdict(own(twice), DrawCorrelation()) is Verdict.REJECTED


def test_a_source_that_returns_one_draw_for_ever_is_rejected() -> None:
    kept = np.random.default_rng(1).integers(-1, 2, 2**20)
    assert verdict(own(lambda _, size: kept[:size]), DrawCorrelation()) is Verdict.REJECTED


def test_variance_of_noise_that_is_almost_always_zero_does_not_apply() -> None:
    subject = MechanismSubject(lambda size, _: np.zeros(size, dtype=np.int64), SkellamLaw(2.0**-30), name="sparse")
    assert verdict(subject, Variance()) is Verdict.NOT_APPLICABLE
    assert verdict(subject, Fit()) is Verdict.NOT_APPLICABLE
    assert verdict(subject, DrawCorrelation()) is Verdict.NOT_APPLICABLE


def test_variance_draws_enough_of_sparse_noise() -> None:
    found = finding(skellam_subject(1 / 4096), Variance(), level=Level.QUICK, master=MASTER)
    assert found.trials > 2_000_000
    assert found.verdict is Verdict.NOT_REJECTED


@pytest.mark.parametrize(
    ("sigma", "level", "applies"),
    [
        (2.0, Level.QUICK, False),  # Variance draws enough.
        (5.0, Level.QUICK, True),
        (10.0, Level.QUICK, True),
        (11.0, Level.QUICK, False),  # No statistics can.
    ],
)
def test_rounded_variance_applies_where_it_can_tell_and_is_needed(sigma: float, level: Level, applies: bool) -> None:
    plan = RoundedVariance().plan(gaussian_subject(sigma), level)
    assert hasattr(plan, "trials") is applies


def test_rounded_variance_finds_a_rounded_normal_of_width_4() -> None:
    def draw(size: int, entropy: Entropy) -> NDArray[np.int64]:
        return np.asarray(np.rint(4 * coins(entropy).standard_normal(size)), dtype=np.int64)

    subject = MechanismSubject(draw, DiscreteGaussianLaw(4.0), name="rounded")
    found = finding(subject, RoundedVariance(), level=Level.QUICK, master=MASTER)
    assert found.verdict is Verdict.REJECTED
    assert found.trials == 10_000_000
    assert "a rounded normal" in (found.power or "")
