import base64
import dataclasses
import html
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from dp.figures import rounded_up, used_in_percent
from dp.ledger.ledger import Ledger
from dp.reporting.checklist import facts
from protocols import Adversary
from secagg.engines.memory import InMemory
from secagg.errors import MissingExtraError
from secagg.privacy.several_ledgers import together
from secagg.reports.costs import quantity
from secagg.reports.report import SHOWN_ROUNDS, RunReport
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.parsing import parse
from secagg.runs.prepare import Prepared, prepare
from secagg.runs.run import run_name, run_training
from secagg.training.averaging import SecureAveraging

SMALL = {
    "dataset": "breast-cancer",
    "model": "numpy-softmax",
    "clients": 24,
    "rounds": 3,
    "epochs": 1,
    "epsilon": 60.0,
    "delta": 1e-2,
}


def started(path: Path, **settings: Any) -> tuple[RunFolder, Prepared]:
    """A run's folder, begun, and the run prepared."""
    config = parse({**SMALL, **settings})
    folder, prepared = RunFolder(path), prepare(config)
    folder.begin(prepared.config)
    return folder, prepared


def finished(folder: RunFolder, prepared: Prepared, *, resume: bool = False) -> RunReport:
    """The report of a run that is run here to its end."""
    return RunReport.of(folder, prepared, run_training(prepared, folder, resume=resume, observe=lambda *_: None))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    return finished(*started(tmp_path_factory.mktemp("run") / "compared", clip_l2=0.75))


@pytest.fixture(scope="module")
def page(report: RunReport) -> str:
    return report.as_html()


def words(page: str) -> str:
    """What a reader reads of a page, in one line."""
    body = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", body)


def drawings(page: str) -> list[str]:
    return re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", page)


def test_page_is_one_file_without_scripts(page: str) -> None:
    assert "<script" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert not re.search(r'(src|href|srcset)="(?!data:|#)', page)
    assert set(re.findall(r'href="#(\w+)"', page)) <= set(re.findall(r'id="(\w+)"', page))


def test_page_has_every_chart_for_both_schemes(page: str) -> None:
    assert len(set(drawings(page))) == 12
    for drawing in drawings(page):
        assert ElementTree.fromstring(base64.b64decode(drawing)).tag.endswith("svg")
    for title in ("Accuracy", "Loss", "Budget used", "Contributors", "Dropouts by step", "Bytes a client"):
        assert page.count(f'alt="{title}') == 1


def test_page_says_first_what_came_out(report: RunReport, page: str) -> None:
    assert report.budget is not None
    top = words(page).partition("Of the global model")[0]
    for expected in (
        "breast-cancer, 24 clients, 3 rounds",
        f"secure and private {100 * report.summary.accuracy:.2f}%",
        f"without noise not private {100 * report.summary.compared['without noise']:.2f}%",
        f"plain, in the clear not private {100 * report.summary.compared['plain']:.2f}%",
        f"ε {rounded_up(report.budget.spent.epsilon)} the budget, at δ 0.01; "
        f"{used_in_percent(report.budget.used)} of it used",
        "Privacy guaranteed, client level",
        "Relation zero-out, 3 releases",
        "3 of 3",
    ):
        assert expected in top.replace("&epsilon;", "ε").replace("&delta;", "δ")


def test_page_warns_that_the_compared_runs_are_not_private(page: str) -> None:
    assert "The 2 runs compared with are not private : they used the same data without noise" in words(page)
    assert words(page).index("This was a simulation") < words(page).index("Accuracy by round")


def test_page_states_guarantee_and_assumptions(report: RunReport, page: str) -> None:
    assert report.budget is not None
    assumed = (assumption.text for assumption in report.budget.assumptions)
    for text in (report.budget.statement, *assumed, *(text for _, text in facts(report.budget))):
        assert text.replace("'", "&#39;") in page
    assert "provided that the server follows the protocol and no more than 1 of the 24 clients collude" in words(page)


