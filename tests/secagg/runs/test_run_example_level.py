"""Whole runs that protect single examples, from settings to ledger and report."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.events import NeighbouringRelation, PrivacyUnit
from dp.ledger.ledger import Ledger
from dp.reporting.collect import budget_report
from dp.reporting.text import as_text
from secagg.engines.memory import InMemory
from secagg.errors import ConfigurationError
from secagg.reports.report import RunReport
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.parsing import parse
from secagg.runs.prepare import Prepared, prepare
from secagg.runs.run import run_training
from secagg.training.averaging import SecureAveraging
from secagg.training.records import RoundRecord

pytestmark = [pytest.mark.tensorflow, pytest.mark.example_level]

SMALL: dict[str, Any] = {
    "dataset": "breast-cancer",
    "model": "softmax",
    "unit": "example",
    "clients": 8,
    "rounds": 3,
    "epochs": 2,
    "batch_size": 16,
    "epsilon": 50.0,
    "learning_rate": 2.0,
    "server_learning_rate": 1.0,
    "server_momentum": 0.0,
    "delta": 1e-4,
    "compare": False,
}


class Interruption(Exception):
    """Raised by an observer, as a Ctrl-C would be."""


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(parse(SMALL))


def observe(kind: str | None, record: RoundRecord) -> None:
    """Observe nothing."""


def interrupt(kind: str | None, record: RoundRecord) -> None:
    if record.round == 2:
        raise Interruption


def test_run_spends_the_budget_of_every_example_and_goes_on_after_an_interruption(
    prepared: Prepared, tmp_path: Path
) -> None:
    folder, plan = RunFolder(tmp_path / "run"), prepared.example_level
    assert plan is not None
    assert prepared.mean.noise is None
    folder.begin(prepared.config)
    with pytest.raises(Interruption):
        run_training(prepared, folder, resume=False, observe=interrupt)
    summary = run_training(prepared, folder, resume=True, observe=observe)
    assert (summary.rounds, summary.unit, summary.noise_multiplier) == (3, "example", plan.noise_multiplier)
    assert summary.loss < 0.5  # 0.78 before; in six runs 0.244 to 0.260
    with Ledger.open_to_read(folder.ledger) as ledger:
        budget, entries, report = ledger.budget, ledger.entries(), budget_report(ledger)
        assert summary.epsilon_spent == ledger.spent().epsilon
    assert (budget.unit, budget.relation) == (PrivacyUnit.EXAMPLE, NeighbouringRelation.ADD_OR_REMOVE_ONE)
    assert budget.population == plan.examples == sum(len(x) for x, _ in prepared.devices.shards)
    assert [entry.reservation.event for entry in entries] == [plan.event] * 3
    assert all(entry.commitment is not None and entry.commitment.realised == plan.event for entry in entries)
    assert summary.epsilon_spent is not None
    assert 0.99 * 50.0 < summary.epsilon_spent <= 50.0
    assert "one example" in as_text(report)
    page = RunReport.of(folder, prepared, summary)
    assert "noise and the examples of each step are fresh" in page.as_html()
    rows = dict(page.plan)
    assert "every client's local training" in rows["Noise"]
    assert "gradient in local training at most 1" in rows["Clipping"]


def test_round_counts_though_its_training_fails(prepared: Prepared, tmp_path: Path) -> None:
    plan = prepared.example_level
    assert plan is not None
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(
        path,
        epsilon=50.0,
        delta=1e-4,
        population=plan.examples,
        unit=PrivacyUnit.EXAMPLE,
        relation=NeighbouringRelation.ADD_OR_REMOVE_ONE,
    ) as ledger:
        averaging = SecureAveraging(
            engine=InMemory(prepared.devices),
            model=prepared.devices.model,
            test=prepared.test,
            mean=prepared.mean,
            local=plan.event,
            ledger=ledger,
        )
        averaging.state.weights = [np.full_like(array, np.nan) for array in averaging.state.weights]
        with pytest.raises(ValueError, match="finite"):
            averaging.round()
        assert len(ledger.entries()) == 1


def test_means_that_do_not_go_with_noise_in_training_are_refused(prepared: Prepared, tmp_path: Path) -> None:
    plan = prepared.example_level
    assert plan is not None
    both = prepare(parse(SMALL | {"unit": "client", "epsilon": 100.0, "delta": 1e-2}))
    with pytest.raises(ConfigurationError, match="found it in both"):
        SecureAveraging(
            engine=InMemory(prepared.devices),
            model=prepared.devices.model,
            test=prepared.test,
            mean=both.mean,
            local=plan.event,
        )
    with pytest.raises(ConfigurationError, match="ledger: expected one if and only if"):
        SecureAveraging(
            engine=InMemory(prepared.devices),
            model=prepared.devices.model,
            test=prepared.test,
            mean=prepared.mean,
            local=plan.event,
        )
    weighted = prepare(
        parse(SMALL | {"unit": "client", "epsilon": math.inf, "weighting": "weighted", "max_examples": 50.0})
    )
    with pytest.raises(ConfigurationError, match="reveals their number"):
        SecureAveraging(
            engine=InMemory(prepared.devices),
            model=prepared.devices.model,
            test=prepared.test,
            mean=weighted.mean,
            local=plan.event,
        )


def test_run_without_noise_trains_as_at_client_level() -> None:
    settings: TrainingConfig = parse(SMALL | {"epsilon": math.inf})
    found = prepare(settings)
    assert found.example_level is None
    assert found.population == 8


def test_client_with_one_example_is_refused() -> None:
    """Without that example, the client would not be there."""
    with pytest.raises(ConfigurationError, match=r"expected at least 2 examples of each client .*, found one with 1"):
        prepare(parse(SMALL | {"clients": 300}))
