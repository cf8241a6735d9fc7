"""Class labels as users have them: which forms are accepted, and how other forms can be converted.

Labels number the classes from 0, one integer for each example. A column of shape `(examples, 1)`, the form in which
CIFAR-10 is distributed, means the same and is accepted. Every other form could mean several things. It is refused, and
the error contains the expression that converts it.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.errors import DataError, DataWarning


def integer_labels(what: str, y: object) -> NDArray[Any]:
    """Return an array of integers of at least 0, of any shape.

    Args:
        what: The labels' name in errors.
        y: An array of integers (not bool).

    Raises:
        DataError: `y` is not an array or has another dtype, or a label is negative.
    """
    if not isinstance(y, np.ndarray):
        raise DataError(f"expected {what} as an array of integers, found {type(y).__name__}. Call numpy.asarray on it.")
    if y.dtype.kind not in "iu":
        raise DataError(f"expected {what} as an array of integers, found an array of {y.dtype}. {_conversion(y)}")
    if y.size and int(y.min()) < 0:
        raise DataError(f"expected {what} of at least 0, found {y.min()} to {y.max()}. {NUMBERED}")
    return y


def label_vector(what: str, y: object) -> NDArray[Any]:
    """Return one integer label of at least 0 for each example. A column of shape `(examples, 1)` becomes a vector.

    Raises:
        DataError: The labels are not such an array, or there are no labels.
    """
    labels = integer_labels(what, y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not labels.size:
        advice = f" {ONE_HOT}" if is_one_hot(labels) else ""
        raise DataError(
            f"expected {what} of shape (examples,), one label for each example and at least one, "
            f"found {labels.shape}.{advice}"
        )
    return labels


def is_one_hot(y: NDArray[Any]) -> bool:
    """Return whether the last axis always holds a single one, and zeros otherwise."""
    if y.ndim < 2 or y.shape[-1] < 2 or not y.size:
        return False
    return bool(np.isin(y, (0, 1)).all() and (y.sum(axis=-1) == 1).all())


def warn_of_unused_classes(examples: NDArray[np.int64]) -> None:
    """Warn if a class has no example, for example class 0 if labels begin at 1.

    Args:
        examples: The number of examples of each class.
    """
    unused = np.flatnonzero(examples == 0)
    if not unused.size:
        return
    shown = ", ".join(map(str, unused[:5])) + (" and more" if unused.size > 5 else "")
    advice = "Labels number the classes from 0"
    advice += "; subtract 1 from labels that begin at 1." if unused[0] == 0 else "."
    warnings.warn(
        f"labels: expected an example of each of {len(examples)} classes, found none of class {shown}. {advice} "
        "Training continues with a class that never occurs.",
        DataWarning,
        stacklevel=2,
    )


NUMBERED = (
    "Number the classes from 0, with training and test labels together: "
    "numpy.unique(labels, return_inverse=True)[1] is such a numbering."
)
ONE_HOT = "These look like one-hot rows. Convert them with y.argmax(axis=-1)."


def _conversion(y: NDArray[Any]) -> str:
    """Return the advice on how to convert labels of another dtype to integers."""
    if y.dtype.kind == "b":
        return 'Convert them with y.astype("int64").'
    if y.dtype.kind != "f":
        return NUMBERED
    if is_one_hot(y):
        return ONE_HOT
    if y.size and np.isfinite(y).all() and (y == np.floor(y)).all():
        return 'Convert them with y.astype("int64").'
    return "They are not whole numbers. " + NUMBERED
