import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.errors import LedgerCorrupt, LedgerLocked, LedgerStale
from dp.ledger.ledger import Ledger
from secagg.errors import CheckpointError, ModelError, SecaggError
from secagg.models.softmax import SoftmaxRegression
from secagg.runs.comparison import ComparedRound, ComparisonProcess
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.kept_weights import kept_rounds, read_weights
from secagg.runs.parsing import parse
from secagg.runs.prepare import prepare
from secagg.runs.run import run_name, run_training
from secagg.runs.summary import Summary
from secagg.training.model_state import GlobalModel
from secagg.training.records import RoundRecord
from tests.vectors.record_reports import run_report

SMALL: dict[str, Any] = {
    "dataset": "breast-cancer",
    "model": "numpy-softmax",
    "clients": 16,
    "rounds": 4,
    "epochs": 1,
    "epsilon": 60.0,
    "delta": 1e-2,
    "modulus_bits": 24,
    "compare": False,
}


class Interruption(Exception):
    """Raised by an observer, as a Ctrl-C would be."""


def config(**changes: Any) -> TrainingConfig:
    return parse(SMALL | changes)


def silent(kind: str | None, record: RoundRecord) -> None:
    """Observe nothing."""


def stopping_at(number: int) -> Callable[[str | None, RoundRecord], None]:
    def observe(kind: str | None, record: RoundRecord) -> None:
        if record.round == number:
            raise Interruption

    return observe


def run(folder: RunFolder, settings: TrainingConfig, *, resume: bool = False, observe: Any = silent) -> Summary:
    if not resume:
        folder.begin(settings)
    return run_training(prepare(settings), folder, resume=resume, observe=observe)


def test_run_leaves_a_whole_folder(tmp_path: Path) -> None:
    folder, seen = RunFolder(tmp_path / "run"), list[tuple[str | None, int]]()
    summary = run(folder, config(), observe=lambda kind, record: seen.append((kind, record.round)))
    assert seen == [(None, 1), (None, 2), (None, 3), (None, 4)]
    assert (summary.rounds, summary.released, summary.stopped_early) == (4, 4, False)
    assert summary.compared == {}
    assert summary.epsilon_spent is not None
    assert 0.99 * 60 < summary.epsilon_spent <= 60
    with Ledger.open_to_read(folder.ledger) as ledger:
        assert [entry.commitment is not None for entry in ledger.entries()] == [True] * 4
        assert ledger.spent().epsilon == summary.epsilon_spent
    saved = SoftmaxRegression.load(folder.path / summary.saved_model)
    state = folder.restore(GlobalModel.initial(prepare(config()).devices.model), config())
    assert all(np.array_equal(a, b) for a, b in zip(saved.get_weights(), state.weights, strict=True))
    assert kept_rounds(folder.path) == (0, 1, 2, 3, 4)
    kept = read_weights(folder.path, 4, [array.shape for array in state.weights])
    assert all(np.array_equal(a, b) for a, b in zip(kept, state.weights, strict=True))
    metrics = saved.evaluate(*prepare(config()).test)
    assert (metrics.loss, metrics.accuracy) == (summary.loss, summary.accuracy)
    assert summary.contributors == np.mean([record.contributors for record in folder.metrics()])
    assert sum(summary.dropped.values()) == pytest.approx(config().dropping)
    assert (folder.path / "summary.json").is_file()


