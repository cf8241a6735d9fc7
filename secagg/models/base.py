"""The interface of models in federated training: weights in and out as arrays, local training, evaluation, saving."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Metrics:
    """The quality of a model on a set of examples.

    Attributes:
        loss: Mean loss per example, the model's penalties included. For several outputs, the sum of their losses.
        accuracy: Fraction of examples that are classified correctly, in `[0, 1]`; nan if the targets are values, not
            classes. For several outputs, the mean over those that classify.
    """

    loss: float
    accuracy: float


class ArrayRole(StrEnum):
    """What training does to one of a model's arrays. It decides whether and how clients send updates of the array."""

    TRAINED = "trained"
    """The optimizer changes the array."""
    STATISTIC = "statistic"
    """Training changes the array without an optimizer. An example is the moving mean of batch normalisation."""
    VARIANCE = "variance"
    """A statistic that is never negative. An example is the moving variance of batch normalisation."""
    FIXED = "fixed"
    """Training never changes the array, for example a frozen layer's kernel. Clients send no update of it."""

    @property
    def travels(self) -> bool:
        """Whether clients send updates of the array."""
        return self is not ArrayRole.FIXED

    @property
    def is_statistic(self) -> bool:
        """Whether training changes the array without an optimizer."""
        return self in (ArrayRole.STATISTIC, ArrayRole.VARIANCE)


class Model(Protocol):
    """A model whose weights federated training can move between clients as a list of arrays.

    Examples `x` have shape `(examples, ...)`, a real dtype and finite entries. Targets `y` have one row for each
    example. If a model has several inputs, `x` is a list, a tuple or a dict of such arrays. If it has several outputs,
    `y` is.
    """

    @property
    def suffix(self) -> str:
        """The suffix of the files that `save` writes, for example `.keras`."""
        ...

    def get_weights(self) -> list[NDArray[Any]]:
        """Return copies of the weights: one float32 or float64 array per variable, in the model's own order."""
        ...

    def set_weights(self, weights: Sequence[NDArray[Any]]) -> None:
        """Replace every weight, all or none. A numpy or Python number counts as an array of shape `()`.

        Raises:
            ModelError: The number of arrays or a shape differs from the model's, or an entry is not finite.
        """
        ...

    def fit(self, x: Any, y: Any, *, epochs: int, batch_size: int, seed: int) -> None:
        """Train from the current weights with a fresh optimizer state, over shuffled minibatches.

        Equal weights, data and arguments give equal weights again.

        Args:
            x: Examples.
            y: Their targets.
            epochs: Passes over the data, at least 1.
            batch_size: Examples in a step, at least 1. The last step of an epoch takes the remaining ones.
            seed: Seed of the shuffling and of the model's own randomness (dropout), at least 0.

        Raises:
            DataError: The examples or targets do not fit the model.
            ConfigurationError: `epochs`, `batch_size` or `seed` is out of range.
        """
        ...

    def evaluate(self, x: Any, y: Any) -> Metrics:
        """Measure loss and accuracy on examples. This changes nothing.

        Raises:
            DataError: The examples or targets do not fit the model.
        """
        ...

    def save(self, path: Path) -> None:
        """Write the model to a file in its own format, completely or not at all.

        Raises:
            ModelError: The suffix of `path` is not that of the format.
            OSError: The file cannot be written there.
        """
        ...


@runtime_checkable
class ModelWithRoles(Model, Protocol):
    """A model that may hold arrays which no optimizer changes. In any other model, all arrays are trained."""

    def roles(self, x: Any, y: Any) -> tuple[ArrayRole, ...]:
        """Return the role of each array of `get_weights` in training on such examples.

        Raises:
            DataError: The examples or targets do not fit the model.
            ModelError: The model's own kind of training does not allow an array of some role.
        """
        ...
