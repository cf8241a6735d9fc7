"""A further accountant in the tuple is used by the ledger and reported in every form."""

import itertools
import json
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest
from msgspec.structs import replace

from dp.accounting import accountants
from dp.accounting.accountant import Accountant, Bound, Releases
from dp.accounting.guarantee import guarantee, is_within
from dp.accounting.quick import QuickTotal
from dp.accounting.renyi_accountant import RenyiAccountant
from dp.calibration.least_noise import calibrate_gaussian, calibrate_noise
from dp.errors import InvalidReservation
from dp.events import DistributedDiscreteGaussianEvent, GaussianEvent, RepeatedEvent, SkellamEvent, decompose
from dp.ledger.ledger import Ledger
from dp.noise.distributed import DistributedDiscreteGaussian, DistributedSkellam
from dp.reporting.checklist import facts
from dp.reporting.collect import budget_report
from dp.reporting.document import as_json
from dp.reporting.page import as_html
from dp.reporting.text import as_text

GAUSSIAN: Final = GaussianEvent(noise_multiplier=2.0)
SKELLAM: Final = SkellamEvent(variance=400.0, contributors=10, l2_sensitivity=10.0, dimension=8)
DISCRETE: Final = DistributedDiscreteGaussianEvent(local_sigma=20.0, contributors=10, l2_sensitivity=10.0, dimension=8)
THIN: Final = replace(SKELLAM, variance=0.5)
DELTA: Final = 1e-3
CONTINUOUS: Final = 11.797293091


class TenthOfARelease(Accountant):
    """An accountant that says a tenth for each Gaussian release, and supports only these; not a true bound."""

    name: ClassVar = "tenths"
    title: ClassVar = "tenths of a release"

    def unsupported_reason(self, releases: Releases, delta: float) -> str | None:
        supported = bool(releases) and 0 < delta < 1 and all(isinstance(each, GaussianEvent) for each in releases)
        return None if supported else "not Gaussian"

    def epsilon(self, releases: Releases, delta: float) -> Bound:
        assert self.unsupported_reason(releases, delta) is None
        total = sum(releases.values()) / 10
        return Bound(
            accountant=self.name, title=self.title, epsilon=total, method="ten to one", notes=(("Tenths", "counted"),)
        )


class HalfOfRenyi(Accountant):
    """An accountant of integer noise, tighter than Renyi DP; not a true bound."""

    name: ClassVar = "half"
    title: ClassVar = "half of Renyi"

    def unsupported_reason(self, releases: Releases, delta: float) -> str | None:
        supported = bool(releases) and 0 < delta < 1
        noises = (decompose(each)[2] for each in releases)
        return "Gaussian" if not supported or any(isinstance(noise, GaussianEvent) for noise in noises) else None

    def epsilon(self, releases: Releases, delta: float) -> Bound:
        renyi = RenyiAccountant().epsilon(releases, delta)
        return Bound(accountant=self.name, title=self.title, epsilon=renyi.epsilon / 2, method="half as much")


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accountants, "ACCOUNTANTS", (*accountants.ACCOUNTANTS, TenthOfARelease()))


@pytest.fixture
def tighter_on_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accountants, "ACCOUNTANTS", (*accountants.ACCOUNTANTS, HalfOfRenyi()))


@pytest.mark.usefixtures("third")
def test_guarantee_is_the_least_bound_and_keeps_all() -> None:
    found = guarantee({GAUSSIAN: 3}, delta=DELTA)
    assert [bound.accountant for bound in found.bounds] == ["rdp", "pld", "tenths"]
    assert found.epsilon == pytest.approx(0.3)
    assert found.accountant == "ten to one"
    assert found.pld_epsilon is not None
    assert found.epsilon < found.pld_epsilon < found.rdp_epsilon
    assert is_within({GAUSSIAN: 3}, epsilon=0.31, delta=DELTA)
    assert not is_within({GAUSSIAN: 3}, epsilon=0.29, delta=DELTA)
    assert QuickTotal.of({GAUSSIAN: 1}).plus({GAUSSIAN: 2}).epsilon(DELTA) == pytest.approx(0.3)