def test_page_shows_settings_plan_and_how_to_run_again(report: RunReport, page: str) -> None:
    """The number of bits that was chosen for `auto` is a setting of the run, and not the default."""
    changed = {setting.name: setting.value for setting in report.settings if setting.changed}
    assert changed == {
        name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in SMALL.items()
    } | {"clip_l2": "0.75", "modulus_bits": str(report.mean.encoding.modulus_bits)}
    assert [setting.name for setting in report.settings] == list(TrainingConfig.__struct_fields__)
    assert page.count('class="changed"') == len(changed)
    assert f"clip_l2 {report.config.clip_l2:g}" in words(page)
    assert str(report.mean.protocol) in html.unescape(page)
    assert "62 parameters" in page
    assert "secagg train config.toml --out again" in page
    assert "secagg budget report ledger.sqlite" in page


def test_costs_are_means_and_sums_of_the_rounds(report: RunReport) -> None:
    costs = {cost.what: (cost.a_round, cost.in_all) for cost in report.costs}
    sent = sum(record.sent_bytes for record in report.rounds)
    work = sum(record.server_s for record in report.rounds)
    assert costs["A client sends"] == (quantity(sent / 3, "B"), quantity(sent, "B"))
    assert costs["The server receives"] == (quantity(24 * sent / 3, "B"), quantity(24 * sent, "B"))
    assert costs["The server computes"] == (quantity(work / 3, "s"), quantity(work, "s"))
    assert report.expansion == pytest.approx(sent / 3 / (4 * 62))


def test_run_without_noise_promises_nothing(tmp_path: Path) -> None:
    report = finished(*started(tmp_path / "run", epsilon=float("inf"), compare=False, rounds=2))
    page = report.as_html()
    assert report.budget is None
    assert report.name == "secure"
    assert len(set(drawings(page))) == 10
    assert "No guarantee" in page
    for absent in ("differentially private", "not private", "Epsilon by round", "ledger.sqlite", "Uncommitted"):
        assert absent not in words(page)
    assert "The server saw only sums" in words(page)


def test_insecure_protocol_is_called_insecure(tmp_path: Path) -> None:
    report = finished(*started(tmp_path / "run", protocol="plain", compare=False, rounds=1))
    page = report.as_html()
    assert report.name == "noised, but not secure"
    assert "so the guarantee below does not hold against the server" in words(page)
    assert "1 condition of this guarantee FAILED" in words(page)
    assert "FAILED : At least one release was summed by a protocol that shows every client" in words(page)
    assert "hides each of them from the server" not in page
    assert "every client's clipped and noised update" in words(page)
    assert "any single client's update" not in words(page)


def test_run_against_a_malicious_server_says_so(tmp_path: Path) -> None:
    report = finished(*started(tmp_path / "run", adversary="malicious", rounds=1))
    page = words(report.as_html())
    assert report.name == "secure and private, malicious server"
    assert report.summary.adversary is Adversary.MALICIOUS
    assert "confirm_survivors" in report.stages
    assert "Server assumed malicious: it may do anything" in page
    assert (
        "any single client's update, whatever the server does, provided that no more than 1 of the 24 clients collude"
        in page
    )
    assert set(report.summary.compared) == {"without noise", "plain"}


def test_run_of_few_clients_says_how_many_it_withstands(tmp_path: Path) -> None:
    folder, prepared = started(
        tmp_path / "trial 7", clients=9, compare=False, rounds=1, epsilon=200.0, organisation="Clinic <1>"
    )
    report = finished(folder, prepared)
    page = words(report.as_html())
    assert "no more than 0 of the 9 clients collude with it" in page
    assert "This run withstands 0 colluding of 9 clients" in page
    assert "This run withstands 0 dropouts of 9 clients" in page
    assert (
        "0 of 9 clients may help the server, not even one. (The protocol that sums withstands 0 colluding clients; the "
        in page
    )
    assert "Clinic &lt;1&gt; (recorded in the ledger when it was made)" in page
    with Ledger.open_to_read(folder.ledger) as ledger:
        about = ledger.budget.description
    assert about is not None
    assert (about.run, about.data, about.organisation) == ("trial 7", "breast-cancer", "Clinic <1>")
    assert about.data_digest == prepared.data_digest
    assert prepared.data_digest not in page


