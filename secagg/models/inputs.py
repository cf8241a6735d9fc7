"""Checks of a model's examples, targets and weights, and the order of minibatches; shared by every model."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.checks import check_array
from secagg.data.labels import NUMBERED, ONE_HOT, integer_labels, is_one_hot
from secagg.errors import DataError, ModelError


def check_suffix(path: Path, suffix: str) -> None:
    """Raise `ModelError` if the suffix of a path is not that of the format.

    Raises:
        ModelError: The suffix differs.
    """
    if path.suffix != suffix:
        raise ModelError(f"expected a path that ends in {suffix}, found {path.name!r}")


def check_examples(x: object, shape: tuple[int | None, ...] | None, dtype: Any) -> NDArray[Any]:
    """Return the examples in the dtype that a model computes in.

    Args:
        x: Shape `(examples, ...)`, floating or integer, finite. Shape `(examples,)` if `shape` is empty.
        shape: The shape that one example must have. A size of None allows any size. None if the model does not say.
        dtype: The dtype of the result.

    Raises:
        DataError: `x` is not an array, or has no examples, another shape, another kind of dtype, or an entry that is
            not finite.
    """
    x = check_array("examples", x, "fiu")
    if (x.ndim < 2 and (shape != () or x.ndim == 0)) or 0 in x.shape:
        raise DataError(f"expected examples of shape (examples, features...), none of them 0, found {x.shape}")
    if shape is not None and not fits(x.shape[1:], shape):
        raise DataError(f"expected examples of shape {shape} each, found {x.shape[1:]}")
    return _finite(x, dtype, "examples")


def check_classes(
    y: object, examples: int, classes: int | None, *, shape: tuple[int | None, ...] | None
) -> NDArray[np.int64]:
    """Return class labels as int64, without an axis of size 1 behind the expected shape.

    Args:
        y: Integer labels (not bool), one row for each example.
        examples: The number of rows that there must be.
        classes: The number of classes; labels must lie in `[0, classes)`. None if the model does not say.
        shape: The shape of one example's labels, `()` for a single label. A size of None allows any size. None if the
            model does not say.

    Raises:
        DataError: `y` is not an array, has another number of rows, another dtype or shape, or a label out of range.
    """
    y = integer_labels("class labels", y)
    _check_rows(y, examples)
    if classes is not None and int(y.max()) >= classes:
        raise DataError(f"expected class labels in [0, {classes}), found {y.min()} to {y.max()}. {NUMBERED}")
    if shape is not None and y.shape[-1] == 1 and y.ndim == len(shape) + 2:
        y = y[..., 0]
    if shape is not None and not fits(y.shape[1:], shape):
        advice = f". {ONE_HOT}" if is_one_hot(y) else ""
        raise DataError(f"expected class labels of shape {shape} each, found {y.shape[1:]}{advice}")
    return y.astype(np.int64, copy=False)


def check_values(y: object, examples: int) -> NDArray[Any]:
    """Return targets that are values, as float32, or as int64 if they are integers.

    Raises:
        DataError: `y` is not an array of real numbers, has another number of rows, or an entry that is not finite.
    """
    y = check_array("targets", y, "fiu")
    _check_rows(y, examples)
    return _finite(y, np.float32 if y.dtype.kind == "f" else np.int64, "targets")


def converted_weights(
    weights: Sequence[NDArray[Any]],
    *,
    shapes: Sequence[tuple[int, ...]],
    dtypes: Sequence[Any],
    names: Sequence[str],
    is_held: Callable[[int, NDArray[Any]], bool] = lambda *_: False,
) -> list[NDArray[Any]]:
    """Return copies of weights in the dtypes of the model's variables, all checked before any of them is assigned.

    Args:
        weights: One floating array per variable. A numpy or Python number counts as an array of shape `()`.
        shapes: The shapes of the variables.
        dtypes: The dtypes of the variables.
        names: The names of the variables, for errors.
        is_held: Tells whether the model already holds the array at a position and never trains it. Such an array, for
            example an attention mask of minus infinity, need not be finite.

    Raises:
        ModelError: The number of arrays, a shape or a kind of dtype differs, or an entry is not finite in the
            variable's dtype.
    """
    if len(weights) != len(shapes):
        raise ModelError(f"expected {len(shapes)} arrays of weights, found {len(weights)}")
    converted = []
    for position, (given, shape, dtype, name) in enumerate(zip(weights, shapes, dtypes, names, strict=True)):
        number = isinstance(given, np.generic | float)  # numpy makes these of arrays of shape ()
        array = check_array(name, np.asarray(given) if number else given, "f", error=ModelError)
        if array.shape != shape:
            raise ModelError(f"expected shape {shape} for {name}, found {array.shape}")
        with np.errstate(over="ignore", invalid="ignore"):  # What is not finite then is refused.
            converted.append(array.astype(dtype))
        if not np.isfinite(converted[-1]).all() and not is_held(position, converted[-1]):
            raise ModelError(
                f"expected finite weights in the range of {converted[-1].dtype} for {name}, found nan, infinity or "
                "a number out of range. If training has diverged, try a smaller learning_rate or server_learning_rate."
            )
    return converted


def batches(examples: int, *, epochs: int, batch_size: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield the positions of each minibatch, shuffled again in every epoch.

    Args:
        examples: The number of examples, at least 1.
        epochs: The number of passes over the examples.
        batch_size: The number of positions in each array. An epoch's last array may have fewer.
        seed: Seed of the shuffling. Equal seeds give equal minibatches.
    """
    generator = np.random.default_rng(seed)
    for _ in range(epochs):
        order = generator.permutation(examples)
        for start in range(0, examples, batch_size):
            yield order[start : start + batch_size]


def fits(found: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    """Return whether a shape is the expected one. An expected size of None allows any size."""
    return len(found) == len(expected) and all(want in (None, have) for have, want in zip(found, expected, strict=True))


def _finite(array: NDArray[Any], dtype: Any, what: str) -> NDArray[Any]:
    if array.dtype == np.uint64 and dtype is np.int64 and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"expected {what} in the range of int64, found {array.max()}")
    # A float64 beyond float32's range becomes infinite here and is refused below.
    with np.errstate(over="ignore"):
        converted = array.astype(dtype, copy=False)
    if converted.dtype.kind == "f" and not np.isfinite(converted).all():
        raise DataError(
            f"expected finite {what} in the range of {converted.dtype}, found nan, infinity or a number out of range"
        )
    return converted


def _check_rows(y: NDArray[Any], examples: int) -> None:
    if y.ndim < 1 or y.shape[0] != examples or 0 in y.shape:
        raise DataError(f"expected one row of targets for each of {examples} examples, found shape {y.shape}")
