"""Sentences of the training page that are true of some runs only: each is there if, and only if, it is true."""

import dataclasses
import html
import json
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
import pytest

from dp.events import NeighbouringRelation, PrivacyUnit
from dp.ledger.ledger import Ledger
from dp.reporting.collect import budget_report
from dp.reporting.document import as_json
from dp.reporting.text import as_text
from protocols import Adversary, SecAggPlus
from secagg.privacy.example_level import ExampleLevel
from secagg.reports.costs import quantity
from secagg.reports.report import RunReport
from secagg.runs.parsing import parse
from tests.secagg.reports.test_training_report import SMALL, finished, started, words
from tests.vectors.recorded import VECTORS


@dataclasses.dataclass(frozen=True)
class Unproven(SecAggPlus):
    """A protocol without a proof."""

    experimental: ClassVar[str] = "there is no proof of it"


BOUND: Final = "the probability of reaching it"
EXAMPLES: Final = 400


def run(path: Path, **settings: Any) -> RunReport:
    """The report of a run of one round."""
    return finished(*started(path, rounds=1, compare=False, **settings))


def text_of(report: RunReport) -> str:
    """What a reader reads on the page, which is made without its charts by round, since they take long to draw."""
    return html.unescape(words(dataclasses.replace(report, rounds=[]).as_html()))


@pytest.fixture(scope="module")
def client_level(tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    return run(tmp_path_factory.mktemp("client") / "run")


@pytest.fixture(scope="module")
def example_level(client_level: RunReport, tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    """A report of the same run with the plan and the ledger of one that protects examples."""
    plan = ExampleLevel.plan(
        epsilon=20.0, delta=1e-4, rounds=1, clip_l2=1.0, examples=EXAMPLES, clients=24, epochs=1, batch_size=8
    )
    with Ledger.create(
        tmp_path_factory.mktemp("example") / "ledger.sqlite",
        epsilon=20.0,
        delta=1e-4,
        population=EXAMPLES,
        unit=PrivacyUnit.EXAMPLE,
        relation=NeighbouringRelation.ADD_OR_REMOVE_ONE,
    ) as ledger:
        ledger.commit(ledger.reserve(plan.event, "round 1"), contributors=22, realised=plan.event)
        budget = budget_report(ledger)
    return dataclasses.replace(client_level, budget=budget, example_level=plan)


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    """A run beside an earlier ledger of the same data, which its ledger does not count."""
    folder, prepared = started(tmp_path_factory.mktemp("failed") / "run", rounds=1, compare=False)
    finished(folder, prepared)
    kept = folder.path.parent / "ledger-1.sqlite"
    folder.ledger.rename(kept)
    folder.begin(prepared.config)
    kept.rename(folder.path / kept.name)
    return finished(folder, prepared)


def test_minibatches_repeat_only_if_local_training_does_not_draw_them(
    client_level: RunReport, example_level: RunReport
) -> None:
    assert "initial weights, minibatches and dropouts repeat" in text_of(client_level)
    sampled = text_of(example_level)
    assert "initial weights and dropouts repeat" in sampled
    assert "the examples of each step are fresh" in sampled
    assert "minibatches and dropouts repeat" not in sampled


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {},
            "Each update contains only its own noise share, so the guarantee below does not hold against the server.",
        ),
        ({"trust": "central"}, "The clients add no noise, so the guarantee below does not hold against the server."),
        (
            {"trust": "local", "epsilon": 1000.0},
            "Each update contains enough noise of its own client, so the guarantee below also holds against the server",
        ),
        ({"epsilon": float("inf")}, None),
    ],
)
def test_warning_of_an_insecure_protocol_says_against_whom_the_noise_helps(
    settings: dict[str, Any], expected: str | None, tmp_path: Path
) -> None:
    page = text_of(run(tmp_path / "run", protocol="plain", **settings))
    warning = page[page.index("The server saw every client's update") : page.index("Test accuracy")]
    assert "it hides no update from the server" in warning
    if expected is None:
        assert "guarantee" not in warning
        return
    assert expected in warning
    assert ("does not hold" in warning) != ("also holds" in warning)


def test_page_states_a_bound_if_no_condition_failed(client_level: RunReport, example_level: RunReport) -> None:
    for report in (client_level, example_level):
        page = text_of(report)
        assert BOUND in page
        assert " as the guarantee" in page
        assert f"with noise that gives every {'client' if report is client_level else 'example'} differential" in page
        assert "than the guarantee allows" in page


