from typing import Any

import numpy as np
import pytest

from secagg.data.base import Dataset
from secagg.data.load import load_dataset
from secagg.errors import ConfigurationError, DataError

X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.array([0, 1, 2, 0])


def make(**changes: Any) -> Dataset:
    fields = {"name": "toy", "train_x": X, "train_y": Y, "test_x": X[:2], "test_y": Y[:2], "classes": 3}
    return Dataset(**{**fields, **changes})


def test_dataset_tells_its_shape_and_not_its_entries() -> None:
    data = make(train_x=X.reshape(4, 3, 1), test_x=X[:2].reshape(2, 3, 1))
    assert data.features_shape == (3, 1)
    assert repr(data) == "Dataset(name='toy', classes=3)"


@pytest.mark.parametrize(
    "changes",
    [
        {"train_x": X.astype(np.float64)},
        {"train_x": X.tolist()},
        {"train_x": np.where(X > 5, np.nan, X)},
        {"test_x": np.where(X[:2] > 4, np.inf, X[:2])},
        {"train_x": X[:3]},
        {"train_x": X[:0], "train_y": Y[:0]},
        {"test_x": X[:0], "test_y": Y[:0]},
        {"train_x": X[:, 0]},
        {"test_x": X[:2, :2]},
        {"train_y": Y.astype(np.int32)},
        {"train_y": Y.astype(np.float64)},
        {"train_y": Y == 1},
        {"train_y": Y[:, np.newaxis]},
        {"train_y": Y + 1},
        {"test_y": Y[:2] - 1},
        {"classes": 2},
    ],
)
def test_dataset_refuses_what_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        make(**changes)


@pytest.mark.parametrize("classes", [1, 0, True, 3.0, None])
def test_dataset_refuses_a_bad_number_of_classes(classes: Any) -> None:
    with pytest.raises(ConfigurationError, match="classes"):
        make(classes=classes)


def test_load_refuses_unknown_names_and_bad_seeds() -> None:
    with pytest.raises(ConfigurationError, match=r"digits, breast-cancer, fashion-mnist, or a \.npz file"):
        load_dataset("mnist", seed=0)
    bad: Any
    for bad in (-1, True, 1.5, None):
        with pytest.raises(ConfigurationError, match="seed"):
            load_dataset("digits", seed=bad)
