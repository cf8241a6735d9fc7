"""The plan of example-level training: what every client's local training of one round does, and its privacy cost.

Each client runs differentially private stochastic gradient descent on its own shard (DP-SGD: Abadi et al., arXiv
1607.00133, algorithm 1): in each step every example takes part with the same probability, gradients are clipped one by
one, and Gaussian noise is added to their sum. The update that leaves the client is private already, so the secure sum
carries it without further noise.

All clients have the same sampling rate, number of steps and divisor. These follow from the batch size and from the mean
number of examples of a client. So an example is as well protected in a small shard as in a large one, and the plan of a
client does not depend on its number of examples. If each client had its own rate, the smallest shard would determine
the noise for all.
"""

from dataclasses import dataclass

from dp.calibration.least_noise import calibrate_gaussian
from dp.checks import check_delta, integer_at_least, positive_real
from dp.errors import InvalidParameter
from dp.events import GaussianEvent, NeighbouringRelation, PoissonSampledEvent, PrivacyUnit, RepeatedEvent

RELATION = NeighbouringRelation.ADD_OR_REMOVE_ONE
UNIT = PrivacyUnit.EXAMPLE


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleLevel:
    """One round of local training, the same for every client; make one with `plan`.

    Attributes:
        clip_l2: Bound on the l2 norm of one example's gradient, all variables together, above 0.
        noise_multiplier: Standard deviation of the noise in a step's sum of gradients over `clip_l2`, above 0.
        examples: The number of examples of all clients together, at least 1; the population of the budget.
        clients: The number of clients, at least 1 and at most `examples`.
        epochs: Expected passes over the examples in a round, at least 1.
        batch_size: Expected examples in a step of a client with the mean number of examples, at least 1.

    Formal guarantees:
        Unit: one example. Relation: add or remove one; which client an example belongs to is fixed, and every
        client has another, since one without examples does not train. Sensitivity: `clip_l2`, of a step's sum
        of gradients. A client's training of one round is one `event`, adaptively composed with those of other
        rounds. An example is in one client's shard, so that what all clients release together is `event` too
        (parallel composition): the released models, and the sums that the server sees. As each client's update
        is private by itself, the same holds against a server that sees updates, and against all other clients.
        The number of all examples is taken for public. The sample is drawn afresh for each step and never
        leaves the client, which the amplification rests on. The noise is accounted as the continuous Gaussian
        that it approximates, see `secagg.models.clipped_sum`.

    Raises:
        InvalidParameter: An attribute is out of range.
    """

    clip_l2: float
    noise_multiplier: float
    examples: int
    clients: int
    epochs: int
    batch_size: int

    def __post_init__(self) -> None:
        positive_real("clip_l2", self.clip_l2)
        positive_real("noise_multiplier", self.noise_multiplier)
        _check_sizes(self.examples, self.clients, self.epochs, self.batch_size)

    @classmethod
    def plan(
        cls,
        *,
        epsilon: float,
        delta: float,
        rounds: int,
        clip_l2: float,
        examples: int,
        clients: int,
        epochs: int,
        batch_size: int,
    ) -> "ExampleLevel":
        """Return the training with the least noise that keeps all rounds within a budget.

        Args:
            epsilon: The epsilon of all rounds together, above 0.
            delta: The delta of all rounds together, above 0 and below one over `examples`.
            rounds: The number of rounds, at least 1.
            clip_l2: See the attribute.
            examples: See the attribute.
            clients: See the attribute.
            epochs: See the attribute.
            batch_size: See the attribute.

        Raises:
            InvalidParameter: An argument is out of range.
            InfeasibleTarget: No noise reaches the target.
        """
        check_delta(delta, population=examples)
        _check_sizes(examples, clients, epochs, batch_size)
        noise_multiplier = calibrate_gaussian(
            epsilon=epsilon,
            delta=delta,
            releases=integer_at_least("rounds", rounds, 1) * _steps(examples, clients, epochs, batch_size),
            relation=RELATION,
            sampling_rate=_sampling_rate(examples, clients, batch_size),
        )
        return cls(
            clip_l2=clip_l2,
            noise_multiplier=noise_multiplier,
            examples=examples,
            clients=clients,
            epochs=epochs,
            batch_size=batch_size,
        )

    @property
    def sampling_rate(self) -> float:
        """The probability, in (0, 1], with which each example takes part in a step."""
        return _sampling_rate(self.examples, self.clients, self.batch_size)

    @property
    def steps(self) -> int:
        """The number of steps in a round, at least 1."""
        return _steps(self.examples, self.clients, self.epochs, self.batch_size)

    @property
    def expected_examples(self) -> float:
        """The divisor of a step's noisy sum of gradients, for every size of the sample and of the shard.

        The size of the sample depends on each example. Noise scaled by that size would reveal something about them.
        """
        return min(float(self.batch_size), self.examples / self.clients)

    @property
    def noise_stddev(self) -> float:
        """The standard deviation of the noise in each coordinate of a step's sum of gradients, before the division."""
        return self.noise_multiplier * self.clip_l2

    @property
    def in_words(self) -> str:
        """A description of the noise for people."""
        return (
            f"Gaussian in every client's local training, {self.noise_multiplier:.4g} times the clip of an example's "
            f"gradient in each of {self.steps} steps a round, which every example enters with probability "
            f"{self.sampling_rate:.4g}; floating-point, not exact"
        )

    @property
    def event(self) -> RepeatedEvent:
        """The privacy cost of one round for every example."""
        noised = GaussianEvent(noise_multiplier=self.noise_multiplier, relation=RELATION, unit=UNIT)
        sampled = (
            noised if self.sampling_rate == 1 else PoissonSampledEvent(sampling_rate=self.sampling_rate, event=noised)
        )
        return RepeatedEvent(times=self.steps, event=sampled)


def _sampling_rate(examples: int, clients: int, batch_size: int) -> float:
    return min(1.0, batch_size * clients / examples)


def _steps(examples: int, clients: int, epochs: int, batch_size: int) -> int:
    return epochs * -(-examples // (clients * batch_size))


def _check_sizes(examples: int, clients: int, epochs: int, batch_size: int) -> None:
    integer_at_least("examples", examples, 1)
    if integer_at_least("clients", clients, 1) > examples:
        raise InvalidParameter(f"clients: expected at most one for each of {examples} examples, found {clients}")
    integer_at_least("epochs", epochs, 1)
    integer_at_least("batch_size", batch_size, 1)
