"""Runs with cohorts: no correct one is rejected, and every tampering is caught by the check that is meant for it."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from dp.ledger.participants import encode_clients
from secagg.audit.account.participation import clients_of
from secagg.audit.run_folder.checks import CHECK_IDS, run_checks
from secagg.engines.memory import InMemory
from tests.support.finished_runs import (
    Tampering,
    bodies_of,
    copied_run,
    finish,
    rebuild,
    rejected,
    summary_edited,
    with_metrics,
)

WITHOUT_REPORT = tuple(name for name in CHECK_IDS if not name.startswith("run.report."))
COHORTS = {"run.ledger.asked", "run.ledger.cap", "run.ledger.missing", "run.account.recount", "run.account.counts"}
IN_TURN: dict[str, Any] = {"cohort": 8, "minimum_contributors": 6}
SECRET: dict[str, Any] = {
    "cohort": 8,
    "draw": "poisson",
    "trust": "central",
    "dropout": 0.0,
    "protocol": "plain",
    "rounds": 2,
}


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(tmp_path_factory.mktemp("in-turn") / "run", **IN_TURN)


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish(tmp_path_factory.mktemp("secret") / "run", **SECRET)


CORRECT: dict[str, dict[str, Any]] = {
    "at random": {"cohort": 6, "draw": "random", "rounds": 5, "dropout": 0.2, "minimum_contributors": 4},
    "at random, a malicious server": {
        "cohort": 8,
        "draw": "random",
        "adversary": "malicious",
        "protocol": "secagg",
        "rounds": 2,
    },
    "a Renyi filter": {"cohort": 8, "accounting": "renyi-filter", "rounds": 2},
    "fixed accounting": {"cohort": 8, "accounting": "fixed", "rounds": 2},
    "a cap alone": {"cap": 4, "rounds": 2},
}


@pytest.mark.parametrize("name", CORRECT)
def test_correct_run_is_not_rejected(name: str, tmp_path: Path) -> None:
    found = run_checks(finish(tmp_path / "run", **CORRECT[name]), only=WITHOUT_REPORT)
    assert rejected(found) == []
    assert {check.id for check in found if check.untested} & COHORTS == set()


def test_correct_run_with_a_secret_draw_is_not_rejected(secret: Path) -> None:
    """Nobody may know how often clients were asked, so that two checks have nothing to look at."""
    found = run_checks(secret, only=COHORTS)
    assert rejected(found) == []
    assert {check.id for check in found if check.untested} == {"run.ledger.cap", "run.account.counts"}


class Interruption(Exception):
    """Raised where a process may end."""


@pytest.mark.parametrize("draw", ["in-turn", "random"])
def test_correct_run_that_was_interrupted_is_not_rejected(
    draw: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second round is reserved twice, for two cohorts; the second one is drawn after the first one counts."""
    run, rounds = InMemory.run, iter((True, False, True, True))

    def interrupted(engine: InMemory, plan: Any) -> Any:
        if next(rounds):
            return run(engine, plan)
        raise Interruption

    settings: dict[str, Any] = {"cohort": 6, "draw": draw, "cap": 3}
    monkeypatch.setattr(InMemory, "run", interrupted)
    with pytest.raises(Interruption):
        finish(tmp_path / "run", **settings)
    finish(tmp_path / "run", resume=True, **settings)
    found = {check.id: check for check in run_checks(tmp_path / "run", only=WITHOUT_REPORT)}
    assert rejected(tuple(found.values())) == []
    assert found["run.ledger.order"].shown.startswith("Rounds that were reserved more than once")


def _ledger(edit: Callable[[list[dict[str, Any]]], Any]) -> Tampering:
    def tamper(run: Path, _: Path) -> None:
        bodies = bodies_of(run / "ledger.sqlite")
        edit(bodies)
        rebuild(run / "ledger.sqlite", bodies)

    return tamper


def _asking(place: int, change: Callable[[list[int]], list[int]]) -> Tampering:
    """Return the tampering that changes who is asked by a record."""

    def edit(bodies: list[dict[str, Any]]) -> None:
        clients = change(list(clients_of(bodies[place]["participants"])))
        bodies[place]["participants"] = encode_clients(np.array(sorted(clients)))

    return _ledger(edit)


def _as_in_the_first_round(bodies: list[dict[str, Any]]) -> None:
    for place in (3, 5):
        bodies[place]["participants"] = bodies[1]["participants"]


