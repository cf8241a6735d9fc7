"""The small real data sets that scikit-learn contains, scaled by public constants.

Scaling by the mean or range of the loaded examples would release private data, and no budget would count that release.
So the constants here are fixed before any example is read. For digits, the constant is the range of a pixel. For
breast-cancer, the constants are the ranges printed in the data set's published description (scikit-learn 1.9,
`load_breast_cancer`, "Summary Statistics"). They are public for this data set, although they were once computed from
it. A user's own data needs constants of its own that are known beforehand.
"""

import importlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from secagg.data.base import Dataset
from secagg.errors import MissingExtraError

_TEST_SHARE: Final = 0.2
_PIXEL_MAXIMUM: Final = 16.0
# Smallest and largest value of each of the 30 features, in the data set's order.
_BREAST_CANCER_RANGES: Final = (
    # mean of each measurement over an image's nuclei
    (6.981, 28.11),  # radius
    (9.71, 39.28),  # texture
    (43.79, 188.5),  # perimeter
    (143.5, 2501.0),  # area
    (0.053, 0.163),  # smoothness
    (0.019, 0.345),  # compactness
    (0.0, 0.427),  # concavity
    (0.0, 0.201),  # concave points
    (0.106, 0.304),  # symmetry
    (0.05, 0.097),  # fractal dimension
    # standard error
    (0.112, 2.873),
    (0.36, 4.885),
    (0.757, 21.98),
    (6.802, 542.2),
    (0.002, 0.031),
    (0.002, 0.135),
    (0.0, 0.396),
    (0.0, 0.053),
    (0.008, 0.079),
    (0.001, 0.03),
    # mean of the three largest
    (7.93, 36.04),
    (12.02, 49.54),
    (50.41, 251.2),
    (185.2, 4254.0),
    (0.071, 0.223),
    (0.027, 1.058),
    (0.0, 1.252),
    (0.0, 0.291),
    (0.156, 0.664),
    (0.055, 0.208),
)


def load_digits(seed: int) -> Dataset:
    """Return 1,797 handwritten digits: the 64 pixels of an 8x8 image, divided by 16; ten classes.

    Args:
        seed: Seed of the stratified split. Four fifths of each class are for training.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    source = _sklearn_datasets().load_digits()
    return _split("digits", source.data / _PIXEL_MAXIMUM, source.target, classes=10, seed=seed)


def load_breast_cancer(seed: int) -> Dataset:
    """Return 569 tumours: 30 measurements, each mapped from its published range to `[0, 1]`; malignant 0, benign 1.

    Args:
        seed: Seed of the stratified split. Four fifths of each class are for training.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    source = _sklearn_datasets().load_breast_cancer()
    low, high = np.array(_BREAST_CANCER_RANGES).T
    # The published ranges are rounded. Clipping keeps the stated range exact.
    scaled = np.clip((source.data - low) / (high - low), 0, 1)
    return _split("breast-cancer", scaled, source.target, classes=2, seed=seed)


def _sklearn_datasets() -> Any:
    try:
        return importlib.import_module("sklearn.datasets")
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        raise MissingExtraError("scikit-learn", "data") from error


def _split(name: str, x: NDArray[Any], y: NDArray[Any], *, classes: int, seed: int) -> Dataset:
    """Return the split with the same fraction of every class on both sides, each side in random order."""
    generator = np.random.default_rng(seed)
    train, test = [], []
    for label in range(classes):
        positions = generator.permutation(np.flatnonzero(y == label))
        held_out = round(_TEST_SHARE * len(positions))
        test.append(positions[:held_out])
        train.append(positions[held_out:])
    train_at, test_at = generator.permutation(np.concatenate(train)), generator.permutation(np.concatenate(test))
    x, y = x.astype(np.float32), y.astype(np.int64)
    return Dataset(
        name=name, train_x=x[train_at], train_y=y[train_at], test_x=x[test_at], test_y=y[test_at], classes=classes
    )
