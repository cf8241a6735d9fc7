import os
from pathlib import Path

import numpy as np
import pytest

from secagg.errors import CheckpointError, DataError
from secagg.runs.config import TrainingConfig
from secagg.runs.folder import RunFolder
from secagg.runs.kept_weights import foreign_entry, keep_weights, kept_rounds, path_of, read_weights, remove_weights
from secagg.training.model_state import GlobalModel
from secagg.training.records import RoundRecord

SHAPES = [(3, 2), ()]


def state(number: int) -> GlobalModel:
    weights = [np.full((3, 2), float(number)), np.asarray(float(number))]
    return GlobalModel(weights, [np.zeros_like(array) for array in weights], number)


def record(number: int) -> RoundRecord:
    return RoundRecord(round=number, accuracy=0.5, loss=1.0, contributors=7)


def begun(path: Path, rounds: int) -> RunFolder:
    folder = RunFolder(path / "run")
    folder.begin(TrainingConfig())
    folder.keep_start(state(0))
    for number in range(1, rounds + 1):
        folder.save(state(number), record(number), TrainingConfig())
    return folder


def test_weights_of_every_round_are_kept_and_read_again(tmp_path: Path) -> None:
    folder = begun(tmp_path, 3)
    assert kept_rounds(folder.path) == (0, 1, 2, 3)
    for number in range(4):
        kept = read_weights(folder.path, number, SHAPES)
        assert [array.tobytes() for array in kept] == [array.tobytes() for array in state(number).weights]


def test_weights_of_the_start_are_never_written_again(tmp_path: Path) -> None:
    folder = begun(tmp_path, 1)
    folder.keep_start(state(9))
    assert read_weights(folder.path, 0, SHAPES)[1] == 0


def test_weights_are_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    """As after an end between the file of a round and its line, or between its line and its checkpoint."""
    folder = begun(tmp_path, 2)
    keep_weights(folder.path, 3, state(3).weights)
    (folder.path / "weights" / f".0003.{os.getpid()}.partial.npz").write_bytes(b"cut short")
    assert folder.restore(state(0), TrainingConfig()).round == 2
    assert {entry.name for entry in (folder.path / "weights").iterdir()} == {"0000.npz", "0001.npz", "0002.npz"}


def test_weights_of_a_run_that_is_replaced_go_with_it(tmp_path: Path) -> None:
    folder = begun(tmp_path, 2)
    with pytest.raises(CheckpointError, match="found one"):
        folder.check_free(overwrite=False)
    folder.check_free(overwrite=True)
    folder.begin(TrainingConfig(seed=2))
    assert {entry.name for entry in folder.path.iterdir()} == {"config.toml", "run.lock"}


@pytest.mark.parametrize("name", ["thesis.tex", "1.npz", "0001.npz.bak", "01234.npz", ".0001.x.partial.npz"])
def test_weights_that_are_no_runs_are_never_removed(name: str, tmp_path: Path) -> None:
    folder = begun(tmp_path, 1)
    (folder.path / "weights" / name).write_text("three years")
    assert foreign_entry(folder.path) == f"weights/{name}"
    with pytest.raises(CheckpointError, match=f"found 'weights/{name}' in it"):
        folder.check_free(overwrite=True)
    folder.begin(TrainingConfig())
    assert [entry.name for entry in (folder.path / "weights").iterdir()] == [name]


@pytest.mark.parametrize("link", [False, True])
def test_weights_that_are_no_folder_are_foreign(link: bool, tmp_path: Path) -> None:
    folder, elsewhere = begun(tmp_path, 0), tmp_path / "elsewhere"
    remove_weights(folder.path)
    elsewhere.mkdir()
    (elsewhere / "0001.npz").write_text("mine")
    if link:
        (folder.path / "weights").symlink_to(elsewhere)
    else:
        (folder.path / "weights").write_text("mine")
    assert foreign_entry(folder.path) == "weights"
    assert kept_rounds(folder.path) == ()
    remove_weights(folder.path)
    assert (elsewhere / "0001.npz").read_text() == "mine"
    assert (folder.path / "weights").exists()


def test_weights_of_more_than_9999_rounds_have_longer_names(tmp_path: Path) -> None:
    for number in (0, 9_999, 10_000, 100_000):
        keep_weights(tmp_path, number, state(1).weights)
    assert path_of(tmp_path, 100_000).name == "100000.npz"
    assert kept_rounds(tmp_path) == (0, 9_999, 10_000, 100_000)
    assert foreign_entry(tmp_path) is None


def test_weights_that_are_damaged_or_of_another_model_are_refused(tmp_path: Path) -> None:
    keep_weights(tmp_path, 1, state(1).weights)
    for shapes in ([(2, 3), ()], [(3, 2), (1,)]):
        with pytest.raises(DataError, match="found other arrays"):
            read_weights(tmp_path, 1, shapes)
    with pytest.raises(DataError, match="expected the arrays"):
        read_weights(tmp_path, 1, [*SHAPES, ()])
    with pytest.raises(DataError, match="found nothing"):
        read_weights(tmp_path, 2, SHAPES)
    path_of(tmp_path, 1).write_bytes(path_of(tmp_path, 1).read_bytes()[:-30])
    with pytest.raises(DataError, match="damaged"):
        read_weights(tmp_path, 1, SHAPES)
