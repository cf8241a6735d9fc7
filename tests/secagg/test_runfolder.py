import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from secagg.comparison import ComparedRound
from secagg.config import TrainingConfig
from secagg.errors import CheckpointError
from secagg.runfolder import RunFolder
from secagg.training import GlobalModel, RoundRecord


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
        folder.save(model(number, seed=number), record(number))
    return folder


def same(one: GlobalModel, other: GlobalModel) -> bool:
    pairs = zip(one.weights + one.velocity, other.weights + other.velocity, strict=True)
    return one.round == other.round and all(np.array_equal(a, b) for a, b in pairs)


def test_runfolder_keeps_settings_and_the_last_whole_round(tmp_path: Path) -> None:
    folder = begun(tmp_path, 3)
    assert folder.config() == TrainingConfig()
    assert same(folder.restore(model()), model(3, seed=3))
    assert folder.metrics() == [record(1), record(2), record(3)]
    assert not [entry.name for entry in folder.path.iterdir() if "partial" in entry.name]


def test_runfolder_before_the_first_round_gives_the_initial_model(tmp_path: Path) -> None:
    folder, initial = begun(tmp_path), model()
    assert folder.restore(initial) is initial
    assert folder.metrics() == []
    assert folder.comparison() == []


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_runfolder_leaves_out_a_line_that_was_cut_short(cut: int, tmp_path: Path) -> None:
    folder = begun(tmp_path, 2)
    with (folder.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"round":3,"accuracy":0.5,"loss":1.0,"contributors":7,"dropped":{}}'[:cut])
    assert folder.metrics() == [record(1), record(2)]
    assert folder.restore(model()).round == 2
    folder.save(model(3), record(3))
    assert folder.metrics() == [record(1), record(2), record(3)]


def test_runfolder_cuts_metrics_back_to_the_checkpoint(tmp_path: Path) -> None:
    """As after an end between the line of a round and its checkpoint."""
    folder = begun(tmp_path, 2)
    before = (folder.path / "checkpoint.npz").read_bytes()
    folder.save(model(3), record(3))
    (folder.path / "checkpoint.npz").write_bytes(before)
    assert same(folder.restore(model()), model(2, seed=2))
    assert folder.metrics() == [record(1), record(2)]


def test_runfolder_refuses_metrics_that_miss_a_round(tmp_path: Path) -> None:
    folder = begun(tmp_path, 3)
    path = folder.path / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for damaged in ([lines[0], lines[2]], lines[:2], [], [lines[0], lines[0], *lines[1:]]):
        path.write_bytes(b"".join(damaged))
        with pytest.raises(CheckpointError, match="does not have the 3 rounds"):
            folder.restore(model())


@pytest.mark.parametrize("line", [b"garbage\n", b'{"round":"one"}\n', b'{"round":1,"unknown":2}\n', b"\xff\n"])
def test_runfolder_refuses_lines_that_are_no_rounds(line: bytes, tmp_path: Path) -> None:
    folder = begun(tmp_path, 1)
    (folder.path / "metrics.jsonl").write_bytes(line)
    (folder.path / "comparison.jsonl").write_bytes(line)
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl is damaged"):
        folder.restore(model())
    with pytest.raises(CheckpointError, match=r"comparison\.jsonl is damaged"):
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
        folder.restore(model())


def test_runfolder_refuses_a_foreign_checkpoint(tmp_path: Path) -> None:
    folder = begun(tmp_path, 1)
    path = folder.path / "checkpoint.npz"
    np.savez(path, x=np.zeros(3))
    with pytest.raises(CheckpointError, match="damaged"):
        folder.restore(model())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        folder.restore(model())


def test_runfolder_refuses_another_models_checkpoint(tmp_path: Path) -> None:
    folder = begun(tmp_path, 1)
    for weights in ([np.zeros((2, 3)), np.asarray(0.0)], [np.zeros((3, 2)), np.zeros(1)], [np.zeros((3, 2))] * 2):
        with pytest.raises(CheckpointError, match="another model's"):
            folder.restore(GlobalModel(weights, [np.zeros_like(array) for array in weights]))


@pytest.mark.parametrize(
    "number", [np.int64(-1), np.float64(1), np.array([1]), np.array("one"), np.bool_(True), np.int64(2)]
)
def test_runfolder_refuses_a_checkpoint_of_no_round(number: object, tmp_path: Path) -> None:
    folder, state = begun(tmp_path, 1), model()
    arrays = {f"weights_{index}": array for index, array in enumerate(state.weights)}
    arrays |= {f"velocity_{index}": array for index, array in enumerate(state.velocity)}
    np.savez(folder.path / "checkpoint.npz", round=number, **arrays)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError):
        folder.restore(state)


def test_runfolder_refuses_weights_that_are_no_numbers(tmp_path: Path) -> None:
    folder, state = begun(tmp_path), model(1)
    state.weights[0][1, 1] = np.nan
    folder.save(state, record(1))
    with pytest.raises(CheckpointError, match="no state of a run"):
        folder.restore(model())


def test_runfolder_free_or_occupied(tmp_path: Path) -> None:
    absent = RunFolder(tmp_path / "deep" / "down")
    absent.check_free(overwrite=False)
    (tmp_path / "empty").mkdir()
    RunFolder(tmp_path / "empty").check_free(overwrite=False)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="is no folder"):
        RunFolder(tmp_path / "file").check_free(overwrite=True)
    folder = begun(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"go on with --resume, or replace it with --overwrite"):
        folder.check_free(overwrite=False)
    folder.check_free(overwrite=True)


def test_runfolder_never_removes_what_is_no_part_of_a_run(tmp_path: Path) -> None:
    """A folder of one's own may well have a `config.toml`."""
    (tmp_path / "config.toml").write_text(TrainingConfig().as_toml())
    (tmp_path / "thesis.tex").write_text("three years")
    for overwrite in (False, True):
        with pytest.raises(CheckpointError, match=r"'thesis\.tex', which is no part of a run"):
            RunFolder(tmp_path).check_free(overwrite=overwrite)
    RunFolder(tmp_path).begin(TrainingConfig())
    assert (tmp_path / "thesis.tex").read_text() == "three years"


def test_runfolder_begins_anew_without_anything_of_the_old_run(tmp_path: Path) -> None:
    folder = begun(tmp_path, 2)
    folder.write_comparison([ComparedRound(kind="plain", record=record(1))])
    folder.save_summary(b"{}")
    folder.ledger.write_bytes(b"old")
    (folder.path / ".checkpoint.1.partial.npz").write_bytes(b"old")
    folder.begin(TrainingConfig(seed=5))
    assert [entry.name for entry in folder.path.iterdir()] == ["config.toml"]
    assert folder.config().seed == 5


def test_runfolder_without_a_run_has_nothing_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no run to go on with"):
        RunFolder(tmp_path).config()
    (tmp_path / "config.toml").write_text("epsilon = -1\n")
    with pytest.raises(CheckpointError, match="settings of the run are damaged"):
        RunFolder(tmp_path).config()


def test_runfolder_comparison_survives(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    lines = [ComparedRound(kind="plain", record=record(1)), ComparedRound(kind="without noise", record=record(1))]
    folder.write_comparison(lines)
    assert folder.comparison() == lines


def test_runfolder_ledger_that_was_never_one_is_none(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    assert not folder.has_ledger()
    folder.ledger.touch()
    assert not folder.has_ledger()
    folder.ledger.write_bytes(b"something")
    assert folder.has_ledger()
