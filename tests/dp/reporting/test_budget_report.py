import base64
import dataclasses
import importlib
import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import pytest

from dp.accounting.accountant import Bound
from dp.accounting.guarantee import guarantee
from dp.errors import MissingExtra
from dp.events import (
    DistributedDiscreteGaussianEvent,
    GaussianEvent,
    NeighbouringRelation,
    PoissonSampledEvent,
    PrivacyUnit,
    RepeatedEvent,
    SkellamEvent,
    Trust,
)
from dp.figures import rounded_up
from dp.ledger.description import Description
from dp.ledger.ledger import Ledger
from dp.ledger.records import TRUST_DETAIL
from dp.reporting.charts import charts
from dp.reporting.checklist import facts
from dp.reporting.collect import budget_report
from dp.reporting.document import ReportDocument, as_json, document
from dp.reporting.page import as_html
from dp.reporting.report import BudgetReport
from dp.reporting.schema import schema
from dp.reporting.spacing import MAXIMUM_ACCOUNTED, evenly_spaced
from dp.reporting.text import as_text
from dp.reporting.wording import in_words, setting, without_amplification

ADD_OR_REMOVE = NeighbouringRelation.ADD_OR_REMOVE_ONE
EVENT = DistributedDiscreteGaussianEvent(local_sigma=20.0, contributors=100, l2_sensitivity=100.0, dimension=650)
REALISED = msgspec.structs.replace(EVENT, contributors=121)
GAUSSIAN = GaussianEvent(noise_multiplier=3.0)
SKELLAM = SkellamEvent(variance=40_000.0, contributors=9, l2_sensitivity=100.0, dimension=650, relation=ADD_OR_REMOVE)
SAMPLED = PoissonSampledEvent(sampling_rate=0.1, event=SKELLAM)
STEPS = RepeatedEvent(
    times=4,
    event=PoissonSampledEvent(
        sampling_rate=0.02,
        event=GaussianEvent(noise_multiplier=2.0, relation=ADD_OR_REMOVE, unit=PrivacyUnit.EXAMPLE),
    ),
)
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> BudgetReport:
    path = tmp_path_factory.mktemp("report") / "l"
    with Ledger.create(path, epsilon=8, delta=1e-3, population=300, clock=lambda: 1e9) as ledger:
        ledger.commit(ledger.reserve(EVENT, "first"), contributors=121, realised=REALISED, details={"accuracy": 0.5})
        ledger.reserve(EVENT, "<script>alert(1)</script>")
        ledger.commit(ledger.reserve(GAUSSIAN, "third"), contributors=5)
        return budget_report(ledger)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> BudgetReport:
    path = tmp_path_factory.mktemp("sampled") / "l"
    with Ledger.create(
        path, epsilon=8, delta=1e-3, population=300, relation=ADD_OR_REMOVE, clock=lambda: 1e9
    ) as ledger:
        for number in (1, 2):
            ledger.commit(ledger.reserve(SAMPLED, f"round {number}"), contributors=9, realised=SAMPLED)
        return budget_report(ledger)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> BudgetReport:
    path = tmp_path_factory.mktemp("steps") / "l"
    with Ledger.create(
        path,
        epsilon=8,
        delta=1e-4,
        population=3000,
        unit=PrivacyUnit.EXAMPLE,
        relation=ADD_OR_REMOVE,
        clock=lambda: 1e9,
    ) as ledger:
        for number in (1, 2, 3):
            ledger.reserve(STEPS, f"round {number}")
        return budget_report(ledger)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> BudgetReport:
    path = tmp_path_factory.mktemp("empty") / "l"
    with Ledger.create(path, epsilon=8, delta=1e-3, population=300, clock=lambda: 1e9) as ledger:
        return budget_report(ledger)


def long(report: BudgetReport, releases: int) -> BudgetReport:
    """The same report with that number of releases; those that are accounted have an epsilon."""
    shown = set(evenly_spaced(releases))
    return dataclasses.replace(
        report,
        releases=tuple(
            dataclasses.replace(
                report.releases[0], number=position + 1, epsilon_after=1.0 + position if position in shown else None
            )
            for position in range(releases)
        ),
    )


def unwrapped(report: BudgetReport) -> str:
    """The report's text, its lines joined."""
    return " ".join(as_text(report).split())


