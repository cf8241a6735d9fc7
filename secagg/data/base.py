"""A data set for classification, checked when it is made."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from secagg.checks import check_array, check_integer
from secagg.data.labels import warn_of_unused_classes
from secagg.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """Examples and labels for training and for testing.

    The arrays are not copied. `repr` does not show them.

    Attributes:
        name: The name of the data set.
        train_x: Shape `(examples, ...)`, float32, finite, at least one example.
        train_y: Shape `(examples,)`, int64, entries in `[0, classes)`.
        test_x: As `train_x`, with examples of the same shape.
        test_y: As `train_y`.
        classes: The number of classes, at least 2.

    Warns:
        DataWarning: A class has no example. This happens to class 0 if labels begin at 1.

    Raises:
        DataError: An array does not meet the conditions above.
        ConfigurationError: The number of classes does not.
    """

    name: str
    train_x: NDArray[np.float32] = field(repr=False)
    train_y: NDArray[np.int64] = field(repr=False)
    test_x: NDArray[np.float32] = field(repr=False)
    test_y: NDArray[np.int64] = field(repr=False)
    classes: int

    def __post_init__(self) -> None:
        check_integer("classes", self.classes, minimum=2)
        _check_examples("train_x", self.train_x)
        _check_examples("test_x", self.test_x)
        if self.train_x.shape[1:] != self.test_x.shape[1:]:
            raise DataError(
                "expected examples of one shape for training and testing, "
                f"found {self.train_x.shape[1:]} and {self.test_x.shape[1:]}"
            )
        _check_labels("train_y", self.train_y, len(self.train_x), self.classes)
        _check_labels("test_y", self.test_y, len(self.test_x), self.classes)
        found = np.bincount(self.train_y, minlength=self.classes) + np.bincount(self.test_y, minlength=self.classes)
        warn_of_unused_classes(found)

    @property
    def features_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.train_x.shape[1:]


def _check_examples(name: str, value: object) -> None:
    x = check_array(name, value, "f")
    if x.dtype != np.float32:
        raise DataError(f"expected {name} as float32, found {x.dtype}")
    if x.ndim < 2 or 0 in x.shape:
        raise DataError(f"expected {name} of shape (examples, features...), none of them 0, found {x.shape}")
    if not np.isfinite(x).all():
        raise DataError(f"expected finite numbers in {name}, found nan or infinity")


def _check_labels(name: str, value: object, examples: int, classes: int) -> None:
    y = check_array(name, value, "iu")
    if y.dtype != np.int64:
        raise DataError(f"expected {name} as int64, found {y.dtype}")
    if y.shape != (examples,):
        raise DataError(f"expected {name} of shape {(examples,)}, one label for each example, found {y.shape}")
    if int(y.min()) < 0 or int(y.max()) >= classes:
        raise DataError(f"expected labels in [0, {classes}) in {name}, found {y.min()} to {y.max()}")
