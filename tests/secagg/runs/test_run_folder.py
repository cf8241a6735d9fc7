import json
import math
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dp.events import DistributedDiscreteGaussianEvent
from dp.ledger.ledger import Ledger
from secagg.errors import CheckpointError
from secagg.runs.comparison import ComparedRound
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.ledger_terms import LedgerTerms
from secagg.runs.parsing import parse
from secagg.training.model_state import GlobalModel
from secagg.training.records import RoundRecord

EVENT = DistributedDiscreteGaussianEvent(local_sigma=40.0, contributors=200, l2_sensitivity=300.0, dimension=64)
TERMS = LedgerTerms.of(TrainingConfig(), population=300, event=EVENT, data_digest="ab" * 32)


def model(rounds: int = 0, *, seed: int = 0) -> GlobalModel:
    generator = np.random.default_rng(seed)
    weights, velocity = ([generator.normal(size=(3, 2)), np.asarray(generator.normal())] for _ in range(2))
    return GlobalModel(weights, velocity, rounds)


def record(number: int) -> RoundRecord:
    return RoundRecord(round=number, accuracy=0.5, loss=1.0, contributors=7, dropped={"share_keys": [3]}, epsilon=0.25)


def begun(path: Path, rounds: int = 0) -> RunFolder:
    folder = RunFolder(path / "run")
    folder.begin(TrainingConfig())
    for number in range(1, rounds + 1):
        folder.save(model(number, seed=number), record(number), TrainingConfig())
    return folder


def same(one: GlobalModel, other: GlobalModel) -> bool:
    pairs = zip(one.weights + one.velocity, other.weights + other.velocity, strict=True)
    return one.round == other.round and all(np.array_equal(a, b) for a, b in pairs)


def test_runfolder_keeps_settings_and_the_last_whole_round(tmp_path: Path) -> None:
    folder = begun(tmp_path, 3)
    assert folder.config() == TrainingConfig()
    assert same(folder.restore(model(), TrainingConfig()), model(3, seed=3))
    assert folder.metrics() == [record(1), record(2), record(3)]
    assert not [entry.name for entry in folder.path.iterdir() if "partial" in entry.name]


def test_runfolder_before_the_first_round_gives_the_initial_model(tmp_path: Path) -> None:
    folder, initial = begun(tmp_path), model()
    assert folder.restore(initial, TrainingConfig()) is initial
    assert folder.metrics() == []
    assert folder.comparison() == []


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_runfolder_leaves_out_a_line_that_was_cut_short(cut: int, tmp_path: Path) -> None:
    folder = begun(tmp_path, 2)
    with (folder.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"round":3,"accuracy":0.5,"loss":1.0,"contributors":7,"dropped":{}}'[:cut])
    assert folder.metrics() == [record(1), record(2)]
    assert folder.restore(model(), TrainingConfig()).round == 2
    folder.save(model(3), record(3), TrainingConfig())
    assert folder.metrics() == [record(1), record(2), record(3)]


def test_runfolder_cuts_metrics_back_to_the_checkpoint(tmp_path: Path) -> None:
    """As after an end between the line of a round and its checkpoint."""
    folder = begun(tmp_path, 2)
    before = (folder.path / "checkpoint.npz").read_bytes()
    folder.save(model(3), record(3), TrainingConfig())
    (folder.path / "checkpoint.npz").write_bytes(before)
    assert same(folder.restore(model(), TrainingConfig()), model(2, seed=2))
    assert folder.metrics() == [record(1), record(2)]


@pytest.mark.parametrize("rounds", [2, 3])
def test_runfolder_refuses_to_go_on_without_its_checkpoint(rounds: int, tmp_path: Path) -> None:
    """Only the line of one round may be written before the first checkpoint is."""
    folder = begun(tmp_path, rounds)
    metrics = (folder.path / "metrics.jsonl").read_bytes()
    (folder.path / "checkpoint.npz").unlink()
    with pytest.raises(CheckpointError, match="expected the 0 rounds of the checkpoint and at most one more, found"):
        folder.restore(model(), TrainingConfig())
    assert (folder.path / "metrics.jsonl").read_bytes() == metrics


@pytest.mark.parametrize("change", [{"rounds": 31}, {"epsilon": math.inf}, {"seed": 2}, {"clip_l2": 0.25}])
def test_runfolder_refuses_other_settings_than_it_began_with(change: dict[str, Any], tmp_path: Path) -> None:
    folder = begun(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"config\.toml: expected the settings .* began with, found others"):
        folder.restore(model(), parse(change))


def test_runfolder_refuses_metrics_that_miss_a_round(tmp_path: Path) -> None:
    folder = begun(tmp_path, 3)
    path = folder.path / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for damaged in ([lines[0], lines[2]], lines[:2], [], [lines[0], lines[0], *lines[1:]]):
        path.write_bytes(b"".join(damaged))
        with pytest.raises(CheckpointError, match="expected the 3 rounds of the checkpoint"):
            folder.restore(model(), TrainingConfig())


