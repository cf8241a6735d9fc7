"""A report of a ledger with a filter, or whose releases depend on results, states the budget and nothing smaller."""

import base64
import json
import math
import re
from pathlib import Path

import msgspec
import pytest

from dp.accounting.gaussian_curve import largest_mu
from dp.accounting.guarantee import Claim, guarantee
from dp.accounting.renyi_order import renyi_budget
from dp.events import DistributedDiscreteGaussianEvent, GaussianEvent, NeighbouringRelation, PoissonSampledEvent
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation
from dp.ledger.records import Reservation
from dp.ledger.sqlite_log import SqliteLog
from dp.reporting.charts import charts
from dp.reporting.checklist import facts
from dp.reporting.collect import budget_report
from dp.reporting.document import as_json
from dp.reporting.filters import budget_at, has_filter, method, whole_limit
from dp.reporting.page import as_html
from dp.reporting.report import BudgetReport
from dp.reporting.text import as_text
from tests.support.ledgers import ticks

EPSILON, DELTA = 6.0, 1e-3
LATTICE = DistributedDiscreteGaussianEvent(local_sigma=20.0, contributors=100, l2_sensitivity=100.0, dimension=650)
GAUSSIAN = GaussianEvent(noise_multiplier=3.0)
NO_GUARANTEE = "Stopping early because of the results does not make the guarantee better"


def reported(
    path: Path, accounting: Accounting, *, releases: int = 3, participation: Participation | None = None
) -> BudgetReport:
    """The report of a ledger with two kinds of noise, one kind if it is fixed; the last release is not committed."""
    kinds = (LATTICE,) if accounting is Accounting.FIXED else (LATTICE, GAUSSIAN)
    asked = None if participation is None else range(120)
    with Ledger.create(
        path,
        epsilon=EPSILON,
        delta=DELTA,
        population=300,
        accounting=accounting,
        participation=participation,
        clock=ticks(),
    ) as ledger:
        for number in range(releases):
            event = kinds[number % len(kinds)]
            ticket = ledger.reserve(event, f"release {number + 1}", participants=asked)
            if number < releases - 1:
                ledger.commit(ticket, contributors=120 if asked is None else asked, realised=event)
        return budget_report(ledger)


@pytest.mark.parametrize("accounting", [Accounting.GAUSSIAN_FILTER, Accounting.RENYI_FILTER])
def test_report_of_a_filter_states_the_budget(tmp_path: Path, accounting: Accounting) -> None:
    report = reported(tmp_path / "l", accounting)
    assert (report.spent.claim, report.spent.epsilon) == (Claim.BUDGET, EPSILON)
    assert report.stated_epsilon == EPSILON
    assert (report.realised, report.unamplified, report.remaining_epsilon) == (None, None, None)
    assert [release.epsilon_after for release in report.releases] == [None] * 3
    used = [release.used_after for release in report.releases]
    assert used == sorted(used, key=lambda part: part or 0.0)
    assert used[-1] == report.spent.used == report.used
    fixed = guarantee({LATTICE: 2, GAUSSIAN: 1}, delta=DELTA).epsilon
    for form in (as_text(report, width=10_000), as_html(report)):
        assert NO_GUARANTEE in form
        assert f"{fixed:.4f}"[:-1] not in form
        assert f"{100 * report.used:.2f}"[:-1] in form
    text = as_text(report, width=10_000)
    assert "All releases that this ledger admits, 3 so far, are together (6.0000, 0.001)-differentially" in text
    assert "Epsilon spent" not in text
    assert re.search(r"^    3 .*%$", text, re.MULTILINE)


def test_used_part_is_that_of_the_filter(tmp_path: Path) -> None:
    report = reported(tmp_path / "l", Accounting.GAUSSIAN_FILTER)
    limit = largest_mu(EPSILON, DELTA) ** 2
    first, second, third = (release.used_after or 0.0 for release in report.releases)
    assert second - first == pytest.approx(1 / 9 / limit, rel=1e-9)
    assert third - second == pytest.approx(first, rel=1e-9)
    (more, part), *_ = report.projection
    assert (more, part) == (1, pytest.approx(third + first, rel=1e-9))
    assert report.left == f"{math.floor(1e4 * (100 - 100 * third)) / 1e4:.4f}% of the budget"


