"""Checks of what a model is given, and the order in which it sees it; shared by every model."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.checks import check_array
from secagg.data.labels import NUMBERED, ONE_HOT, integer_labels, is_one_hot
from secagg.errors import DataError, ModelError


def check_suffix(path: Path, suffix: str) -> None:
    """Refuse a path whose suffix is not the format's.

    Raises:
        ModelError: The suffix differs.
    """
    if path.suffix != suffix:
        raise ModelError(f"expected a path that ends in {suffix}, found {path.name!r}")


def check_examples(x: object, shape: tuple[int | None, ...] | None, dtype: Any) -> NDArray[Any]:
    """Return the examples in the dtype that a model computes in.

    Args:
        x: Shape `(examples, ...)`, floating or integer, finite; a shape of `(examples,)` where `shape` is empty.
        shape: What one example must look like, None standing for any size; None if the model does not say.
        dtype: Of the result.

    Raises:
        DataError: No array, no examples, another shape, another kind of dtype, or an entry that is not finite.
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
    """Return class labels as int64; an axis of size 1 behind the expected shape is taken off.

    Args:
        y: Integer labels (no bool), one row an example.
        examples: How many rows there must be.
        classes: Labels lie in `[0, classes)`; None if the model does not say how many there are.
        shape: Of one example's labels, `()` for a single one, None standing for any size; None if the model does not
            say.

    Raises:
        DataError: No array, another number of rows, another dtype or shape, or a label out of range.
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
    """Return targets that are values: float32, or int64 for integers.

    Raises:
        DataError: No array of real numbers, another number of rows, or an entry that is not finite.
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
    """Copies of weights in the dtypes of the model's variables, checked before any of them is assigned.

    Args:
        weights: One floating array per variable; a number, of numpy or of Python, is one of shape `()`.
        shapes: Of the variables.
        dtypes: Of the variables.
        names: Of the variables, for the error.
        is_held: Tells whether the array at a position is one that the model holds already and never trains, such as
            an attention mask of minus infinity. It need not be finite.

    Raises:
        ModelError: Another number of arrays, a shape or kind of dtype that differs, or an entry that is not finite in
            the variable's dtype.
    """
    if len(weights) != len(shapes):
        raise ModelError(f"expected {len(shapes)} arrays of weights, found {len(weights)}")
    converted = []
    for position, (given, shape, dtype, name) in enumerate(zip(weights, shapes, dtypes, names, strict=True)):
        number = isinstance(given, np.generic | float)  # numpy makes these of arrays of shape ()
        array = check_array(name, np.asarray(given) if number else given, "f", error=ModelError)
        if array.shape != shape:
            raise ModelError(f"expected shape {shape} for {name}, found {array.shape}")
        with np.errstate(over="ignore"):
            converted.append(array.astype(dtype))
        if not np.isfinite(converted[-1]).all() and not is_held(position, converted[-1]):
            raise ModelError(
                f"expected finite weights in the range of {converted[-1].dtype} for {name}, found nan, infinity or "
                "beyond; if training has diverged, a smaller learning rate or server learning rate may help"
            )
    return converted


def batches(examples: int, *, epochs: int, batch_size: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield the positions of each minibatch, newly shuffled every epoch.

    Args:
        examples: How many there are, at least 1.
        epochs: Passes over them.
        batch_size: Positions in each array; fewer in an epoch's last.
        seed: Equal seeds give equal batches.
    """
    generator = np.random.default_rng(seed)
    for _ in range(epochs):
        order = generator.permutation(examples)
        for start in range(0, examples, batch_size):
            yield order[start : start + batch_size]


def fits(found: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    """Tell whether a shape is the expected one, where None stands for any size."""
    return len(found) == len(expected) and all(want in (None, have) for have, want in zip(found, expected, strict=True))


def _finite(array: NDArray[Any], dtype: Any, what: str) -> NDArray[Any]:
    if array.dtype == np.uint64 and dtype is np.int64 and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"expected {what} in the range of int64, found {array.max()}")
    # A float64 beyond float32's range becomes infinite here, and is refused with the rest.
    with np.errstate(over="ignore"):
        converted = array.astype(dtype, copy=False)
    if converted.dtype.kind == "f" and not np.isfinite(converted).all():
        raise DataError(f"expected finite {what} in the range of {converted.dtype}, found nan, infinity or beyond")
    return converted


def _check_rows(y: NDArray[Any], examples: int) -> None:
    if y.ndim < 1 or y.shape[0] != examples or 0 in y.shape:
        raise DataError(f"expected one row of targets for each of {examples} examples, found shape {y.shape}")