def test_report_collects_the_ledger(report: BudgetReport) -> None:
    assert report.spent == guarantee({EVENT: 2, GAUSSIAN: 1}, delta=1e-3)
    assert [release.epsilon_after for release in report.releases] == [
        pytest.approx(guarantee({EVENT: 1}, delta=1e-3).epsilon, rel=1e-9),
        pytest.approx(guarantee({EVENT: 2}, delta=1e-3).epsilon, rel=1e-9),
        report.spent.epsilon,
    ]
    assert [release.contributors for release in report.releases] == [121, None, 5]
    assert report.uncommitted == (2,)
    assert [count for _, count in report.mechanisms] == [2, 1]
    assert report.unamplified is None
    deltas = [at.delta for at in report.epsilon_by_delta]
    epsilons = [at.epsilon for at in report.epsilon_by_delta]
    assert deltas == sorted(deltas, reverse=True)
    assert epsilons == sorted(epsilons)
    assert dict(zip(deltas, epsilons, strict=True))[1e-3] == pytest.approx(report.spent.epsilon, rel=1e-9)
    assert {at.unamplified for at in report.epsilon_by_delta} == {None}


def test_report_tells_noise_realised_from_noise_promised(report: BudgetReport) -> None:
    assert report.realised == guarantee({REALISED: 1, EVENT: 1, GAUSSIAN: 1}, delta=1e-3)
    assert report.realised.epsilon < report.spent.epsilon
    first, second, third = report.releases
    assert first.excess == pytest.approx(0.1)  # sqrt(121 / 100)
    assert (second.excess, third.excess) == (None, None)
    assert first.realised_epsilon_after == pytest.approx(guarantee({REALISED: 1}, delta=1e-3).epsilon, rel=1e-9)
    assert third.realised_epsilon_after == report.realised.epsilon
    text = unwrapped(report)
    assert f"for information: epsilon {rounded_up(report.realised.epsilon)}, computed from the noise" in text
    assert "10.00% more than was promised, over 1 release " in text


@pytest.mark.parametrize(
    ("multipliers", "words"),
    [
        ((1.0, 1.0), "as promised"),
        ((1.1, 1.1), "10.00% more than was promised"),
        ((1.0, 1.1), "0.00% to 10.00% more than was promised"),
        ((0.5, 0.5), "50.00% less than was promised"),
        ((0.5, 0.9), "10.00% to 50.00% less than was promised"),
        ((0.5, 1.0), "0.00% to 50.00% less than was promised"),
        ((0.5, 1.1), "50.00% less to 10.00% more than was promised"),
    ],
)
def test_noise_realised_is_said_to_be_more_or_less_than_promised(
    multipliers: tuple[float, ...], words: str, report: BudgetReport
) -> None:
    releases = tuple(
        dataclasses.replace(release, realised_noise_multiplier=part * release.noise_multiplier)
        for part, release in zip(multipliers, report.releases, strict=False)
    )
    found = dict(facts(dataclasses.replace(report, releases=releases)))["Noise realised"]
    assert found == f"{words}, over 2 releases"


def test_report_does_not_recommend_a_figure_that_the_realised_noise_exceeds(report: BudgetReport) -> None:
    assert report.realised is not None
    exchanged = dataclasses.replace(report, spent=report.realised, realised=report.spent)
    text = dict(facts(exchanged))["At the noise realised"]
    assert text.startswith(f"epsilon {rounded_up(report.spent.epsilon)}, computed from the noise that was actually in")
    assert text.endswith(f"Do not state {rounded_up(report.realised.epsilon)}")


def test_report_of_sampling_has_a_figure_without_amplification(sampled: BudgetReport) -> None:
    assert sampled.unamplified == guarantee({SKELLAM: 2}, delta=1e-3, relation=ADD_OR_REMOVE)
    assert sampled.spent.epsilon < sampled.unamplified.epsilon
    for release, count in zip(sampled.releases, (1, 2), strict=True):
        alone = guarantee({SKELLAM: count}, delta=1e-3, relation=ADD_OR_REMOVE).epsilon
        assert release.unamplified_epsilon_after == pytest.approx(alone, rel=1e-9)
        assert release.sampling_rate == 0.1
        assert release.excess == 0
    assert all(at.unamplified is not None and at.unamplified >= at.epsilon for at in sampled.epsilon_by_delta)
    text = unwrapped(sampled)
    assert (
        f"epsilon {rounded_up(sampled.unamplified.epsilon)}: this figure holds against anyone who learns which" in text
    )
    assert "the bound on Skellam noise is for integer orders, with chords between them" in text
    assert "binomial expansion at integer orders" in text
    assert "only the figure without amplification holds against it" in text