def test_accountant_of_a_filter_is_named(tmp_path: Path) -> None:
    gaussian = reported(tmp_path / "g", Accounting.GAUSSIAN_FILTER)
    assert gaussian.accountant.startswith("Gaussian filter: the sum of 1/z^2 over releases stays at most mu^2 = ")
    assert "integer noise counted as the Gaussian noise that dominates it" in gaussian.accountant
    assert "integer noise" not in method(gaussian.budget, [GAUSSIAN])
    renyi = reported(tmp_path / "r", Accounting.RENYI_FILTER)
    assert renyi.accountant.startswith(f"Renyi filter at order {renyi.budget.order}, fixed when the ledger was made")
    for report in (gaussian, renyi):
        assert dict(facts(report))["Accountant"] == report.accountant
        assert not {"Two accountants", "Renyi orders", "Earlier reports"} & set(dict(facts(report)))


def test_budget_of_a_filter_is_stated_for_other_deltas(tmp_path: Path) -> None:
    gaussian = reported(tmp_path / "g", Accounting.GAUSSIAN_FILTER).budget
    deltas = (1e-2, DELTA, 1e-6)
    mu = largest_mu(EPSILON, DELTA)
    found = budget_at(gaussian, deltas)
    for at in deltas:
        exact = guarantee({GaussianEvent(noise_multiplier=1 / mu): 1}, delta=at).epsilon
        assert exact <= found[at] * (1 + 1e-12)
        assert found[at] == pytest.approx(exact, rel=1e-6)
    assert 1 / whole_limit(gaussian).noise_multiplier ** 2 >= mu**2 * (1 - 1e-15)
    renyi = reported(tmp_path / "r", Accounting.RENYI_FILTER).budget
    assert renyi.order is not None
    limit = renyi_budget(renyi.order, epsilon=EPSILON, delta=DELTA)
    for at, epsilon in budget_at(renyi, deltas).items():
        assert renyi_budget(renyi.order, epsilon=epsilon, delta=at) == pytest.approx(limit, rel=1e-9)
    for report in (reported(tmp_path / "again", Accounting.GAUSSIAN_FILTER),):
        assert all(each.epsilon <= EPSILON for each in report.epsilon_by_delta if each.delta >= DELTA)


def test_json_has_claim_and_used_part(tmp_path: Path) -> None:
    report = reported(tmp_path / "l", Accounting.GAUSSIAN_FILTER)
    found = json.loads(as_json(report))
    assert (found["spent"]["claim"], found["spent"]["epsilon"]) == ("budget", EPSILON)
    assert found["spent"]["used"] == report.used
    assert (found["realised"], found["participation"], found["statements"]) == (None, None, [])
    assert found["remaining"] == {"epsilon": None, "part": 1 - report.used, "releases": report.remaining_releases}
    assert (found["budget"]["accounting"], found["budget"]["order"]) == ("gaussian-filter", None)
    assert [release["epsilon_after"] for release in found["releases"]] == [None] * 3
    assert found["releases"][-1]["used_after"] == report.used


def test_charts_of_a_filter_show_the_part_of_the_budget_and_no_epsilon_so_far(tmp_path: Path) -> None:
    report = reported(tmp_path / "l", Accounting.GAUSSIAN_FILTER)
    first, second, third, *_ = charts(report)
    assert first.title == "Budget used by release"
    assert "The guarantee is the whole budget at every release" in first.caption
    assert second.caption.startswith("Part of the budget left after each release")
    assert third.caption.startswith("Epsilon of the whole budget for other deltas")
    for each in (first, second):
        drawing = base64.b64decode(each.light.partition(",")[2]).decode()
        assert "% of the budget" in drawing
        assert ">epsilon" not in drawing


def test_fixed_ledger_whose_cohorts_depend_on_results_shows_what_is_charged_as_no_guarantee(tmp_path: Path) -> None:
    participation = Participation(clients="c1" * 32, cap=5)
    report = reported(tmp_path / "l", Accounting.FIXED, participation=participation)
    charged = guarantee({LATTICE: 3}, delta=DELTA).epsilon
    assert (report.spent.claim, report.spent.epsilon, report.spent.used) == (Claim.BUDGET, EPSILON, None)
    assert report.releases[-1].epsilon_after == report.spent.least_bound == charged
    assert (report.realised, report.epsilon_by_delta) == (None, ())
    assert report.used == charged / EPSILON
    used = dict(facts(report))["Used so far"]
    assert "as if all of that had been fixed beforehand. This is no guarantee" in used
    assert "neither does a client's count that stayed below the others" in used
    text = as_text(report, width=10_000)
    assert " if fixed\n" in text
    assert "epsilon after each" not in text.lower()
    assert "It is no guarantee: the guarantee is the budget" in charts(report)[0].caption
    assert len(charts(report)) == 4
    assert "Epsilon after, if fixed beforehand" in as_html(report)


