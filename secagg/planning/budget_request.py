"""What may be asked of `secagg budget plan`, checked before anything is computed."""

from typing import Final, Literal

import msgspec

from dp.checks import check_delta, integer_at_least, positive_real
from dp.events import NeighbouringRelation, Trust
from dp.noise.distributed import LatticeNoise
from protocols import Adversary
from protocols.cohort import MAX_CLIENTS, whole_clients
from secagg.errors import ConfigurationError
from secagg.privacy.contributors import ADVERSARIAL, DROPOUT, colluding_clients, required_contributors, shares_relied_on

ContinuousNoise = Literal["gaussian"]
GAUSSIAN: Final = "gaussian"
"""The name of continuous Gaussian noise in the sum."""


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
        mechanism: The noise in shares on a lattice, in a secure sum modulo 2^bits, or continuous Gaussian noise in
            the sum.
        bits: Of the modulus, where noise is on a lattice; None for 24.
        dimension: Coordinates of an update, where noise is on a lattice; None elsewhere.
        dropout: Fraction of a round's clients that may vanish, as in `TrainingConfig`.
        adversarial: Fraction of a round's clients that may collude with the server, as in `TrainingConfig`.
        minimum_contributors: The least contributors of a release; by default as in `TrainingConfig`.

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
    mechanism: LatticeNoise | ContinuousNoise = GAUSSIAN
    bits: int | None = None
    dimension: int | None = None
    dropout: float = DROPOUT
    adversarial: float = ADVERSARIAL
    minimum_contributors: int | None = None

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
        if self.on_lattice and round(self.rate * self.clients) < 2:
            raise ConfigurationError(
                f"sampling: {self.rate:g} of {self.clients} clients are fewer than the two that a secure sum needs"
            )
        self._check_cohort()
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

    def _check_cohort(self) -> None:
        for name in ("dropout", "adversarial"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
                raise ConfigurationError(f"{name}: expected a fraction in [0, 1), found {value!r}")
        if self.minimum_contributors is not None:
            integer_at_least("minimum_contributors", self.minimum_contributors, 2)
        if not self.has_cohort:
            if self.on_lattice:
                raise ConfigurationError(
                    f"clients: expected at most {MAX_CLIENTS} in a round, which a secure sum takes, found {self.cohort}"
                )
            return
        left = self.cohort - whole_clients(self.cohort, self.dropout, "dropout")
        if self.required_contributors > left:
            raise ConfigurationError(
                f"minimum_contributors: expected at most {left}, which a dropout of {self.dropout:g} leaves of the "
                f"{self.cohort} clients of a round, found {self.required_contributors}. Lower the dropout, or require "
                "fewer contributors."
            )
        if self.relied_on < 1:
            raise ConfigurationError(
                f"adversarial: expected fewer than the {self.required_contributors} contributors of a round, found "
                f"{self.colluding}: no share of noise could be relied on. Lower the fraction, or require more "
                "contributors."
            )

    @property
    def cohort(self) -> int:
        """The clients of a round: all of them, or, where they are sampled, as many as are expected, at least 2."""
        return max(2, round(self.rate * self.clients))

    @property
    def has_cohort(self) -> bool:
        """Whether a round has no more clients than a secure sum takes."""
        return self.cohort <= MAX_CLIENTS

    @property
    def required_contributors(self) -> int:
        """The least number of contributors of a release."""
        return required_contributors(
            clients=self.cohort,
            dropout=self.dropout,
            adversarial=self.adversarial,
            adversary=Adversary.CURIOUS,
            minimum_contributors=self.minimum_contributors,
        )

    @property
    def colluding(self) -> int:
        """How many contributors' shares of noise are not counted."""
        return colluding_clients(self.cohort, self.adversarial)

    @property
    def relied_on(self) -> int:
        """How many present, honest contributors a share of noise is sized for."""
        return shares_relied_on(self.required_contributors, colluding=self.colluding, trust=Trust.DISTRIBUTED)

    @property
    def chosen_delta(self) -> float:
        """The delta that is given, or one a little below one over the clients, as is the custom, in three digits."""
        return float(f"{self.clients**-1.1:.2e}") if self.delta is None else self.delta

    @property
    def on_lattice(self) -> bool:
        """Whether the noise is on a lattice."""
        return isinstance(self.mechanism, LatticeNoise)

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
