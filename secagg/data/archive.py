"""A user's own data set in a `.npz` archive."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.checks import check_array
from secagg.data.base import Dataset
from secagg.data.labels import label_vector
from secagg.errors import DataError
from secagg.files import read_arrays


def load_archive(path: Path) -> Dataset:
    """Return the data set of a `.npz` archive with `x_train`, `y_train`, `x_test` and `y_test`, without scaling.

    `train_x` is another name for `x_train`, and so on. Upper and lower case are not distinguished.

    Examples may be stored as any real numbers, and labels as any integers, in a vector or a column. The number of
    classes is the largest label plus one, and at least two. If a class has no example, there is a warning. A label that
    is at least the number of all labels (and at least 2) is refused: it cannot number a class.

    Args:
        path: The archive. Its stem becomes the data set's name.

    Raises:
        DataError: The file is missing, damaged or foreign, or its arrays are not a data set for classification.
    """
    arrays = read_arrays(path, ("x_train", "y_train", "x_test", "y_test"), canonical=_canonical)
    for name, array in arrays.items():
        if not np.size(array):
            raise DataError(f"expected examples in {name}, found an empty array of shape {array.shape}")
    train_x, test_x = (_examples(name, arrays[name]) for name in ("x_train", "x_test"))
    train_y, test_y = (_labels(name, arrays[name]) for name in ("y_train", "y_test"))
    for which, x, y in (("train", train_x, train_y), ("test", test_x, test_y)):
        if len(x) != len(y):
            raise DataError(f"expected {len(x)} labels in y_{which}, one for each example, found {len(y)}")
    classes = max(2, 1 + int(train_y.max()), 1 + int(test_y.max()))
    if classes > max(2, train_y.size + test_y.size):
        raise DataError(
            f"expected labels that number the classes from 0, found {classes - 1} among "
            f"{train_y.size + test_y.size} labels. Number the classes without gaps."
        )
    return Dataset(
        name=path.stem,
        train_x=train_x,
        train_y=train_y,
        test_x=test_x,
        test_y=test_y,
        classes=classes,
    )


def _canonical(name: str) -> str:
    """Return the name that an array's name stands for."""
    lower = name.lower()
    return {f"{which}_{axis}": f"{axis}_{which}" for which in ("train", "test") for axis in "xy"}.get(lower, lower)


def _examples(name: str, x: NDArray[Any]) -> NDArray[np.float32]:
    check_array(name, x, "fiu")
    if x.ndim < 2:
        raise DataError(
            f"expected {name} of shape (examples, features...), found {x.shape}. Give a single feature the "
            "shape (examples, 1)."
        )
    if not np.isfinite(x).all():
        raise DataError(f"expected finite numbers in {name}, found nan or infinity")
    with np.errstate(over="ignore"):
        found = x.astype(np.float32)
    if not np.isfinite(found).all():
        raise DataError(
            f"expected numbers of at most {np.finfo(np.float32).max:.3g} in {name}, found {np.abs(x).max():.3g}. "
            "Scale them by a constant that is known beforehand."
        )
    return found


def _labels(name: str, y: NDArray[Any]) -> NDArray[np.int64]:
    # Unsigned labels beyond int64 become negative, and a Dataset refuses those.
    return label_vector(name, y).astype(np.int64)