def test_ledger_that_claims_what_was_spent_says_what_holds_after_a_look_at_results(tmp_path: Path) -> None:
    report = reported(tmp_path / "l", Accounting.FIXED)
    found = dict(facts(report))
    assert found["Epsilon spent"].endswith(" of 6, computed from the reserved noise")
    assert found["After a look at results"].startswith("epsilon 6, the budget. If results decided when to stop")
    assert found["After a look at results"].endswith(NO_GUARANTEE)
    assert "an earlier report of the same releases may state a larger epsilon" in found["Earlier reports"]
    assert any("the epsilon of the budget is guaranteed" in each.how for each in report.assumptions)
    failed = report.refuted({report.assumptions[-1].text: "There is another."})
    assert "After a look at results" not in dict(facts(failed))


def test_earlier_reports_are_mentioned_only_if_they_may_differ(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "l", epsilon=6.0, delta=1e-3, population=300) as ledger:
        ledger.reserve(GAUSSIAN, "continuous")
        assert "Earlier reports" not in dict(facts(budget_report(ledger)))


def test_conditions_of_a_filter_let_noise_depend_on_results(tmp_path: Path) -> None:
    fixed, filtered = (
        " ".join(each.in_words for each in reported(tmp_path / str(one), one).assumptions)
        for one in (Accounting.FIXED, Accounting.GAUSSIAN_FILTER)
    )
    assert "the number of releases were fixed independently of earlier releases" in fixed
    assert "fixed independently" not in filtered
    assert "those that were reserved before it. (they, and the number of releases, may depend on earlier" in filtered


def test_file_beyond_its_filter_is_reported_as_beyond(tmp_path: Path) -> None:
    with Ledger.create(
        tmp_path / "honest", epsilon=0.5, delta=1e-3, population=300, accounting=Accounting.GAUSSIAN_FILTER
    ) as ledger:
        budget = ledger.budget
    with SqliteLog.create(tmp_path / "forged", msgspec.json.encode(budget)) as chain:
        record = Reservation(number=1, label="one", event=GaussianEvent(noise_multiplier=1.0), time_s=budget.time_s)
        chain.append(msgspec.json.encode(record))
    with Ledger.open_to_read(tmp_path / "forged") as ledger:
        report = budget_report(ledger)
    assert report.overspent
    assert [each.text for each in report.failed] == ["The listed releases exceed the budget."]
    found = dict(facts(report))
    assert found["Epsilon"].startswith("BEYOND THE BUDGET: infinite, the budget, computed as if no condition")
    assert "State infinite" not in as_text(report, width=10_000)
    assert float(found["Used so far"].partition("%")[0]) > 100
    assert report.left == "0.0000% of the budget"
    assert 'style="width: 100.00%"' in as_html(report)
    assert json.loads(as_json(report))["spent"]["epsilon"] == "infinite"


@pytest.mark.parametrize("accounting", list(Accounting))
def test_report_of_an_empty_ledger_of_each_accounting(tmp_path: Path, accounting: Accounting) -> None:
    report = reported(tmp_path / "l", accounting, releases=0)
    assert has_filter(report.budget) == (accounting is not Accounting.FIXED)
    assert report.used == 0
    assert "so far" in report.statement or accounting is Accounting.FIXED
    assert as_text(report)
    assert as_html(report)
    assert json.loads(as_json(report))["releases"] == []


def test_sampled_releases_behind_a_renyi_filter_have_no_figure_without_amplification(tmp_path: Path) -> None:
    relation = NeighbouringRelation.ADD_OR_REMOVE_ONE
    noise = GaussianEvent(noise_multiplier=2.0, relation=relation)
    with Ledger.create(
        tmp_path / "l",
        epsilon=6.0,
        delta=1e-3,
        population=300,
        relation=relation,
        accounting=Accounting.RENYI_FILTER,
    ) as ledger:
        ledger.reserve(PoissonSampledEvent(sampling_rate=0.1, event=noise), "one")
        report = budget_report(ledger)
    assert report.unamplified is None
    assert "Without amplification" not in dict(facts(report))
