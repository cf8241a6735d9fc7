"""Runs over a population of which each round asks a cohort: who is asked, what is counted, and what is claimed."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from dp.accounting.guarantee import Claim
from dp.errors import LedgerUnavailable
from dp.events import NeighbouringRelation, Observer, PoissonSampledEvent
from dp.figures import used_in_percent
from dp.ledger.ledger import Ledger
from dp.ledger.participants import decode_clients
from dp.ledger.participation import Accounting
from secagg.arrays import Arrays
from secagg.engines.base import RoundPlan, RoundResult
from secagg.engines.memory import InMemory
from secagg.errors import CheckpointError, ConfigurationError, DataError
from secagg.runs.folder import RunFolder
from secagg.runs.goal import choose_goal
from secagg.runs.prepare import prepare
from secagg.runs.run import run_training
from secagg.runs.summary import COHORTS_EXHAUSTED, AskedRounds
from secagg.simulation.devices import Devices
from secagg.training.cohorts import Draw
from secagg.training.drawing import Cohorts, Drawn
from secagg.training.records import RoundRecord
from tests.secagg.runs.test_run import Interruption, config, run, silent, stopping_at

NEXT: Final = Cohorts.next
COHORTS: dict[str, Any] = {"clients": 30, "cohort": 10, "rounds": 6, "epsilon": 60.0, "delta": 1e-2, "epochs": 1}
POISSON: dict[str, Any] = COHORTS | {"draw": "poisson", "trust": "central", "epsilon": 8.0, "rounds": 3}


def asked_in(folder: RunFolder) -> list[tuple[int, ...]]:
    """Return whom each reservation of a run asked, as the ledger says."""
    with Ledger.open_to_read(folder.ledger) as ledger:
        total = ledger.rounds_by_client()
        texts = [entry.reservation.participants for entry in ledger.entries()]
        found = [tuple(decode_clients(text or "", size=ledger.budget.clients).tolist()) for text in texts]
    assert Counter(client for each in found for client in each) == {
        client: count for client, count in enumerate(total.tolist()) if count
    }
    return found


@contextmanager
def noting(asked: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Note the clients of each session that an engine begins, which is when vectors are asked for."""
    real = InMemory.run

    def noted(engine: InMemory, plan: RoundPlan) -> RoundResult:
        asked.append(plan.mean.clients)
        return real(engine, plan)

    with monkeypatch.context() as patched:
        patched.setattr(InMemory, "run", noted)
        yield