def test_run_beside_an_earlier_ledger_of_its_data_tells_what_both_cost(tmp_path: Path) -> None:
    folder, prepared = started(tmp_path / "run", compare=False, rounds=1)
    finished(folder, prepared)
    folder.ledger.rename(tmp_path / "ledger-earlier.sqlite")
    folder.begin(prepared.config)
    (tmp_path / "ledger-earlier.sqlite").rename(folder.path / "ledger-earlier.sqlite")
    report = finished(folder, prepared)
    assert report.budget is not None
    both = together([folder.ledger, folder.path / "ledger-earlier.sqlite"])
    assert both.everything is None
    assert both.sums[0].guarantee.epsilon > report.budget.spent.epsilon
    page = words(report.as_html())
    assert f"2 ledgers together: epsilon {rounded_up(both.sums[0].guarantee.epsilon)} at delta 0.01" in page
    assert "2 conditions of this guarantee FAILED" in page
    assert "count" not in dict(facts(report.budget))["With earlier ledgers"]


def test_run_over_a_prime_field_names_its_modulus(report: RunReport, page: str) -> None:
    bits = report.config.modulus_bits
    assert isinstance(bits, int)
    assert bits < 20
    assert f"integers modulo 2^{bits} " in words(page)
    assert "rounding to integers makes the noise 1.00" in dict(report.plan)["Noise"]
    assert "Server assumed curious: it follows the protocol" in words(page)
    encoding = dataclasses.replace(report.mean.encoding, modulus=2**24 - 3)
    prime = dataclasses.replace(report, mean=dataclasses.replace(report.mean, encoding=encoding))
    assert ("Update on the wire", f"{encoding.length:,} integers modulo 2^24 - 3") in prime.plan


def test_round_that_released_nothing_is_marked_and_has_no_cost(tmp_path: Path) -> None:
    folder, prepared = started(tmp_path / "run", compare=False)
    config = prepared.config
    with Ledger.create(folder.ledger, epsilon=config.epsilon, delta=config.delta, population=24) as ledger:
        state = None
        for dropping in (2, 20):
            training = SecureAveraging(
                engine=InMemory(prepared.devices, dropping=dropping),
                model=prepared.devices.model,
                test=prepared.test,
                mean=prepared.mean,
                ledger=ledger,
                state=state,
                run=run_name(prepared.config),
            )
            record, state = training.round(), training.state
            folder.save(state, record, prepared.config)
    report = finished(folder, prepared, resume=True)
    assert report.withheld == (2,)
    assert [bool(record.contributors) for record in report.rounds] == [True, False, True]
    sent = [record.sent_bytes for record in report.rounds if record.contributors]
    assert report.costs[0].a_round == quantity(sum(sent) / 2, "B")
    assert report.expansion == pytest.approx(sum(sent) / 2 / (4 * 62))
    page = report.as_html()
    assert "1 round released nothing, because too few clients were left. What had been reserved for it" in words(page)
    assert "1 uncommitted, counted as spent" in words(page)
    assert "2 of 3" in words(page)
    assert '<span class="pending">nothing released</span>' in page


def test_resumed_run_that_the_budget_ended_says_so(tmp_path: Path) -> None:
    folder, prepared = started(tmp_path / "run", compare=False)
    config, mean = prepared.config, prepared.mean
    assert mean.noise is not None
    with Ledger.create(folder.ledger, epsilon=config.epsilon, delta=config.delta, population=24) as ledger:
        training = SecureAveraging(
            engine=InMemory(prepared.devices, dropping=config.dropping),
            model=prepared.devices.model,
            test=prepared.test,
            mean=mean,
            ledger=ledger,
            run=run_name(config),
        )
        record = training.round()
        folder.save(training.state, record, config)
        ledger.reserve(mean.noise.event, f"cut short of run {run_name(config)}")
    report = finished(folder, prepared, resume=True)
    assert [record.round for record in report.rounds] == [1, 2]
    assert report.summary.stopped_early
    text = words(report.as_html())
    assert "Stopped early, by the budget 2 of 3 rounds ran" in text
    assert "1 uncommitted, counted as spent" in text


