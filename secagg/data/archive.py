"""A user's own data set in a `.npz` archive."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.checks import check_array
from secagg.data.base import Dataset
from secagg.errors import DataError
from secagg.files import read_arrays
from secagg.labels import label_vector


def load_archive(path: Path) -> Dataset:
    """Load `x_train`, `y_train`, `x_test` and `y_test` from a `.npz` archive, as they are, without scaling.

    Examples may be stored as any real numbers, labels as any integers, in a vector or a column; there is one class more
    than the largest label, and at least two.  A class without an example is warned of.  A label as large as the number
    of all labels or larger cannot be one of a numbering of classes.

    Args:
        path: The archive; its stem becomes the data set's name.

    Raises:
        DataError: The file is missing, damaged or foreign, or its arrays are no data set for classification.
    """
    arrays = read_arrays(path, ("x_train", "y_train", "x_test", "y_test"))
    train_y, test_y = (_labels(name, arrays[name]) for name in ("y_train", "y_test"))
    classes = max(2, 1 + int(train_y.max()), 1 + int(test_y.max()))
    if classes > max(2, train_y.size + test_y.size):
        raise DataError(
            f"expected labels that number the classes from 0, found one of {classes - 1} among "
            f"{train_y.size + test_y.size} labels"
        )
    return Dataset(
        name=path.stem,
        train_x=_examples("x_train", arrays["x_train"]),
        train_y=train_y,
        test_x=_examples("x_test", arrays["x_test"]),
        test_y=test_y,
        classes=classes,
    )


def _examples(name: str, x: NDArray[Any]) -> NDArray[np.float32]:
    check_array(name, x, "fiu")
    with np.errstate(over="ignore"):  # What float32 cannot hold becomes infinite, which a Dataset refuses.
        return x.astype(np.float32)


def _labels(name: str, y: NDArray[Any]) -> NDArray[np.int64]:
    # Unsigned labels beyond int64 turn negative, which a Dataset refuses.
    return label_vector(name, y).astype(np.int64)
