"""Softmax regression in numpy: the reference model, for tests and for use without TensorFlow.

Minibatch gradient descent on the mean cross-entropy of `softmax(x @ kernel + bias)`, in float64.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from secagg.checks import check_integer, check_positive
from secagg.data.columns import Columns
from secagg.errors import ConfigurationError, DataError, ModelError
from secagg.files import read_arrays, write_whole
from secagg.models.base import Metrics
from secagg.models.inputs import (
    batches,
    check_classes,
    check_examples,
    check_suffix,
    converted_weights,
)


class SoftmaxRegression:
    """A linear classifier with the interface of `secagg.models.base.Model`.

    The weights are the kernel, shape `(features, classes)`, and the bias, shape `(classes,)`, both float64. The initial
    kernel is uniform in `+-sqrt(6 / (features + classes))` (Glorot and Bengio, AISTATS 2010). The initial bias is zero.

    Args:
        features: Number of entries of an example, at least 1. Examples of any shape with this number of entries are
            flattened.
        classes: Number of classes, at least 2.
        learning_rate: Step size of gradient descent, above 0.
        seed: Seed of the initial weights, at least 0.

    Raises:
        ConfigurationError: An argument is out of range.
    """

    suffix: Final = ".npz"

    def __init__(self, features: int, classes: int, *, learning_rate: float = 0.1, seed: int) -> None:
        self._features = check_integer("features", features, minimum=1)
        self._classes = check_integer("classes", classes, minimum=2)
        self._learning_rate = check_positive("learning_rate", learning_rate)
        limit = np.sqrt(6 / (features + classes))
        generator = np.random.default_rng(check_integer("seed", seed, minimum=0))
        self._kernel: NDArray[np.float64] = generator.uniform(-limit, limit, (features, classes))
        self._bias: NDArray[np.float64] = np.zeros(classes)

    def __repr__(self) -> str:
        return f"SoftmaxRegression(features={self._features}, classes={self._classes})"

    def get_weights(self) -> list[NDArray[np.float64]]:
        """Return copies of the kernel and the bias."""
        return [self._kernel.copy(), self._bias.copy()]

    def set_weights(self, weights: Sequence[NDArray[Any]]) -> None:
        """Replace the kernel and the bias.

        Raises:
            ModelError: There are not two arrays, a shape differs, or an entry is not finite.
        """
        self._kernel, self._bias = converted_weights(
            weights,
            shapes=[self._kernel.shape, self._bias.shape],
            dtypes=[np.float64, np.float64],
            names=["kernel", "bias"],
        )

    def fit(self, x: Columns, y: Columns, *, epochs: int, batch_size: int, seed: int) -> None:
        """Run minibatch gradient descent from the current weights.

        Raises:
            DataError: The examples or labels do not fit the model.
            ConfigurationError: `epochs`, `batch_size` or `seed` is out of range.
        """
        check_integer("epochs", epochs, minimum=1)
        check_integer("batch_size", batch_size, minimum=1)
        check_integer("seed", seed, minimum=0)
        rows, labels = self._checked(x, y)
        for batch in batches(len(rows), epochs=epochs, batch_size=batch_size, seed=seed):
            residual = np.exp(self._log_probabilities(rows[batch]))
            residual[np.arange(len(batch)), labels[batch]] -= 1
            residual *= self._learning_rate / len(batch)
            with np.errstate(over="ignore", invalid="ignore"):
                self._kernel, self._bias = self._kernel - rows[batch].T @ residual, self._bias - residual.sum(axis=0)

    def evaluate(self, x: Columns, y: Columns) -> Metrics:
        """Measure the mean cross-entropy and the accuracy.

        Raises:
            DataError: The examples or labels do not fit the model.
        """
        rows, labels = self._checked(x, y)
        scores = self._log_probabilities(rows)
        with np.errstate(over="ignore", invalid="ignore"):
            loss = -scores[np.arange(len(labels)), labels].mean()
        return Metrics(loss=float(loss), accuracy=float((scores.argmax(axis=1) == labels).mean()))

    def save(self, path: Path) -> None:
        """Write the weights and the learning rate to a `.npz` archive.

        Raises:
            ModelError: The suffix of `path` is not `.npz`.
            OSError: The file cannot be written there.
        """
        check_suffix(path, self.suffix)
        learning_rate = np.float64(self._learning_rate)
        write_whole(
            path, lambda part: np.savez(part, kernel=self._kernel, bias=self._bias, learning_rate=learning_rate)
        )

    @classmethod
    def load(cls, path: Path, *, largest: int | None = None) -> "SoftmaxRegression":
        """Return a model that `save` has written.

        Args:
            path: The file.
            largest: The largest number of bytes that an array may have, if the reader knows it; None for any number.

        Raises:
            DataError: The file is missing, damaged or not such an archive.
            ModelError: The arrays in the file are not those of a softmax regression.
        """
        arrays = read_arrays(path, ("kernel", "bias", "learning_rate"), largest=largest)
        kernel, rate = arrays["kernel"], arrays["learning_rate"]
        if kernel.ndim != 2 or rate.shape != () or rate.dtype.kind != "f":
            raise ModelError(
                f"expected a kernel of two dimensions and one learning rate in {path}, "
                f"found shapes {kernel.shape} and {rate.shape}"
            )
        try:
            model = cls(*kernel.shape, learning_rate=float(rate), seed=0)
        except ConfigurationError as error:
            raise ModelError(f"{path}: expected the arrays of a softmax regression, found others ({error})") from error
        model.set_weights([kernel, arrays["bias"]])
        return model

    def _checked(self, x: Columns, y: Columns) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        examples = check_examples(x, None, np.float64)
        rows = examples.reshape(len(examples), -1)
        if rows.shape[1] != self._features:
            raise DataError(f"expected examples of {self._features} numbers each, found {rows.shape[1]}")
        return rows, check_classes(y, len(rows), self._classes, shape=())

    def _log_probabilities(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        # Weights that have grown out of range give scores that are not finite. The caller who trains checks for that.
        with np.errstate(over="ignore", invalid="ignore"):
            scores: NDArray[np.float64] = rows @ self._kernel + self._bias
            scores -= scores.max(axis=1, keepdims=True)
            scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return scores
