"""Federated averaging in the clear, which protects nothing: the comparison for secure averaging."""

from collections.abc import Callable, Sequence

from dp.clipping.clip import clip_l2 as clipped
from secagg.arrays import Arrays
from secagg.data.columns import Shard
from secagg.engines.statistics import SHARED, SharedStatistics, divide_updates
from secagg.privacy.clipping import planned
from secagg.simulation.devices import Devices
from secagg.simulation.failures import Failures
from secagg.training.model_state import PLAIN_STEP, GlobalModel, ServerStep, adapting_bound, measured
from secagg.training.records import RoundRecord


class PlainAveraging:
    """The same training with the clipped updates averaged in the clear, in float64; it protects nothing.

    Args:
        devices: The clients.
        test: Examples and targets on which the model is evaluated after each round.
        clip_l2: Bound on the l2 norm of a client's update that is clipped as a whole; other clips have bounds of their
            own, and do not use it.
        max_weight: For a mean weighted by examples, the largest weight of a client; None for a uniform mean.
        divisor: What divides a sum of updates, in the place of their number; for clients that are drawn in secret, the
            expected number. None for the number, or the total weight.
        step: How the server moves the model.
        state: The state to start from; by default the model's initial weights, and updates clipped as a whole.
        statistics: As for `SecureAveraging`.

    Attributes:
        state: The global model.
        parts: How trained arrays and running statistics share what a client contributes.
    """

    def __init__(
        self,
        *,
        devices: Devices,
        test: Shard,
        clip_l2: float,
        max_weight: float | None = None,
        divisor: int | None = None,
        step: ServerStep = PLAIN_STEP,
        state: GlobalModel | None = None,
        statistics: SharedStatistics | None = SHARED,
    ) -> None:
        self.state = state or GlobalModel.initial(devices.model)
        _, self._clip_l2 = planned(self.state.clip, shapes=devices.shapes, clip_l2=clip_l2)
        self.parts = divide_updates(devices.arrays, statistics, l2=self._clip_l2, mean=None)
        self.parts.check(self.state.clip)
        self._devices, self._test = devices, test
        self._max_weight, self._divisor, self._step = max_weight, divisor, step

    def round(self, contributors: Sequence[int], *, asked: Sequence[int] | None = None) -> RoundRecord:
        """Run one round with the updates of these clients, without those whose training fails.

        Args:
            contributors: The clients whose updates are in the mean.
            asked: The clients that train; by default all.

        Raises:
            DataError: The training of all clients has failed.
            ModelError: The training of all clients has failed, or training has diverged.
        """
        number, clip, weights = self.state.round + 1, self.state.clip, self.state.weights
        updates, reasons = dict[int, Arrays](), dict[int, str]()
        if contributors:
            trained, reasons = self._train(number, self._devices.clients if asked is None else asked)
            updates = {client: update for client, update in trained.items() if client in set(contributors)}
        if updates:
            contributed = plain_mean(updates, clip_l2=self._clip_l2, weight=self._weight, divisor=self._divisor)
            mean, following = self.parts.after(clip, contributed, weights=weights)
            self.state.apply(mean, self._step, self._devices.roles)
            self.state.clip = following
        self.state.round = number
        loss, accuracy = measured(self._devices.model, self.state, self._test)
        return RoundRecord(
            round=number,
            accuracy=accuracy,
            loss=loss,
            contributors=len(updates),
            failed=reasons,
            clip_bound=adapting_bound(clip),
        )

    def _train(self, number: int, asked: Sequence[int]) -> tuple[dict[int, Arrays], dict[int, str]]:
        """Return the clipped updates of a round, and the reason for each client whose training has failed."""
        failures, prepared = Failures(number), dict[int, Arrays]()
        for client in asked:
            with failures.of(client):
                prepared[client] = self._prepared(self._devices.train(client, self.state.weights, number))
        failures.check(prepared)
        return prepared, failures.reasons

    def _prepared(self, update: Arrays) -> Arrays:
        prepared = self.parts.prepare(self.state.clip, update, weights=self.state.weights)
        return list(clipped(prepared, bound=self._clip_l2).arrays)

    def _weight(self, client: int) -> float:
        return 1.0 if self._max_weight is None else min(float(self._devices.examples(client)), self._max_weight)


def plain_mean(
    updates: dict[int, Arrays],
    *,
    clip_l2: float,
    weight: Callable[[int], float] = lambda _: 1.0,
    divisor: float | None = None,
) -> Arrays:
    """Return the weighted mean of the clipped updates, entry by entry, in float64 and in the clear.

    Args:
        updates: The updates by client.
        clip_l2: Bound on the l2 norm of each.
        weight: Returns a client's weight.
        divisor: What divides the sum of the weighted updates; by default, the total weight.
    """
    total = sum(weight(client) for client in updates) if divisor is None else divisor
    mean: Arrays = []
    for client, update in updates.items():
        share = [weight(client) / total * array for array in clipped(update, bound=clip_l2).arrays]
        mean = [left + right for left, right in zip(mean, share, strict=True)] if mean else share
    return mean