@pytest.mark.parametrize("number", [1, 3, 4])
def test_run_goes_on_after_an_interruption(number: int, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(Interruption):
        run(folder, config(), observe=stopping_at(number))
    before = folder.metrics()
    assert [record.round for record in before] == list(range(1, number + 1))
    seen: list[int] = []
    summary = run(folder, config(), resume=True, observe=lambda _, record: seen.append(record.round))
    assert seen == [1, 2, 3, 4]
    assert folder.metrics()[:number] == before
    assert summary.rounds == 4
    assert (summary.epsilon_spent or 0) <= 60
    again = run(folder, config(), resume=True)
    assert (again.rounds, again.epsilon_spent, again.accuracy) == (4, summary.epsilon_spent, summary.accuracy)


def test_run_ends_early_where_interruptions_have_used_the_budget_up(tmp_path: Path) -> None:
    """A reservation that was never committed is spent, so that the last round no longer fits."""
    folder, settings = RunFolder(tmp_path / "run"), config()
    with pytest.raises(Interruption):
        run(folder, settings, observe=stopping_at(2))
    noise = prepare(settings).mean.noise
    assert noise is not None
    with Ledger.open(folder.ledger) as ledger:
        ledger.reserve(noise.event, f"round 3 of run {run_name(settings)}")
    summary = run(folder, settings, resume=True)
    assert (summary.rounds, summary.released, summary.stopped_early) == (3, 3, True)
    with Ledger.open_to_read(folder.ledger) as ledger:
        assert len(ledger.entries()) == 4
        assert ledger.spent().epsilon <= 60


def test_run_with_the_budget_gone_at_once_is_still_a_run(tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path / "run"), config(rounds=1)
    folder.begin(settings)
    noise = prepare(settings).mean.noise
    assert noise is not None
    with Ledger.create(folder.ledger, epsilon=60.0, delta=1e-2, population=16) as ledger:
        ledger.reserve(noise.event, f"round 1 of run {run_name(settings)}")
    summary = run(folder, settings, resume=True)
    assert (summary.rounds, summary.released, summary.stopped_early) == (0, 0, True)
    assert summary.accuracy == summary.accuracy_before


def test_run_does_not_go_on_without_what_it_has_spent(tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path / "run"), config()
    with pytest.raises(Interruption):
        run(folder, settings, observe=stopping_at(1))
    older = tmp_path / "older.sqlite"
    shutil.copy(folder.ledger, older)
    with pytest.raises(Interruption):
        run(folder, settings, resume=True, observe=stopping_at(3))
    shutil.copy(older, folder.ledger)
    with pytest.raises(LedgerStale, match="an older copy"):
        run(folder, settings, resume=True)
    folder.ledger.unlink()
    with pytest.raises(CheckpointError, match=r"expected the ledger of the .* rounds that were made, found no file"):
        run(folder, settings, resume=True)
    folder.ledger.touch()
    with pytest.raises(LedgerCorrupt):
        run(folder, settings, resume=True)
    assert len(folder.metrics()) == 3


CHANGES: list[dict[str, Any]] = [
    {"epsilon": 61.0},
    {"delta": 2e-2},
    {"clients": 17},
    {"epsilon": math.inf},
    {"clip_l2": 50.0},
    {"rounds": 5},
    {"protocol": "plain"},
]


@pytest.mark.parametrize("rounds", [0, 1])
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_run_does_not_go_on_with_other_settings(rounds: int, change: dict[str, Any], tmp_path: Path) -> None:
    """Neither after a checkpoint nor where the ledger alone knows that something was released."""
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(Interruption):
        run(folder, config(), observe=stopping_at(1))
    if not rounds:
        (folder.path / "checkpoint.npz").unlink()
    said = (
        "expected the settings that the run began with, found others"
        if rounds
        else "expected the budget of the run's settings|found some of others|expected a run without noise"
    )
    with pytest.raises(CheckpointError, match=said):
        run(folder, config(**change), resume=True)
    with Ledger.open(folder.ledger) as ledger:
        assert [entry.reservation.label for entry in ledger.entries()] == [f"round 1 of run {run_name(config())}"]


def test_run_does_not_go_on_with_another_runs_ledger(tmp_path: Path) -> None:
    folder, other = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "other")
    for each, settings in ((folder, config()), (other, config(seed=2))):
        with pytest.raises(Interruption):
            run(each, settings, observe=stopping_at(2))
    shutil.copy(other.ledger, folder.ledger)
    with pytest.raises(LedgerStale, match="another ledger"):
        run(folder, config(), resume=True)


def test_run_does_not_begin_with_the_ledger_of_other_settings(tmp_path: Path) -> None:
    """Before the first round there is no head to know the run's own ledger by."""
    folder, other = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "other")
    with pytest.raises(Interruption):
        run(other, config(seed=2), observe=stopping_at(1))
    folder.begin(config())
    shutil.copy(other.ledger, folder.ledger)
    with pytest.raises(CheckpointError, match=r"expected releases of the settings in .*, found some of others"):
        run(folder, config(), resume=True)


@pytest.mark.parametrize("epsilon", [60.0, math.inf])
def test_run_keeps_others_from_its_folder(epsilon: float, tmp_path: Path) -> None:
    folder, other, settings = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run"), config(epsilon=epsilon)
    refused: list[int] = []

    def intrude(kind: str | None, record: RoundRecord) -> None:
        for resume in (False, True):
            with pytest.raises(CheckpointError, match="found another run in it"):
                run(other, settings, resume=resume)
            refused.append(record.round)

    run(folder, settings, observe=intrude)
    assert refused == [1, 1, 2, 2, 3, 3, 4, 4]
    assert len(folder.metrics()) == 4
    assert run(other, settings, resume=True).rounds == 4


def test_compressed_run_is_trained_and_reported(tmp_path: Path) -> None:
    """A model as small as this one has a block of 64, of which at least 49 coordinates are sent."""
    folder, settings = RunFolder(tmp_path / "run"), config(compression=0.9)
    encoding = prepare(settings).mean.encoding
    assert (encoding.kept, encoding.block) == (58, 64)
    summary = run(folder, settings)
    assert summary.released == 4
    assert folder.config() == settings
    plan = dict(run_report(folder.path).plan)
    assert plan["Update on the wire"].endswith(
        ", a public random 58 of every 64 rotated coordinates, fresh in each round"
    )
    assert "what is not sent moves it more, by a squared error over all entries of about 0.103" in plan["Rounding"]


