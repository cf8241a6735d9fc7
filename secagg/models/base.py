"""What federated training asks of a model: weights in and out as arrays, local training, evaluation, saving."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Metrics:
    """How a model does on a set of examples.

    Attributes:
        loss: Mean loss per example, penalties of the model included; summed over several outputs.
        accuracy: Share of examples classified rightly, in `[0, 1]`; nan where the targets are values, not classes. Of
            several outputs the mean over those that classify.
    """

    loss: float
    accuracy: float


class ArrayRole(StrEnum):
    """What training does to one of a model's arrays, which decides whether and how it travels."""

    TRAINED = "trained"
    """The optimizer moves it."""
    STATISTIC = "statistic"
    """Training moves it without an optimizer, such as the moving mean of batch normalisation."""
    VARIANCE = "variance"
    """A statistic that is never negative, such as the moving variance of batch normalisation."""
    FIXED = "fixed"
    """Training never changes it, such as a frozen layer's kernel; it does not travel."""

    @property
    def travels(self) -> bool:
        """Whether clients send updates of it."""
        return self is not ArrayRole.FIXED

    @property
    def is_statistic(self) -> bool:
        """Whether training moves it without an optimizer."""
        return self in (ArrayRole.STATISTIC, ArrayRole.VARIANCE)


class Model(Protocol):
    """A model that federated training can move between clients as a list of arrays.

    Examples `x` have shape `(examples, ...)`, a real dtype and finite entries; targets `y` have one row an example. A
    model with several inputs takes a list, a tuple or a dict of such arrays, and one with several outputs likewise.
    """

    @property
    def suffix(self) -> str:
        """The suffix of the files that `save` writes, such as `.keras`."""
        ...

    def get_weights(self) -> list[NDArray[Any]]:
        """Copy the weights out: one float32 or float64 array per variable, in the model's own order."""
        ...

    def set_weights(self, weights: Sequence[NDArray[Any]]) -> None:
        """Replace every weight, all or none; a number, of numpy or of Python, is an array of shape `()`.

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
            batch_size: Examples a step, at least 1; the last step of an epoch takes what is left.
            seed: Of the shuffling and of the model's own randomness (dropout), at least 0.

        Raises:
            DataError: Examples or targets that do not fit the model.
            ConfigurationError: Epochs, batch size or seed out of range.
        """
        ...

    def evaluate(self, x: Any, y: Any) -> Metrics:
        """Measure loss and accuracy on examples, changing nothing.

        Raises:
            DataError: Examples or targets that do not fit the model.
        """
        ...

    def save(self, path: Path) -> None:
        """Write the model to a file in its own format, whole or not at all.

        Raises:
            ModelError: The suffix of `path` is not the format's.
            OSError: The file cannot be written there.
        """
        ...


@runtime_checkable
class ModelWithRoles(Model, Protocol):
    """A model that may hold arrays which no optimizer moves; all arrays of any other model are trained."""

    def roles(self, x: Any, y: Any) -> tuple[ArrayRole, ...]:
        """Return the role of each array of `get_weights` in training on such examples.

        Raises:
            DataError: Examples or targets that do not fit the model.
            ModelError: The model's own kind of training takes no array of some role.
        """
        ...
