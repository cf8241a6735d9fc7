import math

import numpy as np
import pytest
from numpy.typing import NDArray

from secagg.aggregation import encoding as encoding_module
from secagg.aggregation.weighting import Weighting
from secagg.audit.attack import LEVEL_OF_ATTEMPT, Level
from secagg.audit.finding import Verdict
from secagg.audit.means.rounding import RoundingBias, RoundingCoins, exact_steps, small_update
from secagg.audit.means.subject import Wish
from secagg.audit.means.suite import mean_subject
from secagg.audit.planted.patch import replaced
from secagg.audit.runner import finding
from secagg.audit.seeds import Tape
from secagg.privacy.clipping import ClippingKind

WISH = Wish(clients=4, minimum_contributors=3, dimension=64)


@pytest.mark.parametrize("weighting", list(Weighting))
@pytest.mark.parametrize("clipping", list(ClippingKind))
def test_exact_steps_are_less_than_one_from_the_rounded_ones(weighting: Weighting, clipping: ClippingKind) -> None:
    subject = mean_subject("mean", weighting=weighting, clipping=clipping)
    setting = subject.setting(WISH)
    made, update = subject.round_plan(setting, b"s"), small_update(setting, b"s")
    weight = 7.0 if weighting is Weighting.WEIGHTED else None
    rounded = subject.integers(made, 1, update, weight, Tape(b"s"))
    assert np.abs(rounded - exact_steps(made, update, weight)).max() < 1


def test_rounding_to_the_nearest_is_rejected_although_its_errors_have_the_mean_zero() -> None:
    def nearest(scaled: NDArray[np.float64], *, l2_bound: float, entropy: object) -> NDArray[np.int64]:
        return np.asarray(np.rint(scaled), dtype=np.int64)

    with replaced(encoding_module, "round_at_random", nearest):
        found = finding(mean_subject("mean"), RoundingBias(), level=Level.QUICK, master=b"x")
        coins = finding(mean_subject("mean"), RoundingCoins(), level=Level.QUICK, master=b"x")
    assert found.verdict is Verdict.REJECTED
    assert abs(found.value or 1.0) < 0.01
    assert coins.verdict is Verdict.REJECTED


def test_rounding_bias_has_its_level_exactly() -> None:
    """With all fractions at one half, the sum of the errors is binomial; with others it is a product of polynomials."""
    chosen = np.random.default_rng(3)
    for fractions in (np.full(800, 0.5), chosen.random(800)):
        angles = 2 * np.pi * np.arange(801) / 801
        logarithm = np.zeros(801, dtype=np.complex128)
        for fraction in fractions:
            logarithm += np.log(1 - fraction + fraction * np.exp(1j * angles))
        law = np.fft.fft(np.exp(logarithm)).real / 801
        spread = math.sqrt(float((fractions * (1 - fractions)).sum()))
        # Half of the level is each statistic's, and its p value is two-sided.
        threshold = 3.480756404153389 * spread
        outside = np.abs(np.arange(801) - fractions.sum()) > threshold
        assert float(law[outside].sum()) == pytest.approx(LEVEL_OF_ATTEMPT / 2, rel=0.1)


def test_every_byte_of_the_coins_matters() -> None:
    found = finding(mean_subject("mean"), RoundingCoins(), level=Level.QUICK, master=b"x")
    assert found.verdict is Verdict.NOT_REJECTED
    assert found.statistic.endswith("of 64")
