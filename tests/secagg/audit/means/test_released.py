from dataclasses import replace

import pytest

from dp.events import Trust
from secagg.aggregation.weighting import Weighting
from secagg.audit.attack import Level
from secagg.audit.finding import Verdict
from secagg.audit.means.released import Granularity, WrapAround
from secagg.audit.means.subject import MeanSubject, Setting, Wish
from secagg.audit.means.suite import TARGET, mean_subject
from secagg.audit.runner import finding


@pytest.mark.parametrize("bits", [14, 18, 24])
def test_honest_means_are_whole_numbers_of_steps(bits: int) -> None:
    found = finding(mean_subject("mean", modulus_bits=bits), Granularity(), level=Level.QUICK, master=b"x")
    assert found.verdict is Verdict.NOT_REJECTED
    assert found.value is not None
    assert found.value < 1e-8


def test_weighted_mean_of_the_server_is_not_tested() -> None:
    central = replace(TARGET, trust=Trust.CENTRAL)
    subject = mean_subject("mean", weighting=Weighting.WEIGHTED, target=central)
    assert finding(subject, Granularity(), level=Level.QUICK, master=b"x").verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize("target", [None, TARGET, replace(TARGET, trust=Trust.CENTRAL)])
def test_a_grid_that_is_twice_too_fine_wraps_around(target: object) -> None:
    right = mean_subject("mean", target=target)  # type: ignore[arg-type]

    def planner(wish: Wish) -> Setting:
        setting = right.setting(wish)
        encoding = setting.mean.encoding
        return replace(
            setting, mean=replace(setting.mean, encoding=replace(encoding, granularity=encoding.granularity / 2))
        )

    assert finding(right, WrapAround(), level=Level.QUICK, master=b"x").verdict is Verdict.NOT_REJECTED
    fine = MeanSubject(planner, name="fine", claims=right.claims)
    found = finding(fine, WrapAround(), level=Level.QUICK, master=b"x")
    if target is TARGET:
        # The noise is sized for the coarser grid, and reaches half as far.
        assert found.value is not None
        assert found.value > 0.5
    else:
        assert found.verdict is Verdict.REJECTED
