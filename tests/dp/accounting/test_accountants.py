"""A further accountant in the tuple is used by the ledger and reported in every form."""

import itertools
import json
from pathlib import Path
from typing import ClassVar, Final

import pytest

from dp.accounting import accountants
from dp.accounting.accountant import Accountant, Bound, Releases
from dp.accounting.guarantee import guarantee, is_within
from dp.accounting.quick import QuickTotal
from dp.events import GaussianEvent, SkellamEvent
from dp.ledger.ledger import Ledger
from dp.reporting.checklist import facts
from dp.reporting.collect import budget_report
from dp.reporting.document import as_json
from dp.reporting.page import as_html
from dp.reporting.text import as_text

GAUSSIAN: Final = GaussianEvent(noise_multiplier=2.0)
SKELLAM: Final = SkellamEvent(variance=400.0, contributors=10, l2_sensitivity=10.0, dimension=8)
DELTA: Final = 1e-3


class TenthOfARelease(Accountant):
    """An accountant that says a tenth for each Gaussian release, and supports none but these; not a true bound."""

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


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accountants, "ACCOUNTANTS", (*accountants.ACCOUNTANTS, TenthOfARelease()))


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
    found = guarantee({SKELLAM: 3}, delta=DELTA)
    assert [bound.accountant for bound in found.bounds] == ["rdp"]
    reason = (
        "privacy loss distributions not used: noise other than Gaussian; tenths of a release not used: not Gaussian"
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


def test_accountants_begin_with_one_that_supports_everything() -> None:
    first, *_ = accountants.ACCOUNTANTS
    assert first.unsupported_reason({}, DELTA) is None
    assert first.unsupported_reason({SKELLAM: 1}, DELTA) is None
    assert len({each.name for each in accountants.ACCOUNTANTS}) == len(accountants.ACCOUNTANTS)