@pytest.mark.usefixtures("third")
def test_guarantee_says_why_each_tighter_accountant_did_not_give_it() -> None:
    found = guarantee({THIN: 3}, delta=DELTA)
    assert [bound.accountant for bound in found.bounds] == ["rdp"]
    reason = (
        "privacy loss distributions not used: no Gaussian noise is known to dominate Skellam noise of a variance below "
        "0.6; tenths of a release not used: not Gaussian"
    )
    assert found.accountant.endswith(f"; {reason}")
    precise = guarantee({GaussianEvent(noise_multiplier=1e3): 1}, delta=DELTA)
    assert precise.accountant.startswith("exact for Gaussian noise")
    assert precise.accountant.endswith("; ten to one gave more")


@pytest.mark.usefixtures("third")
def test_ledger_and_its_report_use_a_third_accountant(path: Path) -> None:
    clock = map(float, itertools.count(1000)).__next__
    with Ledger.create(path, epsilon=1.05, delta=DELTA, population=300, clock=clock) as ledger:
        assert ledger.remaining(GAUSSIAN) == 10
        for number in range(4):
            ledger.reserve(GAUSSIAN, f"round {number}")
        assert ledger.spent().epsilon == pytest.approx(0.4)
        assert ledger.remaining(GAUSSIAN) == 6
        report = budget_report(ledger)
    assert [release.epsilon_after for release in report.releases] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert [epsilon for _, epsilon in report.projection] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert all(at.epsilon <= 0.4 for at in report.epsilon_by_delta)
    shown = dict(facts(report))
    assert shown["Three accountants"].startswith("tenths of a release 0.40000, privacy loss distributions ")
    assert shown["Three accountants"].endswith("; the smallest figure counts")
    assert shown["Tenths"] == "counted"
    bounds = json.loads(as_json(report))["spent"]["bounds"]
    assert bounds[2] == {"accountant": "tenths", "epsilon": 0.4, "method": "ten to one"}
    assert all("tenths of a release" in form for form in (as_text(report, width=1000), as_html(report)))


@pytest.mark.usefixtures("tighter_on_integers")
def test_calibration_uses_a_tighter_accountant_of_integer_noise() -> None:
    budget: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-5, "releases": 10}
    size: dict[str, Any] = {"l2_sensitivity": 100.0, "dimension": 8, "minimum_contributors": 10}
    assert calibrate_gaussian(**budget) == pytest.approx(CONTINUOUS, rel=1e-9)
    for mechanism in (DistributedDiscreteGaussian, DistributedSkellam):
        noise = calibrate_noise(mechanism, **budget, **size)
        assert guarantee({noise.event: 10}, delta=1e-5).epsilon == pytest.approx(1.0, rel=1e-4)
        assert noise.noise_multiplier < 0.6 * CONTINUOUS


@pytest.mark.usefixtures("tighter_on_integers")
def test_renyi_divergences_decide_nothing_about_noise_that_another_accountant_supports(path: Path) -> None:
    strong = replace(SKELLAM, variance=4000.0)
    with Ledger.create(path, epsilon=100.0, delta=DELTA, population=300) as ledger:
        for event in (SKELLAM, RepeatedEvent(times=2, event=SKELLAM)):
            ledger.check(event, label="kept", contributors=20, realised=strong)
            ledger.commit(ledger.reserve(event, "kept"), contributors=20, realised=strong)
        refused = ledger.reserve(SKELLAM, "refused")
        for other in (DISCRETE, GaussianEvent(noise_multiplier=9.0), RepeatedEvent(times=2, event=strong)):
            with pytest.raises(InvalidReservation, match="an accountant other than Renyi DP supports the reserved"):
                ledger.commit(refused, contributors=20, realised=other)


def test_ledger_opens_if_an_accountant_of_its_noise_is_added(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.create(path, epsilon=100.0, delta=DELTA, population=300) as ledger:
        ledger.commit(ledger.reserve(SKELLAM, "x"), contributors=20, realised=DISCRETE)
        assert ledger.unsupported_realised() == ()
    monkeypatch.setattr(accountants, "ACCOUNTANTS", (*accountants.ACCOUNTANTS, HalfOfRenyi()))
    with Ledger.open_to_read(path) as ledger:
        assert ledger.unsupported_realised() == (1,)


def test_accountants_begin_with_one_that_supports_everything() -> None:
    first, *_ = accountants.ACCOUNTANTS
    assert first.unsupported_reason({}, DELTA) is None
    assert first.unsupported_reason({SKELLAM: 1}, DELTA) is None
    assert len({each.name for each in accountants.ACCOUNTANTS}) == len(accountants.ACCOUNTANTS)