def _not_asked(bodies: list[dict[str, Any]]) -> None:
    stranger = min(set(range(16)) - set(clients_of(bodies[1]["participants"])))
    bodies[2]["missing"] = encode_clients(np.array([stranger]))


def _all_present(bodies: list[dict[str, Any]]) -> None:
    assert bodies[2].pop("missing")
    bodies[2]["contributors"] += 1


def _fewer(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        line["used"] *= 0.99


TAMPERINGS: dict[str, tuple[Tampering, str]] = {
    "another client asked": (
        _asking(3, lambda asked: [*asked[1:], min(set(range(16)) - set(asked))]),
        "ledger.asked",
    ),
    "a client left out": (_asking(3, lambda asked: asked[:-1]), "ledger.asked"),
    "a client beyond the population": (_asking(3, lambda asked: [*asked[1:], 16]), "ledger.asked"),
    "a reservation without clients": (_ledger(lambda bodies: bodies[3].pop("participants")), "ledger.asked"),
    "a text that names no clients": (
        _ledger(lambda bodies: bodies[3].update(participants="d" + base64.b64encode(b"\x01\x00").decode())),
        "ledger.asked",
    ),
    "one cohort for all rounds": (_ledger(_as_in_the_first_round), "ledger.cap"),
    "a missing client that was not asked": (_ledger(_not_asked), "ledger.missing"),
    "more contributors than are left": (
        _ledger(lambda bodies: bodies[2].update(contributors=bodies[2]["contributors"] + 1)),
        "ledger.missing",
    ),
    "a dropout as a contributor": (_ledger(_all_present), "ledger.missing"),
    "one cohort for all rounds, which is beyond the budget": (_ledger(_as_in_the_first_round), "account.recount"),
    "less used in the metrics": (with_metrics(_fewer), "account.recount"),
    "less than the budget in the metrics": (
        with_metrics(lambda lines: lines[1].update(epsilon=lines[1]["epsilon"] * 0.99)),
        "account.recount",
    ),
    "the claim of what was spent in the metrics": (
        with_metrics(lambda lines: lines[1].update(claim="spent")),
        "account.recount",
    ),
    "less than the budget in the summary": (lambda run, _: summary_edited(run, epsilon_spent=30.0), "account.recount"),
    "less used in the summary": (lambda run, _: summary_edited(run, used=0.5), "account.recount"),
    "other numbers of rounds in the summary": (
        lambda run, _: summary_edited(run, asked={"least": 1, "median": 1, "most": 2}),
        "account.counts",
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_caught_by_the_check_that_is_meant_for_it(name: str, in_turn: Path, tmp_path: Path) -> None:
    tamper, meant = TAMPERINGS[name]
    run = copied_run(in_turn, tmp_path / "run")
    tamper(run, run)
    (found,) = run_checks(run, only=[f"run.{meant}"])
    assert rejected((found,)) == [f"run.{meant}"]
    assert found.found


SECRET_TAMPERINGS: dict[str, tuple[Tampering, str]] = {
    "a client beyond the population": (_asking(1, lambda asked: [*asked, 16]), "ledger.asked"),
    "the number that was drawn in the metrics": (
        with_metrics(lambda lines: lines[0].update(contributors=lines[0]["contributors"] + 1)),
        "metrics.contributors",
    ),
    "an epsilon scaled down": (
        with_metrics(lambda lines: [line.update(epsilon=line["epsilon"] * 0.9) for line in lines] and None),
        "account.recount",
    ),
    "counts in the summary": (
        lambda run, _: summary_edited(run, asked={"least": 1, "median": 1, "most": 2}),
        "account.counts",
    ),
    "another number of clients": (
        _ledger(lambda bodies: bodies[2]["details"].update(clients=7)),
        "ledger.details",
    ),
}


@pytest.mark.parametrize("name", SECRET_TAMPERINGS)
def test_tampering_with_a_secret_draw_is_caught(name: str, secret: Path, tmp_path: Path) -> None:
    tamper, meant = SECRET_TAMPERINGS[name]
    run = copied_run(secret, tmp_path / "run")
    tamper(run, run)
    assert rejected(run_checks(run, only=[f"run.{meant}"])) == [f"run.{meant}"]
    assert msgspec.json.decode((secret / "summary.json").read_bytes())["draw"] == "poisson"
