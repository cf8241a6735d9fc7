"""Averaging over cohorts: what is reserved for whom, in which order, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from dp.errors import BudgetExceeded
from dp.ledger.ledger import Ledger
from dp.ledger.participation import Accounting, Participation, clients_digest
from secagg.aggregation.mean import SecureMean, Target
from secagg.engines.base import RoundPlan, RoundResult
from secagg.engines.memory import InMemory
from secagg.errors import CohortsExhausted, ConfigurationError
from secagg.training.averaging import SecureAveraging
from secagg.training.cohorts import Draw
from secagg.training.drawing import Cohorts
from tests.support.federation import devices, examples, mean_for

TEST = examples(50, 99)
TARGET = Target(epsilon=40.0, delta=1e-2, releases=2, colluding=0)


def cohorts(**changes: Any) -> Cohorts:
    settings: dict[str, Any] = {"clients": 12, "cohort": 4, "draw": Draw.IN_TURN, "cap": 2, "rounds": 6, "seed": 1}
    return Cohorts(**settings | changes)


def mean(**changes: Any) -> SecureMean:
    return mean_for(devices(4), **{"minimum_contributors": 3, "target": TARGET} | changes)


def ledger_at(path: Path, **changes: Any) -> Ledger:
    participation = Participation(clients=clients_digest([b"12 devices"]), cap=2)
    settings: dict[str, Any] = {"participation": participation, "accounting": Accounting.GAUSSIAN_FILTER}
    return Ledger.create(path / "ledger.sqlite", epsilon=40.0, delta=1e-2, population=12, **settings | changes)


def averaging(ledger: Ledger | None, **changes: Any) -> SecureAveraging:
    federation = devices(12)
    settings: dict[str, Any] = {"engine": InMemory(federation, cohorts=True), "mean": mean(), "cohorts": cohorts()}
    return SecureAveraging(model=federation.model, test=TEST, ledger=ledger, **settings | changes)


def test_averaging_reserves_for_the_cohort_before_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    real = InMemory.run
    with ledger_at(tmp_path) as ledger:

        def noted(engine: InMemory, plan: RoundPlan) -> RoundResult:
            assert all(
                ledger.rounds_of(client) == 1 + sum(client in each for each in seen) for client in plan.mean.clients
            )
            seen.append(plan.mean.clients)
            return real(engine, plan)

        monkeypatch.setattr(InMemory, "run", noted)
        training = averaging(ledger)
        for number in range(1, 7):
            record = training.round()
            assert (record.round, record.asked, record.contributors) == (number, 4, 4)
            assert training.asked == seen[-1] == training.contributors
        assert ledger.rounds_by_client().tolist() == [2] * 12
        with pytest.raises(CohortsExhausted, match="expected at least 4 clients below the cap, found 0 of 12"):
            training.round()
        assert len(ledger.entries()) == len(seen) == 6


def test_averaging_goes_on_from_what_the_ledger_has_counted(tmp_path: Path) -> None:
    with ledger_at(tmp_path) as ledger:
        first = averaging(ledger)
        asked = []
        for _ in range(2):
            first.round()
            asked.append(first.asked)
        second = averaging(ledger, state=first.state)
        second.round()
        assert not set(second.asked) & {client for each in asked for client in each}


@pytest.mark.parametrize("budget", ["none", "another cap", "no participation", "too small"])
def test_averaging_refuses_a_ledger_that_does_not_count_its_cohorts(budget: str, tmp_path: Path) -> None:
    if budget == "too small":
        small = Participation(clients=clients_digest([b"12 devices"]), cap=2)
        with ledger_at(tmp_path, participation=small, accounting=Accounting.GAUSSIAN_FILTER) as ledger:
            training = averaging(ledger, mean=mean(target=Target(epsilon=40.0, delta=1e-2, releases=1, colluding=0)))
            for _ in range(3):
                training.round()
            with pytest.raises(BudgetExceeded):
                training.round()
            return
    if budget == "none":
        with pytest.raises(ConfigurationError, match="found noise and no ledger"):
            averaging(None)
        return
    other = Participation(clients=clients_digest([b"12 devices"]), cap=3) if budget == "another cap" else None
    with ledger_at(tmp_path, participation=other) as ledger:
        with pytest.raises(ConfigurationError, match="expected one with a participation of 12 clients and a cap of 2"):
            averaging(ledger)
        assert ledger.entries() == ()


def test_averaging_without_noise_draws_the_rounds_that_were_made_again() -> None:
    whole = averaging(None, mean=mean(target=None))
    asked = []
    for _ in range(4):
        whole.round()
        asked.append(whole.asked)
    half = averaging(None, mean=mean(target=None))
    for _ in range(2):
        half.round()
    resumed = averaging(None, mean=mean(target=None), state=half.state)
    resumed.round()
    assert resumed.asked == asked[2]


def test_engine_reaches_cohorts_only_where_it_is_told_to() -> None:
    with pytest.raises(ConfigurationError, match="expected one planned for the engine's clients"):
        averaging(None, mean=mean(target=None), engine=InMemory(devices(12)), cohorts=None)
    with pytest.raises(ConfigurationError, match="expected one planned for the engine's clients"):
        averaging(None, mean=mean(target=None, clients=range(10, 14)))