def test_run_in_turn_asks_everybody_as_often_and_has_noise_for_that(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    settings = config(**COHORTS)
    summary = run(folder, settings)
    cohorts = asked_in(folder)
    assert [len(each) for each in cohorts] == [10] * 6
    assert all(not set(one) & set(other) for one, other in pairwise(cohorts))
    assert summary.asked == AskedRounds(least=2, median=2, most=2)
    assert (summary.clients, summary.cohort, summary.draw, summary.cap) == (30, 10, Draw.IN_TURN, 2)
    assert (summary.claim, summary.epsilon_spent, summary.stopped_because) == (Claim.BUDGET, 60.0, None)
    assert summary.used is not None
    assert 0.99 < summary.used <= 1
    assert [record.asked for record in folder.metrics()] == [10] * 6
    assert [record.used for record in folder.metrics()] == sorted(record.used or 0 for record in folder.metrics())
    alone = prepare(config(**COHORTS | {"clients": 10, "cohort": None, "rounds": 2, "delta": 1e-2}))
    assert prepare(settings).event == alone.event


def test_run_at_random_keeps_to_its_cap_and_goes_on_after_an_interruption(tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path / "run"), config(**COHORTS, draw="random", cap=3)
    with pytest.raises(Interruption):
        run(folder, settings, observe=stopping_at(3))
    before = asked_in(folder)
    summary = run(folder, settings, resume=True)
    assert asked_in(folder)[:3] == before
    counts = Counter(client for each in asked_in(folder) for client in each)
    assert max(counts.values()) <= 3
    assert summary.asked is not None
    assert summary.asked.most == max(counts.values())
    whole = RunFolder(tmp_path / "whole")
    run(whole, settings)
    assert asked_in(whole) == asked_in(folder)


def test_runs_with_other_draws_ask_others(tmp_path: Path) -> None:
    found = []
    others: list[dict[str, Any]] = [{}, {"seed": 2}, {"draw": "random"}]
    for at, changes in enumerate(others):
        folder = RunFolder(tmp_path / f"run-{at}")
        run(folder, config(**COHORTS | {"rounds": 1}, **changes))
        found.append(asked_in(folder))
    assert len({str(each) for each in found}) == 3


@pytest.mark.parametrize("draw", ["in-turn", "random"])
def test_round_that_is_repeated_is_another_reservation_and_uses_up_places(draw: str, tmp_path: Path) -> None:
    """A reservation whose round was lost: the tight cap then has places for one round less."""
    folder, settings = RunFolder(tmp_path / "run"), config(**COHORTS, draw=draw)
    with pytest.raises(Interruption):
        run(folder, settings, observe=stopping_at(2))
    prepared = prepare(settings)
    event, cohorts = prepared.event, prepared.cohorts
    assert event is not None
    assert cohorts is not None
    cohorts.repeat(2)
    with Ledger.open(folder.ledger) as ledger:
        lost = ledger.entries()[0].reservation.label.replace("round 1", "round 3")
        ledger.reserve(event, lost, participants=cohorts.next(3).clients)
    goal = choose_goal(prepared, folder, 6)
    assert "the budget and the cap allow 5 rounds in all" in (goal.cost or "")
    with pytest.raises(ConfigurationError, match="at most the 5 that the budget and the cap allow, found 7"):
        choose_goal(prepared, folder, 7)
    summary = run(folder, settings, resume=True)
    counts = Counter(client for each in asked_in(folder) for client in each)
    assert max(counts.values()) <= 2
    assert (summary.stopped_early, summary.stopped_because) == (True, COHORTS_EXHAUSTED)
    assert summary.rounds == 5
    assert len({str(each) for each in asked_in(folder)[2:4]}) == 2


WRITES = ("reservation", "question", "commitment", "checkpoint")


def interrupting(monkeypatch: pytest.MonkeyPatch, write: str, at: int, *, after: bool) -> None:
    """Raise before or after the write of this kind number `at`, as a kill there would end the process."""
    owner, name = {
        "reservation": (Ledger, "reserve"),
        "question": (InMemory, "run"),
        "commitment": (Ledger, "commit"),
        "checkpoint": (RunFolder, "save"),
    }[write]
    real, seen = getattr(owner, name), [0]

    def interrupted(*args: Any, **named: Any) -> Any:
        seen[0] += 1
        if seen[0] == at and not after:
            raise Interruption
        found = real(*args, **named)
        if seen[0] == at:
            raise Interruption
        return found

    monkeypatch.setattr(owner, name, interrupted)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", WRITES)
def test_run_that_is_killed_between_any_two_writes_never_asks_a_client_above_its_count(
    write: str, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, settings = RunFolder(tmp_path / "run"), config(**COHORTS, draw="random", cap=4)
    asked = list[tuple[int, ...]]()
    with noting(asked, monkeypatch):
        for resume in (False, True):
            with monkeypatch.context() as patched:
                interrupting(patched, write, 2, after=after)
                with pytest.raises(Interruption):
                    run(folder, settings, resume=resume)
            reserved = asked_in(folder)
            assert Counter(c for each in asked for c in each) <= Counter(c for each in reserved for c in each)
            assert len(reserved) >= len(asked)
        summary = run(folder, settings, resume=True)
    counted = Counter(client for each in asked_in(folder) for client in each)
    assert Counter(client for each in asked for client in each) <= counted
    assert max(counted.values()) <= 4
    assert summary.rounds == 6
    lost = len(asked_in(folder)) - 6
    assert lost == (0 if (write, after) in (("reservation", False), ("checkpoint", True)) else 2)
    with Ledger.open_to_read(folder.ledger) as ledger:
        assert ledger.spent().epsilon <= 60


def test_run_by_poisson_protects_from_readers_and_shows_nobody_who_was_drawn(tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path / "run"), config(**POISSON)
    summary = run(folder, settings)
    with Ledger.open_to_read(folder.ledger) as ledger:
        budget, (event,) = ledger.budget, {entry.reservation.event for entry in ledger.entries()}
        assert (budget.towards, budget.relation) == (Observer.READERS, NeighbouringRelation.ADD_OR_REMOVE_ONE)
        assert budget.accounting is Accounting.FIXED
    assert isinstance(event, PoissonSampledEvent)
    assert (event.sampling_rate, event.event.contributors) == (1 / 3, 1)
    sizes = {len(each) for each in asked_in(folder)}
    assert len(sizes) > 1
    assert {(r.asked, r.contributors, r.sent_bytes, r.server_s) for r in folder.metrics()} == {(10, 10, 0.0, 0.0)}
    assert {r.rounding_bound for r in folder.metrics()} == {None}
    assert (summary.asked, summary.cap, summary.claim, summary.contributors) == (None, None, Claim.SPENT, 10.0)
    assert 7.9 < (summary.epsilon_spent or 0) <= 8
    everybody = prepare(config(**POISSON | {"cohort": None, "draw": None}))
    assert (prepare(settings).noise_multiplier or 0) < (everybody.noise_multiplier or 0)


def test_log_of_a_run_by_poisson_is_the_same_whoever_is_drawn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader of the log at every level looks for who was drawn, or for how many were."""
    caplog.set_level(logging.DEBUG)
    logs = []
    for at, drawn in enumerate([(3,), tuple(range(10)), tuple(range(5, 28))]):
        cohort = Drawn(clients=drawn, padding=tuple(range(20, 29)) if at == 0 else ())
        with monkeypatch.context() as patched:
            patched.setattr(Cohorts, "_next", lambda *_, cohort=cohort: cohort)
            caplog.clear()
            run(RunFolder(tmp_path / f"run-{at}"), config(**POISSON | {"rounds": 1}))
        own = ("dp", "protocols", "secagg")
        logs.append([(each.name, each.getMessage()) for each in caplog.records if each.name in own])
    assert logs[0] == logs[1] == logs[2]
    assert {name for name, _ in logs[0]} == {"dp", "secagg"}


def test_run_by_poisson_divides_by_the_expected_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody and everybody is drawn: a mean of nothing, and three times the mean of all updates."""
    settings = config(**POISSON | {"epsilon": 1e4, "rounds": 1, "server_momentum": 0.0, "server_learning_rate": 1.0})
    moved = []
    for byte in (b"\xff", b"\x00"):
        monkeypatch.setattr("secagg.training.drawing.Cohorts.next", drawing(byte))
        prepared = prepare(settings)
        folder = RunFolder(tmp_path / f"run-{byte.hex()}")
        folder.begin(settings)
        run_training(prepared, folder, resume=False, observe=silent)
        first = prepare(settings).devices.model.get_weights()
        prepared.devices.model.set_weights(first)
        with np.load(folder.path / "checkpoint.npz", allow_pickle=False) as kept:
            moved.append([kept[f"weights_{at}"] - array for at, array in enumerate(first)])
    updates = [prepared.devices.train(client, first, 1) for client in range(30)]
    clipped = [[array * min(1, 0.5 / norm(update)) for array in update] for update in updates]
    for at in range(len(first)):
        assert np.abs(moved[0][at]).max() < 2e-3
        np.testing.assert_allclose(moved[1][at], sum(update[at] for update in clipped) / 10, atol=2e-3)


def norm(update: list[Any]) -> float:
    return math.sqrt(sum(float((array**2).sum()) for array in update))


def drawing(byte: bytes) -> Callable[[Cohorts, int], Drawn]:
    """Return the real draw, of clients whose secret randomness is one byte again and again."""

    def draw(cohorts: Cohorts, number: int) -> Drawn:
        cohorts.entropy = lambda size: byte * size
        return NEXT(cohorts, number)

    return draw


def test_run_by_poisson_goes_on_after_an_interruption(tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path / "run"), config(**POISSON)
    with pytest.raises(Interruption):
        run(folder, settings, observe=stopping_at(2))
    assert "allows 3 rounds in all" in (choose_goal(prepare(settings), folder, 3).cost or "")
    summary = run(folder, settings, resume=True)
    assert (summary.rounds, summary.stopped_early) == (3, False)


@pytest.mark.parametrize("draw", ["in-turn", "random"])
def test_run_without_noise_repeats_its_cohorts_and_equals_its_comparison(draw: str, tmp_path: Path) -> None:
    settings = config(**COHORTS | {"epsilon": math.inf, "rounds": 3, "draw": draw, "compare": True})
    folder, whole = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "whole")
    with pytest.raises(Interruption):
        run(folder, settings, observe=stopping_at(2))
    summary = run(folder, settings, resume=True)
    assert summary.compared == {"plain": summary.accuracy, "without noise": summary.accuracy}
    run(whole, settings)
    losses = [record.loss for record in folder.metrics()]
    assert [record.loss for record in whole.metrics()] == pytest.approx(losses, rel=1e-4)
    assert summary.asked is None


def test_run_against_a_malicious_server_makes_identities_of_those_who_are_asked(tmp_path: Path) -> None:
    settings = config(**COHORTS | {"rounds": 3, "adversary": "malicious", "clients": 40})
    prepared = prepare(settings)
    folder = RunFolder(tmp_path / "run")
    folder.begin(settings)
    summary = run_training(prepared, folder, resume=False, observe=silent)
    assert summary.released == 3
    assert prepared.members is not None
    drawn = {client for each in asked_in(folder) for client in each}
    assert set(prepared.members._known) == drawn | set(range(10))


def test_run_goes_on_to_more_rounds_where_the_cap_has_places(tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path / "run"), config(**COHORTS, cap=3)
    first = run(folder, settings)
    assert first.used is not None
    assert first.used < 0.67
    goal = choose_goal(prepare(settings), folder, 9)
    assert goal.rounds == 9
    assert goal.cost == (
        f"{used_in_percent(first.used)} of the budget of epsilon 60 is used, and epsilon 60 is guaranteed, "
        "whatever part of it is used; the budget and the cap allow 9 rounds in all"
    )
    folder.set_goal(9)
    more = run(folder, settings, resume=True)
    assert (more.rounds, more.stopped_early, more.asked) == (9, False, AskedRounds(least=3, median=3, most=3))


def test_run_with_cohorts_does_not_go_on_with_a_ledger_of_another_population(tmp_path: Path) -> None:
    folder, other = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "other")
    for each, settings in ((folder, config(**COHORTS)), (other, config(**COHORTS, seed=2))):
        each.begin(settings)
        terms = prepare(settings).ledger_terms
        assert terms is not None
        each.create_ledger(terms, settings)
    other.ledger.replace(folder.ledger)
    with pytest.raises(CheckpointError, match="expected the budget of the run's settings, found another one"):
        run(folder, config(**COHORTS), resume=True)