OUT_OF_RANGE: list[dict[str, Any]] = [
    {"round": 0},
    {"round": 10**400},
    {"accuracy": 1.7e308},
    {"accuracy": -0.1},
    {"loss": 1.7e308},
    {"loss": None},
    {"contributors": -5},
    {"contributors": 10**30},
    {"epsilon": 1.7e308},
    {"epsilon": -1.0},
    {"sent_bytes": 1e308},
    {"client_s": -1.0},
    {"dropped": {"\x1b[2J": [1]}},
    {"dropped": {"a\n": [1]}},
    {"dropped": {"share_keys": [-1]}},
]


@pytest.mark.parametrize("change", OUT_OF_RANGE, ids=range(len(OUT_OF_RANGE)))
def test_runfolder_refuses_rounds_that_cannot_have_been(change: dict[str, Any], tmp_path: Path) -> None:
    folder = begun(tmp_path, 1)
    line = json.dumps(json.loads((folder.path / "metrics.jsonl").read_bytes()) | change)
    (folder.path / "metrics.jsonl").write_text(f"{line}\n")
    (folder.path / "comparison.jsonl").write_text(f'{{"kind":"plain","record":{line}}}\n')
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl: expected whole lines of JSON"):
        folder.restore(model(), TrainingConfig())
    with pytest.raises(CheckpointError, match=r"comparison\.jsonl: expected whole lines of JSON"):
        folder.comparison()


NO_ROUNDS: list[bytes] = [
    b"garbage\n",
    b'{"round":"one"}\n',
    b'{"round":1,"unknown":2}\n',
    b"\xff\n",
    b'{"kind":"\xff","ledger_head":"\xff"}\n',  # Text that is not UTF-8 is no error of msgspec's own.
    b'{"dropped":' * 5000 + b"\n",
    b'{"record":' * 5000 + b"\n",
]


@pytest.mark.parametrize("line", NO_ROUNDS, ids=range(len(NO_ROUNDS)))
def test_runfolder_refuses_lines_that_are_no_rounds(line: bytes, tmp_path: Path) -> None:
    folder = begun(tmp_path, 1)
    (folder.path / "metrics.jsonl").write_bytes(line)
    (folder.path / "comparison.jsonl").write_bytes(line)
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl: expected whole lines of JSON"):
        folder.restore(model(), TrainingConfig())
    with pytest.raises(CheckpointError, match=r"comparison\.jsonl: expected whole lines of JSON"):
        folder.comparison()


def flipped(content: bytes) -> bytes:
    """One bit of the last array."""
    place = content.rindex(b"\x93NUMPY") + 128
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-1], lambda c: c[: len(c) // 2], lambda _: b"", lambda c: b"not a zip" + c[9:], flipped]
)
def test_runfolder_refuses_a_damaged_checkpoint(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    folder = begun(tmp_path, 1)
    path = folder.path / "checkpoint.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match="damaged"):
        folder.restore(model(), TrainingConfig())


def test_runfolder_refuses_a_foreign_checkpoint(tmp_path: Path) -> None:
    folder = begun(tmp_path, 1)
    path = folder.path / "checkpoint.npz"
    np.savez(path, x=np.zeros(3))
    with pytest.raises(CheckpointError, match="damaged"):
        folder.restore(model(), TrainingConfig())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        folder.restore(model(), TrainingConfig())


def test_runfolder_refuses_another_models_checkpoint(tmp_path: Path) -> None:
    folder = begun(tmp_path, 1)
    for weights in ([np.zeros((2, 3)), np.asarray(0.0)], [np.zeros((3, 2)), np.zeros(1)], [np.zeros((3, 2))] * 2):
        with pytest.raises(CheckpointError, match="another model's"):
            folder.restore(GlobalModel(weights, [np.zeros_like(array) for array in weights]), TrainingConfig())


@pytest.mark.parametrize(
    "number", [np.int64(-1), np.float64(1), np.array([1]), np.array("one"), np.bool_(True), np.int64(2)]
)
def test_runfolder_refuses_a_checkpoint_of_no_round(number: object, tmp_path: Path) -> None:
    folder, state = begun(tmp_path, 1), model()
    arrays = {f"weights_{index}": array for index, array in enumerate(state.weights)}
    arrays |= {f"velocity_{index}": array for index, array in enumerate(state.velocity)}
    with np.load(folder.path / "checkpoint.npz") as found:
        arrays["settings"] = found["settings"]
    np.savez(folder.path / "checkpoint.npz", round=number, **arrays)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=r"expected the state of a run|expected the 2 rounds"):
        folder.restore(state, TrainingConfig())


def test_runfolder_refuses_weights_that_are_no_numbers(tmp_path: Path) -> None:
    folder, state = begun(tmp_path), model(1)
    state.weights[0][1, 1] = np.nan
    folder.save(state, record(1), TrainingConfig())
    with pytest.raises(CheckpointError, match="expected the state of a run, found numbers"):
        folder.restore(model(), TrainingConfig())