def test_page_offers_no_guarantee_if_a_condition_failed(failed: RunReport) -> None:
    page = text_of(failed)
    assert failed.budget is not None
    assert failed.budget.stated_epsilon is None
    assert failed.name == "secure, guarantee FAILED"
    assert "2 conditions of this guarantee FAILED. So this page states no bound on what the released models" in page
    assert "Computed as if no condition had failed: all releases that this ledger admits" in page
    for offered in (BOUND, "as the guarantee", "than the guarantee allows", "gives every client differential privacy"):
        assert offered not in page
    for form in (as_text(failed.budget, width=1000), *_texts(json.loads(as_json(failed.budget)))):
        assert " as the guarantee" not in form.replace("State no figure as the guarantee", "")
        assert not form.startswith("All ")


def plan_of(report: RunReport) -> dict[str, str]:
    return dict(report.plan)


@pytest.mark.parametrize("noise", ["distributed", "central", "local", "example", "none"])
def test_page_of_an_insecure_protocol_says_what_the_server_sees_and_who_is_trusted(
    noise: str, example_level: RunReport, tmp_path: Path
) -> None:
    settings: dict[str, dict[str, Any]] = {
        "distributed": {},
        "central": {"trust": "central"},
        "local": {"trust": "local", "epsilon": 1000.0},
        "example": {"epsilon": float("inf")},  # The plan and the ledger of the training are put in below.
        "none": {"epsilon": float("inf"), "trust": "central"},
    }
    report = run(tmp_path / "run", protocol="plain", **settings[noise])
    if noise == "example":
        report = dataclasses.replace(report, budget=example_level.budget, example_level=example_level.example_level)
    page = text_of(report)
    sees = page[page.index("every client's clipped") : page.index("Other clients")]
    assert ("clipped and noised" in sees) == (noise in ("distributed", "local", "example"))
    assert ("but an update without noise can reveal them" in sees) == (noise in ("central", "none"))
    assert ("but an update with one noise share can reveal them" in sees) == (noise == "distributed")
    assert ("beyond what the guarantee allows" in sees) == (noise in ("local", "example"))
    own = noise in ("local", "example")
    assert plan_of(report)["Server assumed"] == (
        "it sees every update, and each contains enough noise of its own client" if own else "trusted with every update"
    )
    assert plan_of(report)["Withstands"].startswith("no server by the protocol, which shows it every client's update")
    assert ("The guarantees describe" in page) == (noise != "none")
    if noise == "central":
        assert "the summing party sees every client's vector, adds the noise" in page
        assert "reveals neither the vectors, nor the exact sum, nor the noise" in page
        assert "helps none of them: it sees every client's vector" in page
    if noise == "distributed":
        assert "the server and everyone else see only the noisy sum" not in page
        assert "The summing protocol shows the server every client's vector, with one noise share" in page


def test_settings_that_no_noise_uses_promise_nothing(tmp_path: Path) -> None:
    report = run(tmp_path / "run", trust="central", epsilon=float("inf"))
    assert plan_of(report)["Server assumed"] == "curious: it follows the protocol"
    assert "to add the noise" not in text_of(report)


def test_page_of_a_run_without_noise_calls_no_run_private(client_level: RunReport) -> None:
    compared = {"without noise": 0.5, "plain": 0.5}
    with_noise = dataclasses.replace(
        client_level, summary=msgspec.structs.replace(client_level.summary, compared=compared)
    )
    assert "The 2 runs compared with are not private : they used the same data without noise." in text_of(with_noise)
    without = dataclasses.replace(with_noise, budget=None)
    assert "Neither this run nor the 2 runs compared with are private" in text_of(without)
    single = msgspec.structs.replace(client_level.summary, compared={"plain": 0.5})
    assert "The 1 run compared with is not private : it used" in text_of(
        dataclasses.replace(client_level, summary=single)
    )


def test_page_of_examples_does_not_say_that_their_clients_are_hidden(example_level: RunReport) -> None:
    page = text_of(example_level)
    assert "who contributes is protected" not in page
    assert "whether that unit is in the data is protected" in page
    assert f"one over the population of {EXAMPLES}" in page
    assert "The stated population is public" in page


def test_page_says_that_a_protocol_is_experimental(client_level: RunReport) -> None:
    assert "experimental" not in text_of(client_level)
    unproven = dataclasses.replace(
        client_level,
        config=msgspec.structs.replace(client_level.config, adversary=Adversary.MALICIOUS),
        mean=dataclasses.replace(client_level.mean, protocol=Unproven(neighbours=4, share_threshold=3)),
    )
    page = text_of(unproven)
    assert "The protocol secagg-plus is experimental: there is no proof of it." in page
    assert "whatever the server does (not proven, since the protocol is experimental), provided that" in page