@pytest.mark.parametrize("rate", [1e200, 1e308])
def test_run_that_diverges_says_so_and_saves_nothing_of_it(rate: float, tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path / "run"), config(epsilon=math.inf, server_learning_rate=rate, clip_l2=1e3)
    with pytest.raises(ModelError, match=r"training has diverged in round 1: .*smaller learning rate"):
        run(folder, settings)
    assert folder.metrics() == []
    assert not (folder.path / "checkpoint.npz").exists()


def test_run_goes_on_where_the_ledger_was_never_finished(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(config(rounds=1))
    folder.ledger.touch()
    assert run(folder, config(rounds=1), resume=True).rounds == 1


def test_run_whose_ledger_is_in_use_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(Interruption):
        run(folder, config(), observe=stopping_at(1))
    with Ledger.open(folder.ledger), pytest.raises(LedgerLocked):
        run(folder, config(), resume=True)


def test_run_without_noise_has_no_ledger_and_equals_its_comparison(tmp_path: Path) -> None:
    folder, kinds = RunFolder(tmp_path / "run"), set[str | None]()
    settings = config(epsilon=float("inf"), compare=True, rounds=3, weighting="weighted", max_examples=40)
    summary = run(folder, settings, observe=lambda kind, _: kinds.add(kind))
    assert not folder.ledger.exists()
    assert kinds == {None, "plain", "without noise"}
    assert summary.compared == {"plain": summary.accuracy, "without noise": summary.accuracy}
    assert (summary.epsilon_spent, summary.epsilon_budget, summary.delta) == (None, None, None)
    by_kind: dict[str, list[RoundRecord]] = {"plain": [], "without noise": []}
    for line in folder.comparison():
        by_kind[line.kind].append(line.record)
    for own, secure, plain in zip(folder.metrics(), by_kind["without noise"], by_kind["plain"], strict=True):
        assert own.contributors == secure.contributors == plain.contributors
        assert own.dropped == secure.dropped
        assert own.loss == pytest.approx(secure.loss, abs=1e-5)
        assert own.loss == pytest.approx(plain.loss, abs=1e-5)


def test_comparison_that_has_ended_long_before_the_run_is_complete() -> None:
    with ComparisonProcess(config(rounds=2)) as process:
        found: list[ComparedRound] = []
        deadline = time.monotonic() + 60
        while len(found) < 4 and time.monotonic() < deadline:
            found += process.arrived()
        process._reader.join(60)
        assert process.arrived() == []
        assert process.rest() == []
        assert process.received == found
        assert [(line.kind, line.record.round) for line in found] == [
            ("without noise", 1),
            ("plain", 1),
            ("without noise", 2),
            ("plain", 2),
        ]


def test_comparison_that_fails_says_why(tmp_path: Path) -> None:
    """The data set that the settings name is not where that process looks for it."""
    with ComparisonProcess(config(dataset=str(tmp_path / "gone.npz"))) as process:
        with pytest.raises(SecaggError, match=r"compared runs: expected rounds, found that they failed: .*gone\.npz"):
            process.rest()
        with pytest.raises(SecaggError, match="they failed"):
            process.rest()


def test_comparison_that_is_ended_by_a_signal_says_so() -> None:
    with ComparisonProcess(config(rounds=1000)) as process:
        os.kill(process._process.pid, signal.SIGTERM)
        with pytest.raises(SecaggError, match="they failed: their process was ended"):
            process.rest()


def test_comparison_takes_nothing_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dp", "protocols", "numpy", "secagg"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('foreign code')\n")
    monkeypatch.chdir(tmp_path)
    with ComparisonProcess(config(rounds=1)) as process:
        assert len(process.rest()) == 2
    assert str(tmp_path) not in sys.path


def test_comparison_ends_with_its_block() -> None:
    with pytest.raises(Interruption), ComparisonProcess(config(rounds=1000)) as process:
        raise Interruption
    assert process._process.returncode is not None
    assert not process._reader.is_alive()


def test_run_whose_ledger_and_checkpoint_are_gone_is_not_given_a_new_budget(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    run(folder, config(rounds=1))
    folder.ledger.unlink()
    (folder.path / "checkpoint.npz").unlink()
    with pytest.raises(CheckpointError, match=r"expected the ledger of the .* rounds that were made, found no file"):
        run(folder, config(rounds=1), resume=True)
    assert not folder.ledger.exists()