def test_runfolder_free_or_occupied(tmp_path: Path) -> None:
    absent = RunFolder(tmp_path / "deep" / "down")
    absent.check_free(overwrite=False)
    (tmp_path / "empty").mkdir()
    RunFolder(tmp_path / "empty").check_free(overwrite=False)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="expected a folder, found a file"):
        RunFolder(tmp_path / "file").check_free(overwrite=True)
    folder = begun(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"Continue it with --resume, or replace it with --overwrite"):
        folder.check_free(overwrite=False)
    folder.check_free(overwrite=True)


def test_runfolder_never_removes_what_is_no_part_of_a_run(tmp_path: Path) -> None:
    """A folder of one's own may well have a `config.toml`."""
    (tmp_path / "config.toml").write_text(TrainingConfig().as_toml())
    (tmp_path / "thesis.tex").write_text("three years")
    for overwrite in (False, True):
        with pytest.raises(CheckpointError, match=r"or one of a run, found 'thesis\.tex' in it"):
            RunFolder(tmp_path).check_free(overwrite=overwrite)
    RunFolder(tmp_path).begin(TrainingConfig())
    assert (tmp_path / "thesis.tex").read_text() == "three years"


@pytest.mark.parametrize(
    "name",
    [".my.partial-thesis.txt", ".checkpoint.x.partial.npz", ".checkpoint.1.partial.npz.bak", ".thesis.1.partial.json"],
)
def test_runfolder_takes_only_partial_files_of_its_own_for_parts_of_a_run(name: str, tmp_path: Path) -> None:
    folder = begun(tmp_path)
    (folder.path / name).write_text("three years")
    (folder.path / ".model.77.partial.keras").write_text("cut short")
    for overwrite in (False, True):
        with pytest.raises(CheckpointError, match=f"{re.escape(name)}' in it"):
            folder.check_free(overwrite=overwrite)
    folder.begin(TrainingConfig())
    assert {entry.name for entry in folder.path.iterdir()} == {"config.toml", "run.lock", name}


def test_runfolder_is_used_by_one_at_a_time(tmp_path: Path) -> None:
    one, other = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    with one:
        with one:
            one.begin(TrainingConfig())
        for _ in range(2):
            with (
                pytest.raises(
                    CheckpointError,
                    match=r"run: expected .*, found another run in it\. Wait",
                ),
                other,
            ):
                pass
    with other, pytest.raises(CheckpointError, match="found another run in it"):
        one.begin(TrainingConfig())
    one.check_free(overwrite=True)


def test_runfolder_with_nothing_but_its_lock_is_free(tmp_path: Path) -> None:
    with RunFolder(tmp_path) as folder:
        folder.check_free(overwrite=False)


def test_runfolder_begins_anew_without_anything_of_the_old_run(tmp_path: Path) -> None:
    folder = begun(tmp_path, 2)
    folder.write_comparison([ComparedRound(kind="plain", record=record(1))])
    folder.save_summary(b"{}")
    folder.ledger.write_bytes(b"old")
    for partial in (".checkpoint.1.partial.npz", ".ledger.23.partial.sqlite", ".ledger.23.partial.sqlite-journal"):
        (folder.path / partial).write_bytes(b"old")
    with RunFolder(folder.path):
        with pytest.raises(CheckpointError, match="found another run in it"):
            folder.begin(TrainingConfig(seed=5))
        assert len(folder.metrics()) == 2
    folder.begin(TrainingConfig(seed=5))
    assert {entry.name for entry in folder.path.iterdir()} == {"config.toml", "run.lock", "ledger-1.sqlite"}
    assert (folder.path / "ledger-1.sqlite").read_bytes() == b"old"
    assert folder.config().seed == 5


def test_runfolder_without_a_run_has_nothing_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected a run to resume, found none"):
        RunFolder(tmp_path).config()
    (tmp_path / "config.toml").write_text("epsilon = -1\n")
    with pytest.raises(CheckpointError, match="expected the settings of a run, found damaged ones"):
        RunFolder(tmp_path).config()


def test_runfolder_comparison_survives(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    lines = [ComparedRound(kind="plain", record=record(1)), ComparedRound(kind="without noise", record=record(1))]
    folder.write_comparison(lines)
    assert folder.comparison() == lines


def test_runfolder_ledger_is_created_in_one_step_whatever_was_left_before(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    for suffix in ("sqlite", "sqlite-journal"):
        (folder.path / f".ledger.{os.getpid()}.partial.{suffix}").write_bytes(b"cut short")
    folder.create_ledger(TERMS, TrainingConfig())
    with Ledger.open(folder.ledger) as ledger:
        assert (ledger.budget.epsilon, ledger.budget.delta, ledger.budget.population) == (8.0, 1e-3, 300)
        assert ledger.entries() == ()
    with pytest.raises(CheckpointError, match="expected no ledger before a new run, found one"):
        folder.create_ledger(TERMS, TrainingConfig())
    assert {entry.name for entry in folder.path.iterdir()} == {"config.toml", "ledger.sqlite", "run.lock"}


def test_runfolder_ledger_that_was_never_one_is_none(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    assert not folder.has_ledger()
    folder.ledger.touch()
    assert not folder.has_ledger()
    folder.ledger.write_bytes(b"something")
    assert folder.has_ledger()