def test_report_of_training_on_clients_names_both_accountants(steps: BudgetReport) -> None:
    assert steps.spent.pld_epsilon is not None
    assert steps.spent.epsilon == steps.spent.pld_epsilon < steps.spent.rdp_epsilon
    text = unwrapped(steps)
    for words in (
        "3 releases: 4 steps a release, each Poisson-sampled at rate 0.02, with Gaussian noise of multiplier 2",
        "local to each client",
        "example: one example of one client's training data",
        f"privacy loss distributions {rounded_up(steps.spent.epsilon)}, Renyi {rounded_up(steps.spent.rdp_epsilon)}",
        "floating-point",
    ):
        assert words in text


def test_report_of_training_on_clients_says_that_the_sample_stays_with_them(steps: BudgetReport) -> None:
    texts = " ".join(assumption.text for assumption in steps.assumptions)
    assert "client never reveals" in texts
    assert "server of a secure sum" not in texts
    assert "client never reveals" in dict(facts(steps))["Without amplification"]
    assert "client never reveals" in as_html(steps)


def test_text_says_what_is_guaranteed(report: BudgetReport) -> None:
    text = unwrapped(report)
    for words in (
        f"({rounded_up(report.spent.epsilon)}, 0.001)-differentially private for one client, relation zero-out: with "
        "its contribution, or with zero in its place",
        "2 releases: distributed discrete Gaussian noise, sigma 20 lattice steps from each of at least 100 clients",
        "1 release: Gaussian noise of multiplier 3",
        "distributed: every client adds a noise share",
        "Not covered: the choice of hyperparameters",
        "with integer noise counted as the Gaussian noise that dominates it",
        "an earlier report of the same releases may state a larger epsilon",
        "Stopping early because of the results does not make the guarantee better",
        "2 (reserved but not completed; counted as spent)",
        "below 0.00333",
        "The summing protocol hides each vector",
        "adds its full noise share and keeps it secret",
        report.head,
    ):
        assert words in text
    assert re.search(r"^ +2 .*uncommitted", as_text(report), re.MULTILINE)
    assert text.index("Assumptions: verified") < text.index("Assumptions: declared")


def test_text_shows_where_the_name_of_a_release_is_cut_short(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger", epsilon=8.0, delta=1e-3, population=300) as ledger:
        for label in ("a name of 24 letters....", "a name of more than 24 letters"):
            ledger.commit(ledger.reserve(GAUSSIAN, label), contributors=5)
        lines = as_text(budget_report(ledger), width=80).splitlines()
    assert [line[7:31] for line in lines if "a name of" in line] == [
        "a name of 24 letters....",
        "a name of more than 2...",
    ]
    assert max(map(len, lines)) <= 80


def test_assumptions_say_what_was_verified_and_by_what(report: BudgetReport, sampled: BudgetReport) -> None:
    verified = [assumption for assumption in report.assumptions if assumption.verified]
    assert [("ledger" in assumption.how) for assumption in verified] == [True, True, True]
    assert all(assumption.how for assumption in report.assumptions)
    texts = {assumption.text for assumption in report.assumptions}
    assert len(texts) == len(report.assumptions)
    drawn = {assumption.text for assumption in sampled.assumptions} - texts
    assert any("drawn afresh and independently" in text for text in drawn)
    assert any("does not depend on whether one unit is present" in text for text in drawn)


def test_json_is_versioned_and_of_its_schema(
    report: BudgetReport, sampled: BudgetReport, steps: BudgetReport, empty: BudgetReport
) -> None:
    for one in (report, sampled, steps, empty):
        text = as_json(one)
        assert msgspec.json.decode(text, type=ReportDocument) == document(one)
        assert set(json.loads(text)) == set(ReportDocument.__struct_fields__)
    found = json.loads(as_json(report))
    assert (found["schema"], found["version"]) == ("secagg-budget-report", 3)
    assert found["spent"]["epsilon"] == report.spent.epsilon
    assert found["spent"]["relation"] == "zero-out"
    assert found["budget"]["unit"] == "client"
    assert found["uncommitted"] == [2]
    assert found["releases"][0]["details"] == {"accuracy": 0.5}
    assert found["releases"][1]["contributors"] is None
    assert found["without_amplification"] is None
    assert [item["verified"] for item in found["assumptions"]][:3] == [True, True, True]
    assert len(found["epsilon_by_delta"]) == 45


def test_json_schema_in_the_repository_is_that_of_the_report() -> None:
    assert (REPOSITORY / "dp" / "reporting" / "schemas" / "budget-report-3.json").read_text(
        encoding="utf-8"
    ) == schema()


def test_json_has_words_for_what_has_no_bound(report: BudgetReport) -> None:
    unbounded = Bound(accountant="pld", title="losses", epsilon=math.inf, method="none")
    bounds = (dataclasses.replace(report.spent.renyi, epsilon=math.inf), unbounded)
    infinite = dataclasses.replace(report, spent=dataclasses.replace(report.spent, bounds=bounds))
    spent = json.loads(as_json(infinite), parse_constant=pytest.fail)["spent"]
    assert (spent["epsilon"], spent["pld_epsilon"]) == ("infinite", "infinite")
    assert msgspec.json.decode(as_json(infinite), type=ReportDocument) == document(infinite)
    assert "(infinite, 0.001)" in as_text(infinite)


def test_html_is_one_file_with_charts_for_both_schemes(report: BudgetReport) -> None:
    page = as_html(report)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r'(src|href|srcset)="(?!data:)', page)
    assert "url(" not in page
    drawings = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", page)
    assert len(set(drawings)) == 10
    drawn = [base64.b64decode(drawing).decode() for drawing in drawings]
    for drawing in drawn:
        assert ElementTree.fromstring(drawing).tag.endswith("svg")
    for label in ("noise realised", "noise promised, enforced", "epsilon left", "promised", "clients in the sum"):
        assert sum(label in drawing for drawing in drawn) >= 2
    for words in ("zero-out", "uncommitted", rounded_up(report.spent.epsilon), report.head, "prefers-color-scheme"):
        assert words in page
    for assumption in report.assumptions:
        assert assumption.text.replace("'", "&#39;") in page


