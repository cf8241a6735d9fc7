"""Simulated devices: each has a shard of its own, trains only on it, and may drop out in any step of the protocol."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secagg.arrays import Arrays
from secagg.checks import listed
from secagg.data.columns import Shard, count_rows
from secagg.errors import ConfigurationError, DataError, TrainingDiverged
from secagg.models.arrays import ModelArrays
from secagg.models.base import ArrayRole, Model
from secagg.simulation.failures import Failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """Clients 0, 1, ... of one process, which take turns with one model object.

    Attributes:
        model: The model that all clients train in turn; between clients it keeps only its architecture.
        shards: Examples and targets of each client, at least one example each; if the model has several inputs or
            outputs, a list, tuple or dict of arrays with the same number of rows. A sequence other than a list or tuple
            may make a shard when it is asked for; the shard is checked then, and not kept.
        epochs: Local epochs a round.
        batch_size: Examples in a local minibatch.
        seed: Seed of the minibatches, and of which clients drop out and where.
        arrays: What training does to each array of the model; arrays that it never changes do not travel.

    Raises:
        ConfigurationError: There are fewer than two clients; or a client has no examples or a different number of
            targets, which for shards that are made when they are asked for is raised then.
        DataError: No client's examples fit the model.
        ModelError: The model has no trained arrays.
    """

    model: Model
    shards: Sequence[Shard] = field(repr=False)
    epochs: int
    batch_size: int
    seed: int
    arrays: ModelArrays = field(init=False)

    def __post_init__(self) -> None:
        if len(self.shards) < 2:
            raise ConfigurationError(f"clients: expected at least 2 for federated training, found {len(self.shards)}")
        if isinstance(self.shards, list | tuple):
            for client in self.clients:
                self.shard(client)
        object.__setattr__(self, "arrays", ModelArrays.of(self.model, map(self.shard, self.clients)))

    @property
    def clients(self) -> range:
        """The ids of all clients."""
        return range(len(self.shards))

    @property
    def roles(self) -> tuple[ArrayRole, ...]:
        """What training does to each array of the model."""
        return self.arrays.roles

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of an update's arrays, which are all arrays of the model that travel."""
        return self.arrays.travelling

    def shard(self, client: int) -> Shard:
        """Return the examples and targets of a client.

        Raises:
            ConfigurationError: It has no examples or a different number of targets.
        """
        x, y = self.shards[client]
        try:
            examples, targets = count_rows(x), count_rows(y)
        except DataError as error:
            raise ConfigurationError(f"client {client}: {error}") from None
        if not examples or examples != targets:
            raise ConfigurationError(
                f"client {client}: expected at least 1 example and a target for each, found {examples} examples and "
                f"{targets} targets"
            )
        return x, y

    def examples(self, client: int) -> int:
        """Return the number of examples of a client."""
        return count_rows(self.shard(client)[0])

    def train(self, client: int, weights: Sequence[NDArray[Any]], number: int) -> Arrays:
        """Return a client's update: for each array that travels, the new array minus the global one, float64.

        Every client starts from the same global weights and sees only its own shard.

        Args:
            client: The client.
            weights: The global weights.
            number: The number of the round.

        Raises:
            ModelError: The global weights do not fit the model.
            TrainingDiverged: The update is not finite.
            DataError: The client's examples or targets do not fit the model.
        """
        self.model.set_weights(weights)
        start = self.model.get_weights()
        x, y = self.shard(client)
        self.model.fit(x, y, epochs=self.epochs, batch_size=self.batch_size, seed=self._seed(number, client))
        update = [
            np.asarray(new.astype(np.float64) - old.astype(np.float64))
            for new, old, role in zip(self.model.get_weights(), start, self.roles, strict=True)
            if role.travels
        ]
        if not all(np.isfinite(array).all() for array in update):
            raise TrainingDiverged(
                f"client {client} has diverged in round {number}: its update is not finite. Use a smaller learning "
                "rate or server learning rate."
            )
        return update

    def check_examples(self) -> None:
        """Check that every client's examples and targets fit the model, by evaluating the model on them.

        Raises:
            DataError: The examples or targets of a client do not fit; the message names the clients.
        """
        failures = Failures(0)
        for client in self.clients:
            with failures.of(client):
                self.model.evaluate(*self.shard(client))
        if failures.reasons:
            client, reason = next(iter(failures.reasons.items()))
            others = listed(list(failures.reasons)[1:])
            more = f" (other clients with errors: {others})" if others else ""
            raise DataError(f"client {client}: {reason}{more}")

    def drops(
        self, number: int, rounds: Sequence[str], dropping: int, *, clients: Sequence[int] | None = None
    ) -> dict[str, list[int]]:
        """Return who drops out in a round, by step of the protocol.

        Args:
            number: The number of the round.
            rounds: The steps of the protocol.
            dropping: How many clients drop out, chosen at random.
            clients: The clients of the round; by default all.
        """
        asked = self.clients if clients is None else clients
        generator = np.random.default_rng([self.seed, number, len(asked)])
        chosen = generator.choice(len(asked), size=dropping, replace=False)
        places = generator.integers(len(rounds), size=dropping)
        return {
            name: sorted(asked[int(client)] for client, place in zip(chosen, places, strict=True) if place == index)
            for index, name in enumerate(rounds)
        }

    def _seed(self, number: int, client: int) -> int:
        return int(np.random.SeedSequence([self.seed, number, client]).generate_state(1)[0])
