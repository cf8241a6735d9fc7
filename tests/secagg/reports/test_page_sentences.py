"""Sentences of the training page that are true of some runs only: each is there if, and only if, it is true."""

import dataclasses
import html
import json
from pathlib import Path
from typing import Any, Final

import pytest

from dp.events import NeighbouringRelation, PrivacyUnit
from dp.ledger.ledger import Ledger
from dp.reporting.collect import budget_report
from dp.reporting.document import as_json
from dp.reporting.text import as_text
from secagg.privacy.example_level import ExampleLevel
from secagg.reports.report import RunReport
from tests.secagg.reports.test_training_report import finished, started, words

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
        assert " as the guarantee; the budget is charged with that" in page
        assert f"with noise that gives every {'client' if report is client_level else 'example'} differential" in page
        assert "than the guarantee allows" in page


def test_page_offers_no_guarantee_if_a_condition_failed(failed: RunReport) -> None:
    page = text_of(failed)
    assert failed.budget is not None
    assert failed.budget.stated_epsilon is None
    assert failed.name == "secure, guarantee FAILED"
    assert "2 conditions of this guarantee FAILED. So this page states no bound on what the released models" in page
    assert "Computed as if no condition had failed: the only release is" in page
    for offered in (BOUND, "as the guarantee;", "than the guarantee allows", "gives every client differential privacy"):
        assert offered not in page
    for form in (as_text(failed.budget, width=1000), *_texts(json.loads(as_json(failed.budget)))):
        assert "as the guarantee;" not in form
        assert not form.startswith("All ")


def _texts(found: Any) -> list[str]:
    """All texts in a document."""
    if isinstance(found, dict):
        return [text for value in found.values() for text in _texts(value)]
    if isinstance(found, list):
        return [text for value in found for text in _texts(value)]
    return [found] if isinstance(found, str) else []