def test_run_whose_clip_adapts_has_the_same_event_in_every_round(tmp_path: Path) -> None:
    """The clip and the noise move together, so that no filter is needed: nothing but the question changes."""
    folder, settings = RunFolder(tmp_path / "run"), config(**COHORTS, clipping="adaptive", clip_l2=5.0)
    run(folder, settings)
    assert len({record.clip_bound for record in folder.metrics()}) == 6
    with Ledger.open_to_read(folder.ledger) as ledger:
        assert {entry.reservation.event for entry in ledger.entries()} == {prepare(settings).event}


def test_run_says_which_accounting_its_ledger_has(tmp_path: Path) -> None:
    settings = config(**COHORTS, accounting="fixed")
    folder = RunFolder(tmp_path / "run")
    summary = run(folder, settings)
    assert (summary.claim, summary.used) == (Claim.SPENT, None)
    assert 59 < (summary.epsilon_spent or 0) <= 60
    with Ledger.open_to_read(folder.ledger) as ledger:
        assert ledger.budget.accounting is Accounting.FIXED
    assert prepare(config()).ledger_terms.accounting is Accounting.GAUSSIAN_FILTER  # type: ignore[union-attr]


def test_run_whose_ledger_is_gone_while_it_draws_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, asked = RunFolder(tmp_path / "run"), list[tuple[int, ...]]()

    def fails(*_: Any, **__: Any) -> int:
        raise LedgerUnavailable("full disk")

    with noting(asked, monkeypatch), monkeypatch.context() as patched:
        patched.setattr(Ledger, "reserve", fails)
        with pytest.raises(LedgerUnavailable):
            run(folder, config(**COHORTS))
    assert asked == []


def test_files_of_a_secret_draw_leave_out_whose_training_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader of the metrics looks for clients that were drawn: those whose training failed were."""

    def failing(_: Devices, client: int, *__: object) -> Arrays:
        raise DataError(f"client {client} has no usable examples")

    monkeypatch.setattr(Devices, "train", failing)
    folder, told = RunFolder(tmp_path / "run"), list[RoundRecord]()
    run(folder, config(**POISSON), observe=lambda _, record: told.append(record))
    assert [set(record.failed) for record in told] == [set(asked) for asked in asked_in(folder)]
    assert any(record.failed for record in told)
    assert [record.failed for record in folder.metrics()] == [{}, {}, {}]
