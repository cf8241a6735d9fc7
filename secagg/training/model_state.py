"""The global model of federated averaging: the shared weights, how the server moves them, and their evaluation."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from dp.clipping.adaptive import AdaptiveClip
from secagg.arrays import Arrays
from secagg.checks import LARGEST, check_positive, shown
from secagg.data.columns import Shard
from secagg.engines.statistics import kept_array
from secagg.errors import ConfigurationError, ModelError
from secagg.models.base import ArrayRole, Model
from secagg.privacy.clipping import Clip, GlobalClip


@dataclass(frozen=True, slots=True)
class ServerStep:
    """How the server moves the trained arrays by a mean update; running statistics move by the mean itself.

    Attributes:
        learning_rate: Factor on the velocity, a finite number above 0.
        momentum: Fraction of the velocity, in [0, 1), that is kept from one round to the next; 0 is plain federated
            averaging.

    Raises:
        ConfigurationError: An attribute is out of range.
    """

    learning_rate: float = 1.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        check_positive("the server's learning_rate", self.learning_rate)
        momentum = self.momentum
        if isinstance(momentum, bool) or not isinstance(momentum, int | float | np.integer | np.floating):
            raise ConfigurationError(f"the server's momentum: expected a number in [0, 1), found {shown(momentum)}")
        if not 0 <= momentum < 1:
            raise ConfigurationError(f"the server's momentum: expected a number in [0, 1), found {momentum}")


PLAIN_STEP: Final = ServerStep()


@dataclass(slots=True)
class GlobalModel:
    """The shared weights, the server's velocity, the number of rounds done, and the clip of the next round.

    Attributes:
        weights: One float64 array for each array of the model, including those that training never changes.
        velocity: One float64 array for each array of the model; zero for an array that no optimizer moves.
        round: The number of rounds done.
        clip: The clip of the next round's updates.
    """

    weights: Arrays
    velocity: Arrays
    round: int = 0
    clip: Clip = field(default_factory=GlobalClip)

    @classmethod
    def initial(cls, model: Model, clip: Clip | None = None) -> "GlobalModel":
        """Return the model's initial weights, the same for every client; by default updates are clipped as a whole."""
        weights = [np.array(array, dtype=np.float64) for array in model.get_weights()]
        return cls(weights, [np.zeros_like(array) for array in weights], clip=clip or GlobalClip())

    def apply(self, mean: Arrays, step: ServerStep, roles: Sequence[ArrayRole] | None = None) -> None:
        """Move the model by a mean update.

        Args:
            mean: One array for each array of the model that travels.
            step: How trained arrays move; running statistics move by the mean itself, and no variance below zero.
            roles: The roles of all arrays; None if all are trained.

        Raises:
            ModelError: Training has diverged: an array that travels would not be finite. The model has not been moved.
        """
        # numpy turns arrays without dimensions into numbers when it computes with them.
        with np.errstate(over="ignore", invalid="ignore"):
            velocity, weights = list(self.velocity), list(self.weights)
            known = roles or (ArrayRole.TRAINED,) * len(weights)
            travelling = [(index, role) for index, role in enumerate(known) if role.travels]
            for (index, role), update in zip(travelling, mean, strict=True):
                if role.is_statistic:
                    velocity[index] = np.zeros_like(velocity[index])
                    weights[index] = kept_array(kept_array(weights[index], role) + update, role)
                else:
                    velocity[index] = step.momentum * velocity[index]
                    velocity[index] += update
                    moved = step.learning_rate * velocity[index]
                    moved += weights[index]
                    weights[index] = moved
        if not all(np.isfinite(weights[index]).all() for index, _ in travelling):
            raise ModelError(_diverged(self.round + 1, "the weights are not finite"))
        self.velocity, self.weights = list(map(np.asarray, velocity)), list(map(np.asarray, weights))

    def check(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Check that a round can move this state; the model itself checks whether the weights are finite.

        Args:
            shapes: The shapes of all arrays of the model.

        Raises:
            ModelError: The state has other shapes, or a velocity that is not finite.
        """
        for name, arrays in (("weights", self.weights), ("velocity", self.velocity)):
            found = [np.shape(array) for array in arrays]
            if found != list(shapes):
                raise ModelError(f"the {name} to start from: expected shapes {list(shapes)}, found {found}")
        if not all(np.isfinite(array).all() for array in self.velocity):
            raise ModelError("the velocity to start from: expected finite entries, found NaN or infinity")

    def digest(self) -> bytes:
        """Return the SHA-256 digest, 32 bytes, of these weights, this round and the next round's clip.

        All parties of the next round know these three, so that its session names them by this digest.
        """
        return _digest_of(self.weights, self.round, msgspec.json.encode(self.clip))

    def velocity_digest(self) -> bytes:
        """Return the SHA-256 digest, 32 bytes, of the velocity, which the server alone knows, and of this round."""
        return _digest_of(self.velocity, self.round)


def _digest_of(arrays: Arrays, number: int, last: bytes = b"") -> bytes:
    digest = hashlib.sha256(number.to_bytes(8, "big"))
    for array in map(np.asarray, arrays):
        digest.update(repr(array.shape).encode())
        digest.update(array.reshape(-1).data)
    digest.update(last)
    return digest.digest()


def evaluate(model: Model, weights: Sequence[NDArray[Any]], test: Shard) -> tuple[float, float]:
    """Return the loss and the accuracy of these weights on the test examples."""
    model.set_weights(weights)
    metrics = model.evaluate(*test)
    return metrics.loss, metrics.accuracy


def measured(model: Model, state: GlobalModel, test: Shard) -> tuple[float, float]:
    """Return the loss and the accuracy of a round's model.

    Raises:
        ModelError: Training has diverged: the loss is not finite, or too large to be drawn in a chart.
    """
    loss, accuracy = evaluate(model, state.weights, test)
    if not abs(loss) <= LARGEST:
        raise ModelError(_diverged(state.round, f"the loss is {loss:g}"))
    return loss, accuracy


def adapting_bound(clip: Clip) -> float | None:
    """Return the bound of an adaptive clip; None for any other clip."""
    return clip.bound if isinstance(clip, AdaptiveClip) else None


def _diverged(number: int, found: str) -> str:
    return (
        f"training has diverged in round {number}: {found}. Use a smaller learning rate or server learning rate, or "
        "more clients, with which noise in the mean is smaller. Less noise also helps, but weakens the guarantee."
    )