def test_settings_without_a_value_are_not_called_automatic(client_level: RunReport) -> None:
    values = {setting.name: setting.value for setting in client_level.settings}
    assert {values[name] for name in ("committee", "organisation", "alpha", "max_examples")} == {"not set"}


def test_parameters_of_a_model_do_not_count_what_an_adaptive_clip_adds(client_level: RunReport, tmp_path: Path) -> None:
    adaptive = run(tmp_path / "run", clipping="adaptive", epsilon=float("inf"))
    assert plan_of(adaptive)["Model"] == plan_of(client_level)["Model"] == "numpy-softmax: 62 parameters"
    assert "until about a fraction of 0.5 of the updates is within it" in plan_of(adaptive)["Clipping"]


def test_advice_against_dropouts_says_that_a_smaller_sum_is_weaker(tmp_path: Path) -> None:
    page = text_of(run(tmp_path / "run", dropout=0.0))
    assert "or more clients" not in page
    assert "or a smaller minimum_contributors: each update is then hidden among fewer." in page


def _texts(found: Any) -> list[str]:
    """All texts in a document."""
    if isinstance(found, dict):
        return [text for value in found.values() for text in _texts(value)]
    if isinstance(found, list):
        return [text for value in found for text in _texts(value)]
    return [found] if isinstance(found, str) else []


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    return finished(*started(tmp_path_factory.mktemp("cohorts") / "run", rounds=4, compare=False, cohort=12))


def test_page_of_cohorts_names_both_observers_and_how_often_clients_were_asked(cohorts: RunReport) -> None:
    page = html.unescape(words(cohorts.as_html()))
    for expected in (
        "Towards the server, all releases that this ledger admits, 4 so far, are together",
        "Towards readers epsilon 60.0000 at delta 0.01, for one client, relation zero-out",
        "24 clients (cap 2); a client was asked for 2 releases; a release asked 12 clients",
        "Each round asks 12 of 24 clients. In all, a client was asked in 2 rounds.",
        "contributors a round on average, 12 asked of 24 clients",
        "Of the 12 clients that a round asks.",
        "Privacy guaranteed, client level",
        "Budget used by round Used up by all releases up to and with each round",
    ):
        assert expected in page, expected
    assert "Not for readers" not in page
    assert "Epsilon by round" not in page
    costs = {cost.what: cost.in_all for cost in cohorts.costs}
    assert costs["The server receives"] == quantity(12 * sum(each.sent_bytes for each in cohorts.rounds), "B")


def test_page_of_secret_draws_is_not_for_readers_and_has_no_costs(cohorts: RunReport) -> None:
    with Ledger.open_to_read(VECTORS / "ledger" / "drawn.sqlite") as ledger:
        budget = budget_report(ledger)
    config = parse({**SMALL, "rounds": 4, "compare": False, "cohort": 12, "draw": "poisson", "trust": "central"})
    page = html.unescape(words(dataclasses.replace(cohorts, config=config, budget=budget).as_html()))
    for expected in (
        "Privacy spent, client level, towards readers only",
        "Not for readers of the models",
        "clients drawn in a round, the expected number, of 24 clients",
        "Each client was drawn by itself, in secret.",
        "Towards the server epsilon",
        "It does not hold against a party that adds the noise",
    ):
        assert expected in page, expected
    for absent in ("sent by a client each round", "The summing protocol alone", "Contributors by round", "Client CPU"):
        assert absent not in page, absent


def test_plan_says_why_it_states_no_bound_on_rounding(cohorts: RunReport) -> None:
    assert dict(cohorts.plan)["Rounding"].startswith("moves an entry of the mean, noise aside, by at most ")
    hidden = tuple(msgspec.structs.replace(each, rounding_bound=None) for each in cohorts.rounds)
    drawn = parse({**SMALL, "rounds": 4, "compare": False, "cohort": 12, "draw": "poisson", "trust": "central"})
    weighted = parse({**SMALL, "weighting": "weighted", "max_examples": 9.0})
    for config, told in ((drawn, "how many clients were drawn"), (weighted, "the exact total weight of the updates")):
        stated = dict(dataclasses.replace(cohorts, rounds=hidden, config=config).plan)["Rounding"]
        assert stated.endswith(f" No bound is stated, since it would tell {told}")
    nothing = msgspec.structs.replace(cohorts.summary, released=0)
    assert dict(dataclasses.replace(cohorts, rounds=hidden, summary=nothing).plan)["Rounding"] == (
        "no round has released a mean"
    )