def test_html_of_sampling_draws_what_it_is_without_amplification(sampled: BudgetReport) -> None:
    page = as_html(sampled)
    drawn = [
        base64.b64decode(drawing).decode()
        for drawing in re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", page)
    ]
    for label in ("without sampling amplification", "unamplified", "amplified by sampling"):
        assert sum(label in drawing for drawing in drawn) >= 2


def test_chart_shows_one_curve_where_two_are_the_same_and_none_that_leaves_at_once(
    report: BudgetReport, steps: BudgetReport
) -> None:
    def chart_of(one: BudgetReport) -> tuple[str, str]:
        found = charts(one)[0]
        return base64.b64decode(found.light.partition(",")[2]).decode(), found.caption

    drawing, _ = chart_of(report)
    assert "noise promised, enforced, and noise realised" not in drawing
    assert drawing.count("noise realised") == drawing.count("noise promised, enforced") >= 1
    alike = tuple(
        dataclasses.replace(release, realised_noise_multiplier=2.0, unamplified_epsilon_after=50.0 * release.number)
        for release in steps.releases
    )
    drawing, caption = chart_of(dataclasses.replace(steps, releases=alike))
    assert "noise promised, enforced, and noise realised" in drawing
    assert "without sampling amplification" not in drawing
    assert (
        "without sampling amplification is not in the chart: 50.0000 after release 1, 150.0000 after the last"
        in caption
    )


def test_empty_ledger_has_a_report(empty: BudgetReport) -> None:
    assert "(0.0000, 0.001)-differentially private" in unwrapped(empty)
    assert json.loads(as_json(empty))["releases"] == []
    assert empty.remaining_releases is None
    assert "<img" not in as_html(empty)


def test_report_of_many_releases_shows_some_and_lists_all(report: BudgetReport) -> None:
    many = long(report, 1500)
    lines = as_text(many).splitlines()
    assert sum(bool(re.match(r" +\d+  first ", line)) for line in lines) == MAXIMUM_ACCOUNTED
    assert f"{MAXIMUM_ACCOUNTED} of 1500 releases, evenly spread; the JSON report lists all" in lines
    assert len(json.loads(as_json(many))["releases"]) == 1500
    exact = long(report, MAXIMUM_ACCOUNTED)
    assert exact.accounted == exact.releases


