"""The command on data sets whose labels are in the forms that users have them in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.commands import secagg

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
Y = np.arange(60) % 3
SETTINGS = ("--model", "numpy-softmax", "--clients", "5", "--rounds", "1", "--epsilon", "inf", "--no-compare")


def train(folder: Path, y: Any) -> Any:
    np.savez(folder / "mine.npz", x_train=X[:40], y_train=y[:40], x_test=X[40:], y_test=y[40:])
    return secagg("train", "--dataset", "mine.npz", *SETTINGS, "--out", "run", cwd=folder)


def test_train_takes_labels_in_a_column_without_a_word(tmp_path: Path) -> None:
    found = train(tmp_path, Y[:, np.newaxis].astype(np.uint8))
    assert found.returncode == 0, found.stderr
    assert "labels:" not in found.stderr


def test_train_tells_once_that_labels_begin_at_1(tmp_path: Path) -> None:
    found = train(tmp_path, Y + 1)
    assert found.returncode == 0, found.stderr
    told = [line for line in found.stderr.splitlines() if "labels:" in line]
    assert len(told) == 1
    assert told[0].startswith(
        "secagg: warning: labels: expected an example of each of 4 classes, found none of class 0"
    )


@pytest.mark.parametrize(
    ("y", "converted"),
    [
        (Y.astype(np.float32), 'astype("int64")'),
        (np.array(["a", "b", "c"])[Y], "numpy.unique"),
    ],
    ids=["floats", "strings"],
)
def test_train_refuses_other_labels_in_one_line_that_converts_them(tmp_path: Path, y: Any, converted: str) -> None:
    found = train(tmp_path, y)
    assert found.returncode == 2
    assert [converted in line and "y_train" in line for line in found.stderr.splitlines()] == [True]
    assert not (tmp_path / "run").exists()
