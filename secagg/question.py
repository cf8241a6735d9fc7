"""What may be asked of `secagg budget plan`, checked before anything is computed."""

from enum import StrEnum

import msgspec

from dp.accounting import check_delta
from dp.checks import integer_at_least, positive_real
from dp.events import NeighbouringRelation
from secagg.errors import ConfigurationError


class PlannedMechanism(StrEnum):
    """The noise that is planned with."""

    GAUSSIAN = "gaussian"
    """Continuous Gaussian noise in the sum."""

    DISCRETE_GAUSSIAN = "discrete-gaussian"
    """Discrete Gaussian noise in shares, in a secure sum modulo 2^bits."""

    SKELLAM = "skellam"
    """Skellam noise in shares, in a secure sum modulo 2^bits."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be planned.

    Attributes:
        clients: The population, at least 2.
        rounds: Global rounds, one release each.
        noise_multiplier: Standard deviation of a round's noise over its sensitivity (on a lattice, over the clipping
            bound, which rounding adds a little to); None to ask for it.
        epsilon: The budget that the noise is to keep; None to ask for it.
        delta: Below one over `clients`; None for `clients`^-1.1 in three digits.
        sampling: Probability of each client to take part in a round, in (0, 1]; None where all do, or who is known.
        mechanism: The noise.
        bits: Of the modulus, where noise is on a lattice; None for 24.
        dimension: Coordinates of an update, where noise is on a lattice; None elsewhere.

    Raises:
        ConfigurationError: Not exactly one of noise and budget is given, or a number is out of range.
        dp.errors.InvalidParameter: Likewise.
    """

    clients: int
    rounds: int
    noise_multiplier: float | None = None
    epsilon: float | None = None
    delta: float | None = None
    sampling: float | None = None
    mechanism: PlannedMechanism = PlannedMechanism.GAUSSIAN
    bits: int | None = None
    dimension: int | None = None

    def __post_init__(self) -> None:
        integer_at_least("clients", self.clients, 2)
        integer_at_least("rounds", self.rounds, 1)
        if (self.noise_multiplier is None) == (self.epsilon is None):
            raise ConfigurationError(
                "expected --noise-multiplier, to learn what it costs, or --epsilon, to learn what noise keeps it, and "
                "not both"
            )
        for name in ("noise_multiplier", "epsilon", "sampling"):
            if (value := getattr(self, name)) is not None:
                positive_real(name, value)
        if self.sampling is not None and self.sampling > 1:
            raise ConfigurationError(f"sampling: expected a probability in (0, 1], found {self.sampling:g}")
        if self.on_lattice and self.rate * self.clients < 1:
            raise ConfigurationError(
                f"sampling: {self.rate:g} of {self.clients} clients are fewer than one share of noise in a sum"
            )
        check_delta(self.chosen_delta, population=self.clients)
        if self.on_lattice and self.dimension is None:
            raise ConfigurationError(
                f"--mechanism {self.mechanism}: expected --dimension, the coordinates of an update"
            )
        if not self.on_lattice and (self.dimension is not None or self.bits is not None):
            raise ConfigurationError(
                "--bits and --dimension: expected only with --mechanism discrete-gaussian or skellam; continuous noise "
                "has no lattice"
            )

    @property
    def chosen_delta(self) -> float:
        """The delta that is given, or one a little below one over the clients, as is the custom, in three digits."""
        return float(f"{self.clients**-1.1:.2e}") if self.delta is None else self.delta

    @property
    def on_lattice(self) -> bool:
        """Whether the noise is on a lattice."""
        return self.mechanism is not PlannedMechanism.GAUSSIAN

    @property
    def rate(self) -> float:
        """The probability of each client to take part in a round."""
        return 1.0 if self.sampling is None else self.sampling

    @property
    def target(self) -> float:
        """The budget that is given.

        Raises:
            ConfigurationError: None is.
        """
        if self.epsilon is None:
            raise ConfigurationError("expected --epsilon, found none")
        return self.epsilon

    @property
    def relation(self) -> NeighbouringRelation:
        """Sampling hides who takes part; without it that is public."""
        return NeighbouringRelation.ZERO_OUT if self.rate == 1 else NeighbouringRelation.ADD_OR_REMOVE_ONE
