"""Simulated devices: each has a shard of its own, trains on it alone, and may vanish anywhere in the protocol."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.columns import Columns, count_rows
from secagg.encoding import Arrays
from secagg.errors import ConfigurationError, DataError, ModelError
from secagg.models.base import Model

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
    """

    model: Model
    shards: Sequence[Shard]
    epochs: int
    batch_size: int
    seed: int

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

    @property
    def clients(self) -> range:
        """Ids of all clients."""
        return range(len(self.shards))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the model's arrays, which are those of an update."""
        return [array.shape for array in self.model.get_weights()]

    def examples(self, client: int) -> int:
        """How many examples a client has."""
        return count_rows(self.shards[client][0])

    def train(self, weights: Sequence[NDArray[Any]], number: int) -> Iterator[tuple[int, Arrays]]:
        """Each client's update in round `number`: its new weights minus the global ones, float64.

        Every client starts from the same global weights, and sees its own shard only.

        Raises:
            ModelError: A client's training has diverged.
        """
        for client in self.clients:
            self.model.set_weights(weights)
            start = self.model.get_weights()
            x, y = self.shards[client]
            self.model.fit(x, y, epochs=self.epochs, batch_size=self.batch_size, seed=self._seed(number, client))
            update = [
                np.asarray(new.astype(np.float64) - old.astype(np.float64))
                for new, old in zip(self.model.get_weights(), start, strict=True)
            ]
            if not all(np.isfinite(array).all() for array in update):
                raise ModelError(
                    f"client {client} has diverged in round {number}: its update is not finite; a smaller learning "
                    "rate or server learning rate may help"
                )
            yield client, update

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
