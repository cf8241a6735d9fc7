import pytest

from secagg.audit.attack import Inapplicable, Level
from secagg.audit.means.count import CountVariance
from secagg.audit.means.freshness import ClientCorrelation, RoundCorrelation
from secagg.audit.means.noise import ReleaseVariance, ShareVariance
from secagg.audit.means.subject import MeanSubject, Setting, Wish
from secagg.audit.means.suite import TARGET, mean_subject
from secagg.audit.runner import finding

NOISE = (ReleaseVariance(), ShareVariance(), RoundCorrelation(), ClientCorrelation(), CountVariance())


@pytest.mark.parametrize("attack", NOISE, ids=lambda attack: attack.id)
def test_a_mean_without_noise_is_not_tested_for_it(attack: ReleaseVariance) -> None:
    plan = attack.plan(mean_subject("mean", target=None), Level.QUICK)
    assert isinstance(plan, Inapplicable)


def test_release_is_tested_at_every_number_of_dropouts() -> None:
    plan = ReleaseVariance().plan(mean_subject("mean"), Level.QUICK)
    assert not isinstance(plan, Inapplicable)
    assert plan.details[2] == (0, 1)
    assert plan.trials == 2 * 20_480
    many = mean_subject("mean").setting(Wish(clients=12, minimum_contributors=7, dimension=64))
    plan = ReleaseVariance().plan(MeanSubject.of(many), Level.QUICK)
    assert not isinstance(plan, Inapplicable)
    assert plan.details[2] == (0, 1, 4, 5)


def test_short_vectors_are_tested_in_more_rounds_and_with_the_power_that_they_have() -> None:
    short = mean_subject("mean").setting(Wish(clients=4, minimum_contributors=3, dimension=64))
    plan = ShareVariance().plan(MeanSubject.of(short), Level.QUICK)
    assert not isinstance(plan, Inapplicable)
    assert plan.trials == 4 * 60 * 64
    assert plan.power is not None
    assert plan.power.startswith("noise at 0.931 times")
    tiny = mean_subject("mean").setting(Wish(clients=4, minimum_contributors=3, dimension=8))
    plan = ShareVariance().plan(MeanSubject.of(tiny), Level.QUICK)
    assert isinstance(plan, Inapplicable)
    assert "rounds" in plan.why


def test_count_is_tested_if_the_clip_adapts() -> None:
    assert isinstance(CountVariance().plan(mean_subject("mean"), Level.QUICK), Inapplicable)


def test_finding_says_what_it_could_have_found() -> None:
    found = finding(mean_subject("mean"), ShareVariance(), level=Level.QUICK, master=b"power")
    assert found.power is not None
    assert "0.969" in found.power
    assert found.trials == 4 * 20_480
    assert TARGET.colluding == 1
    assert isinstance(mean_subject("x").setting(ShareVariance.wish), Setting)