def test_single_round_has_a_page(tmp_path: Path) -> None:
    report = finished(*started(tmp_path / "run", rounds=1))
    text = words(report.as_html())
    assert "24 clients, 1 round Federated" in text
    assert "Relation zero-out, 1 release;" in text
    assert "1 of 1" in text


def test_run_without_any_round_has_a_page(tmp_path: Path) -> None:
    folder, prepared = started(tmp_path / "run", rounds=1, compare=False)
    config, mean = prepared.config, prepared.mean
    assert mean.noise is not None
    with Ledger.create(folder.ledger, epsilon=config.epsilon, delta=config.delta, population=24) as ledger:
        ledger.reserve(mean.noise.event, f"cut short of run {run_name(config)}")
    report = finished(folder, prepared, resume=True)
    page = report.as_html()
    assert report.rounds == []
    assert drawings(page) == []
    assert "0 of 0" in words(page)
    assert "of 1 rounds ran" in words(page)


def test_names_from_outside_are_escaped_and_lose_their_folder(tmp_path: Path) -> None:
    hostile = '"><img src=x onerror=alert(1)>{{ 7 * 7 }}.npz'
    archive = tmp_path / "private-folder" / hostile
    archive.parent.mkdir()
    random = np.random.default_rng(0)
    np.savez(
        archive,
        x_train=random.normal(size=(48, 3)),
        y_train=random.integers(2, size=48),
        x_test=random.normal(size=(8, 3)),
        y_test=random.integers(2, size=8),
    )
    page = finished(*started(tmp_path / "run", dataset=str(archive), rounds=1, compare=False)).as_html()
    assert "<img src=x" not in page
    assert "&#34;&gt;&lt;img src=x onerror=alert(1)&gt;{{ 7 * 7 }}.npz, 24 clients" in page
    assert "private-folder" not in page


def test_thousand_rounds_stay_a_small_page(report: RunReport) -> None:
    rounds = [msgspec.structs.replace(report.rounds[0], round=number) for number in range(1, 1001)]
    summary = msgspec.structs.replace(report.summary, rounds=1000)
    page = dataclasses.replace(report, rounds=rounds, compared=(), summary=summary).as_html()
    assert len(page) < 1_000_000
    assert "All charts by round show one round in 5" in words(page)
    assert f"The last {SHOWN_ROUNDS} rounds; all are in metrics.jsonl" in page
    assert page.count("<tr><td>801</td>") == page.count("<tr><td>1000</td>") == 1
    assert "<tr><td>800</td>" not in page


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0, "B", "0 B"),
        (950, "B", "950 B"),
        (5170, "B", "5.17 kB"),
        (18_640_000, "B", "18.6 MB"),
        (2e12, "B", "2,000 GB"),
        (0, "s", "0 µs"),
        (4.2e-6, "s", "4.20 µs"),
        (0.00322, "s", "3.22 ms"),
        (0.137, "s", "137 ms"),
        (4100.0, "s", "4,100 s"),
    ],
)
def test_quantities_are_readable(value: float, unit: str, expected: str) -> None:
    assert quantity(value, unit) == expected


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_page_names_the_extra_it_needs(report: RunReport, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class FinderWithoutModule:
        """An import finder by which the module is not installed."""

        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            if name.partition(".")[0] == module:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for loaded in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [FinderWithoutModule, *sys.meta_path])
    with pytest.raises(MissingExtraError, match=rf'{module}.*in a clone of secagg, by: pip install "\.\[report\]"'):
        report.as_html()
