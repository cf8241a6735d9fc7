"""Simulated devices: each has a shard of its own, trains on it alone, and may vanish anywhere in the protocol."""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.aggregation.encoding import Arrays
from secagg.aggregation.mean import SecureMean
from secagg.aggregation.statistics import SHARED, SharedStatistics, UpdateParts, chosen_reach
from secagg.checks import listed
from secagg.data.columns import Columns, count_rows
from secagg.errors import ConfigurationError, DataError, ModelError, TrainingDiverged
from secagg.models.base import ArrayRole, Model, ModelWithRoles
from secagg.simulation.failures import Failures

Shard = tuple[Columns, Columns]


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """Clients 0, 1, ... of one process, which take turns with one model object.

    Attributes:
        model: Weights in, local training, weights out; it keeps nothing between clients but its architecture.
        shards: Examples and targets of each client, at least one example each; where the model has several inputs or
            outputs, a list, tuple or dict of arrays with equally many rows.
        epochs: Local epochs a round.
        batch_size: Local minibatch.
        seed: Of minibatches and of who vanishes when.
        statistics: How running statistics of the model, such as batch normalisation's, take part in averaging; None
            refuses a model that keeps any.
        roles: What training does to each of the model's arrays; those that it never changes do not travel.
        model_shapes: Shapes of all of the model's arrays.

    Raises:
        ConfigurationError: There are not at least two clients, each with examples and as many targets.
        DataError: No client's examples fit the model.
        ModelError: The model has no trained arrays, or keeps statistics that are refused.
    """

    model: Model
    shards: Sequence[Shard]
    epochs: int
    batch_size: int
    seed: int
    statistics: SharedStatistics | None = SHARED
    roles: tuple[ArrayRole, ...] = field(init=False)
    model_shapes: tuple[tuple[int, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        if len(self.shards) < 2:
            raise ConfigurationError(f"federated training needs at least 2 clients, not {len(self.shards)}")
        for client, (x, y) in enumerate(self.shards):
            try:
                examples, targets = count_rows(x), count_rows(y)
            except DataError as error:
                raise ConfigurationError(f"client {client}: {error}") from None
            if not examples or examples != targets:
                raise ConfigurationError(f"client {client} has {examples} examples and {targets} targets")
        object.__setattr__(self, "roles", _roles(self.model, self.shards))
        object.__setattr__(self, "model_shapes", tuple(map(np.shape, self.model.get_weights())))
        if ArrayRole.TRAINED not in self.roles:
            raise ModelError(f"arrays of the model: expected some that training changes, found {len(self.roles)} fixed")
        kept = [index for index, role in enumerate(self.roles) if role.is_statistic]
        if kept and self.statistics is None:
            raise ModelError(
                f"arrays of the model: expected none that are running statistics, found arrays {kept}. Freeze their "
                "layers (trainable=False), use layer normalisation, or pass statistics=SharedStatistics()."
            )

    @property
    def clients(self) -> range:
        """Ids of all clients."""
        return range(len(self.shards))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of an update's arrays: of all of the model's that travel."""
        return [shape for shape, role in zip(self.model_shapes, self.roles, strict=True) if role.travels]

    def examples(self, client: int) -> int:
        """How many examples a client has."""
        return count_rows(self.shards[client][0])

    def train(
        self, weights: Sequence[NDArray[Any]], number: int, failures: Failures | None = None
    ) -> Iterator[tuple[int, Arrays]]:
        """Each client's update in round `number`: of each array that travels, the new minus the global one, float64.

        Every client starts from the same global weights, and sees its own shard only.

        Args:
            weights: The global ones.
            number: Of the round.
            failures: Takes in the failures of single clients, which are left out; without it the first one is raised.

        Raises:
            ModelError: The global weights are not the model's, or a client's training has diverged.
            DataError: A client's examples or targets do not fit the model.
        """
        failures = Failures(number, kinds=()) if failures is None else failures
        for client in self.clients:
            self.model.set_weights(weights)
            start = self.model.get_weights()
            x, y = self.shards[client]
            with failures.of(client):
                self.model.fit(x, y, epochs=self.epochs, batch_size=self.batch_size, seed=self._seed(number, client))
                update = [
                    np.asarray(new.astype(np.float64) - old.astype(np.float64))
                    for new, old, role in zip(self.model.get_weights(), start, self.roles, strict=True)
                    if role.travels
                ]
                if not all(np.isfinite(array).all() for array in update):
                    raise TrainingDiverged(
                        f"client {client} has diverged in round {number}: its update is not finite; a smaller learning "
                        "rate or server learning rate may help"
                    )
            if client not in failures.reasons:
                yield client, update

    def check_examples(self) -> None:
        """Make sure that every client's examples and targets fit the model, by evaluating it on them.

        Raises:
            DataError: Some do not; the message names the clients.
        """
        failures = Failures(0)
        for client, (x, y) in enumerate(self.shards):
            with failures.of(client):
                self.model.evaluate(x, y)
        if failures.reasons:
            client, reason = next(iter(failures.reasons.items()))
            others = listed(list(failures.reasons)[1:])
            raise DataError(f"client {client}: {reason}" + (f" (and likewise clients {others})" if others else ""))

    def drops(self, number: int, rounds: Sequence[str], dropping: int) -> dict[str, list[int]]:
        """Who vanishes in round `number`, by round of the protocol; `dropping` clients, at random."""
        generator = np.random.default_rng([self.seed, number, len(self.shards)])
        chosen = generator.choice(len(self.shards), size=dropping, replace=False)
        places = generator.integers(len(rounds), size=dropping)
        return {
            name: sorted(int(client) for client, place in zip(chosen, places, strict=True) if place == index)
            for index, name in enumerate(rounds)
        }

    def _seed(self, number: int, client: int) -> int:
        return int(np.random.SeedSequence([self.seed, number, client]).generate_state(1)[0])

    def update_parts(self, *, l2: float, mean: SecureMean | None) -> UpdateParts:
        """Return how trained arrays and running statistics share what a client contributes.

        Args:
            l2: Bound on what a client contributes.
            mean: What carries it; None for a mean in the clear.

        Warns:
            UserWarning: Statistics get noise, or can hardly move.
        """
        shapes = zip(self.shapes, (role for role in self.roles if role.travels), strict=True)
        entries = sum(math.prod(shape) for shape, role in shapes if role.is_statistic)
        statistics = self.statistics or SHARED
        reach = chosen_reach(statistics, mean=mean, entries=entries)
        parts = UpdateParts(roles=self.roles, l2=l2, share=statistics.share, reach=reach, entries=entries)
        if entries and mean is not None and (mean.noise is not None or reach < 1):
            warnings.warn(
                f"{parts.in_words(mean)}. If that is too much for the model, use layer normalisation, freeze these "
                "layers, or take more clients.",
                stacklevel=3,
            )
        return parts


def _roles(model: Model, shards: Sequence[Shard]) -> tuple[ArrayRole, ...]:
    """What training does to each of the model's arrays, on the first examples that fit the model."""
    if not isinstance(model, ModelWithRoles):
        return (ArrayRole.TRAINED,) * len(model.get_weights())
    first: DataError | None = None
    for x, y in shards:
        try:
            return model.roles(x, y)
        except DataError as error:
            first = first or error
    raise first or DataError("shards: expected examples, found none")
