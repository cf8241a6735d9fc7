"""The arrays of a model as federated training sees them: their shapes, and what training does to each."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from secagg.data.columns import Shard
from secagg.errors import DataError, ModelError
from secagg.models.base import ArrayRole, Model, ModelWithRoles


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelArrays:
    """The role and the shape of each array of a model.

    Attributes:
        roles: One role for each array, in the order of `get_weights`.
        shapes: One shape for each array, in the same order.
    """

    roles: tuple[ArrayRole, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, model: Model, shards: Iterable[Shard]) -> "ModelArrays":
        """Return the arrays of a model that is trained on such examples.

        Args:
            model: The model.
            shards: Examples and targets. The roles are read from the first ones that fit the model.

        Raises:
            DataError: No examples fit the model.
            ModelError: Training changes none of the arrays.
        """
        roles = _roles(model, shards)
        if ArrayRole.TRAINED not in roles:
            raise ModelError(
                f"arrays of the model: expected at least one that training changes, found {len(roles)} fixed. "
                "Make a layer trainable."
            )
        return cls(roles=roles, shapes=tuple(map(np.shape, model.get_weights())))

    @property
    def travelling(self) -> list[tuple[int, ...]]:
        """The shapes of the arrays of which clients send updates."""
        return [shape for shape, role in zip(self.shapes, self.roles, strict=True) if role.travels]

    @property
    def statistics(self) -> list[int]:
        """The indices of the arrays that are running statistics."""
        return [index for index, role in enumerate(self.roles) if role.is_statistic]

    @property
    def statistics_entries(self) -> int:
        """The number of entries of all running statistics together."""
        return sum(math.prod(self.shapes[index]) for index in self.statistics)


def _roles(model: Model, shards: Iterable[Shard]) -> tuple[ArrayRole, ...]:
    if not isinstance(model, ModelWithRoles):
        return (ArrayRole.TRAINED,) * len(model.get_weights())
    first: DataError | None = None
    for x, y in shards:
        try:
            return model.roles(x, y)
        except DataError as error:
            first = first or error
    raise first or DataError("shards: expected examples, found none.")
