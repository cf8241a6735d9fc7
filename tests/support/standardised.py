"""A numpy model with a fixed array and running statistics, for tests: softmax regression on standardised features."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.models.base import ArrayRole, Metrics
from secagg.models.softmax import SoftmaxRegression


class StandardisedSoftmax(SoftmaxRegression):
    """Arrays: a fixed shift of the features, kernel, bias, and the moving mean and variance of the shifted features.

    Like batch normalisation, training reads the examples' own statistics, and evaluation the moving ones.
    """

    def __init__(self, features: int, classes: int, *, learning_rate: float = 0.1, seed: int) -> None:
        super().__init__(features, classes, learning_rate=learning_rate, seed=seed)
        self.shift: NDArray[np.float64] = np.full(features, 0.1)
        self.mean: NDArray[np.float64] = np.zeros(features)
        self.variance: NDArray[np.float64] = np.ones(features)

    def roles(self, x: Any, y: Any) -> tuple[ArrayRole, ...]:
        """See `ModelWithRoles`."""
        self._checked(x, y)
        trained = ArrayRole.TRAINED
        return (ArrayRole.FIXED, trained, trained, ArrayRole.STATISTIC, ArrayRole.VARIANCE)

    def get_weights(self) -> list[NDArray[np.float64]]:
        """See `Model`."""
        return [self.shift.copy(), *super().get_weights(), self.mean.copy(), self.variance.copy()]

    def set_weights(self, weights: Sequence[NDArray[Any]]) -> None:
        """See `Model`; a negative variance is read as zero."""
        super().set_weights(weights[1:3])
        self.shift, self.mean = np.array(weights[0]), np.array(weights[3])
        self.variance = np.maximum(weights[4], 0.0)

    def fit(self, x: Any, y: Any, *, epochs: int, batch_size: int, seed: int) -> None:
        """See `Model`; the statistics move half of the way to the examples' own."""
        shifted = x + self.shift
        self.mean = (self.mean + shifted.mean(axis=0)) / 2
        self.variance = (self.variance + shifted.var(axis=0)) / 2
        own = (shifted - shifted.mean(axis=0)) / np.sqrt(shifted.var(axis=0) + 1e-3)
        super().fit(own, y, epochs=epochs, batch_size=batch_size, seed=seed)

    def evaluate(self, x: Any, y: Any) -> Metrics:
        """See `Model`."""
        return super().evaluate((x + self.shift - self.mean) / np.sqrt(self.variance + 1e-3), y)