@pytest.mark.parametrize("width", [60, 100])
def test_text_is_wrapped_under_its_headings(
    report: BudgetReport, steps: BudgetReport, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in (report, steps):
        text = as_text(one, width=width)
        prose = [line for line in text.splitlines() if not re.match(r" +[\d#]+  ", line) and one.head not in line]
        assert max(map(len, prose)) <= width
        assert " ".join(text.split()) == " ".join(as_text(one, width=10_000).split())
        assert one.head in text
        head, *later = text[text.index("Setting and trust") :].split("Data accesses", 1)[0].rstrip().splitlines()
        begin = head.index(one.setting[:8])
        assert later
        assert all(line[:begin].isspace() and line[begin] != " " for line in later)
        monkeypatch.setenv("COLUMNS", str(width))
        assert as_text(one) == text
    assert as_text(report, width=5) == as_text(report, width=60)


def test_events_change_their_terms_and_nothing_else() -> None:
    assert without_amplification(SAMPLED) == SKELLAM
    assert without_amplification(EVENT) == EVENT
    assert without_amplification(STEPS) == RepeatedEvent(
        times=4, event=GaussianEvent(noise_multiplier=2.0, relation=ADD_OR_REMOVE, unit=PrivacyUnit.EXAMPLE)
    )
    repeated = RepeatedEvent(times=3, event=SKELLAM)
    assert in_words(repeated).startswith(
        "3 steps a release, each Skellam noise, variance 40000 squared lattice steps from at least 9 clients together"
    )
    alone = in_words(msgspec.structs.replace(EVENT, contributors=1))
    assert alone.startswith("discrete Gaussian noise, sigma 20 lattice steps from one party,")


def test_setting_names_each_kind_of_trust_once() -> None:
    distributed, local, central = Trust.DISTRIBUTED, Trust.LOCAL, Trust.CENTRAL
    alone = msgspec.structs.replace(EVENT, contributors=1)
    found = setting(
        [EVENT, EVENT, alone, alone, alone, STEPS],
        [distributed, distributed, None, local, central, local],
        hidden=[True] * 6,
    )
    heads = ["distributed", "not recorded", "local", "central", "local to each client"]
    assert [text.split(":")[0] for text in found.split("; ") if ":" in text] == heads
    assert setting([], [], hidden=[]) == "nothing released yet"


@pytest.mark.parametrize("trust", [*Trust, None])
def test_report_says_who_added_the_noise_where_the_ledger_does(trust: Trust | None, tmp_path: Path) -> None:
    alone = msgspec.structs.replace(EVENT, contributors=1, local_sigma=1e6)
    with Ledger.create(tmp_path / "ledger.sqlite", epsilon=8, delta=1e-3, population=100) as ledger:
        details = {} if trust is None else {TRUST_DETAIL: str(trust)}
        ledger.commit(ledger.reserve(alone, "one"), contributors=1, realised=alone, details=details)
        report = budget_report(ledger)
    assert report.setting.startswith("not recorded" if trust is None else f"{trust}:")
    texts = " ".join(assumption.text for assumption in report.assumptions)
    assert ("hides each vector from the server" in texts) == (trust is Trust.DISTRIBUTED)
    assert ("adds its full noise share and keeps it secret" in texts) == (trust is Trust.DISTRIBUTED)
    assert ("sees the exact sum, adds all of the noise" in texts) == (trust is Trust.CENTRAL)
    assert ("If that is the summing party" in texts) == (trust is None)


def test_epsilon_is_never_rounded_down() -> None:
    assert rounded_up(7.99990001) == "8.0000"
    assert rounded_up(1.00001) == "1.0001"
    assert rounded_up(2.0) == "2.0000"
    assert rounded_up(math.inf) == "infinite"
    assert rounded_up(2.0**1000) == f"{2**1000}.0000"


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_html_names_the_extra_it_needs(report: BudgetReport, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class FinderWithoutModule:
        """An import finder by which the module is not installed."""

        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            if name.partition(".")[0] == module:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for loaded in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [FinderWithoutModule, *sys.meta_path])
    with pytest.raises(MissingExtra, match=rf'{module}.*in a clone of secagg, by: pip install "\.\[report\]"'):
        as_html(report)
    assert as_text(report)


def test_importing_the_package_is_light() -> None:
    code = "import sys, dp; print([m for m in ('scipy', 'dp_accounting', 'jinja2', 'matplotlib') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert run.stdout == "[]\n"
    assert sorted(importlib.import_module("dp").__all__) == importlib.import_module("dp").__all__


def test_head_in_a_report_is_no_commitment_to_the_data_that_a_guess_could_be_checked_by(tmp_path: Path) -> None:
    """The head hashes the first record, which holds a digest of the data; the salt beside it is in the file alone."""
    heads = []
    for name in ("one", "other"):
        with Ledger.create(
            tmp_path / name,
            epsilon=2.0,
            delta=1e-3,
            population=300,
            description=Description(data="digits", data_digest="ab" * 32),
            clock=lambda: 1e9,
        ) as ledger:
            report = budget_report(ledger)
            salt = ledger.budget.salt
            assert salt is not None
            heads.append(ledger.head)
            shown = as_text(report) + as_json(report) + as_html(report)
            assert ledger.head in shown
            assert "ab" * 32 not in shown
            assert salt not in shown
    assert heads[0] != heads[1]
