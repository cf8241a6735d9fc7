"""What may be asked of `secagg budget plan`, checked before anything is computed."""

import math
from typing import Final, Literal

import msgspec

from dp.checks import integer_at_least, positive_real
from dp.events import NeighbouringRelation, Trust
from dp.noise.distributed import LatticeNoise
from protocols import Adversary
from protocols.cohort import MAX_CLIENTS, whole_clients
from secagg.checks import SERVERS, check_choice
from secagg.errors import ConfigurationError
from secagg.privacy.contributors import (
    ADVERSARIAL,
    DROPOUT,
    check_cohort,
    colluding_clients,
    no_collusion_warning,
    required_contributors,
    shares_relied_on,
)
from secagg.privacy.delta import check_client_delta, default_delta
from secagg.privacy.least_cap import least_cap

ContinuousNoise = Literal["gaussian"]
GAUSSIAN: Final = "gaussian"
"""The name of continuous Gaussian noise in the sum."""


class BudgetRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a plan: either the noise or the budget is given, and the other one is to be computed.

    Attributes:
        clients: The population, at least 2.
        rounds: The number of training rounds. Each makes one release.
        noise_multiplier: Standard deviation of a round's noise over its sensitivity (on the integer grid: over the
            clipping bound, to which rounding adds a little). None to compute it.
        epsilon: The budget that the noise must keep. None to compute it.
        delta: Below one over `clients`. None for the default of `secagg train`.
        cohort: How many clients each round asks, 2 to `clients`, chosen in any way that does not depend on their data.
            None for all of them, or for a sample.
        cap: The most rounds that one client is asked for, at least `least_cap`. None for that.
        sampling: Probability with which each client takes part in a round, in (0, 1], drawn in secret. None if there
            is no such sample. It goes with neither `cohort` nor `cap`.
        more_rounds: How many rounds may be added later, at least 1; None for none.
        mechanism: The noise: noise shares on the integer grid, in a secure sum modulo 2^bits, or continuous Gaussian
            noise in the sum.
        bits: Bits of the modulus, for noise on the integer grid. None for those that
            `secagg train` chooses.
        dimension: Number of coordinates of an update, for noise on the integer grid; None for continuous noise.
        compression: The fraction of the coordinates that each client sends, in (0, 1], for noise on the integer grid.
        dropout: Fraction of a round's clients that is expected to drop out, as in `TrainingConfig`.
        adversarial: Fraction of a round's clients that may collude with the server, as in `TrainingConfig`.
        minimum_contributors: The least number of contributors of a release. None for the default of `secagg train`.
        adversary: The server that is assumed, curious or malicious. Against a malicious one, the default of
            `minimum_contributors` is larger.

    Raises:
        ConfigurationError: Not exactly one of noise and budget is given, or a number is out of range.
        dp.errors.InvalidParameter: A number is out of range.
    """

    clients: int
    rounds: int
    noise_multiplier: float | None = None
    epsilon: float | None = None
    delta: float | None = None
    cohort: int | None = None
    cap: int | None = None
    sampling: float | None = None
    more_rounds: int | None = None
    mechanism: LatticeNoise | ContinuousNoise = GAUSSIAN
    bits: int | None = None
    dimension: int | None = None
    compression: float = 1.0
    dropout: float = DROPOUT
    adversarial: float = ADVERSARIAL
    minimum_contributors: int | None = None
    adversary: Adversary = Adversary.CURIOUS

    def __post_init__(self) -> None:
        integer_at_least("clients", self.clients, 2)
        integer_at_least("rounds", self.rounds, 1)
        if self.more_rounds is not None:
            integer_at_least("more_rounds", self.more_rounds, 1)
        check_choice("--adversary", self.adversary, Adversary, among=SERVERS)
        if (self.noise_multiplier is None) == (self.epsilon is None):
            found = "neither" if self.epsilon is None else "both"
            raise ConfigurationError(
                f"--noise-multiplier and --epsilon: expected exactly one of them, found {found}. Give "
                "--noise-multiplier to compute the epsilon, or --epsilon to compute the noise."
            )
        if self.epsilon == math.inf:
            raise ConfigurationError(
                "--epsilon: expected a finite number above 0, found inf: without noise there is nothing to plan. Give "
                "the epsilon that the noise must keep."
            )
        for name in ("noise_multiplier", "epsilon", "sampling"):
            if (value := getattr(self, name)) is not None:
                positive_real(name, value)
        if self.sampling is not None and self.sampling > 1:
            raise ConfigurationError(
                f"sampling: expected a probability in (0, 1], found {self.sampling:g}. Use 1 or less."
            )
        if self.on_lattice and round(self.rate * self.clients) < 2:
            raise ConfigurationError(
                f"sampling: expected at least 2 clients in a round on average, found {self.rate * self.clients:.3g} of "
                f"{self.clients}. Use a larger probability."
            )
        self._check_participation()
        self._check_cohort()
        check_client_delta(self.chosen_delta, clients=self.clients)
        if self.on_lattice and self.dimension is None:
            raise ConfigurationError(
                f"--dimension: expected the number of coordinates of an update with --mechanism {self.mechanism}, "
                "found none. Give it."
            )
        if not self.on_lattice and (self.dimension is not None or self.bits is not None):
            raise ConfigurationError(
                f"--bits and --dimension: expected neither of them with --mechanism gaussian, found "
                f"{self._found('bits', 'dimension')}: they apply only with {' or '.join(LatticeNoise)}. Leave this out."
            )

        if not 0 < self.compression <= 1:
            raise ConfigurationError(
                f"--compression: expected a fraction in (0, 1], found {self.compression:g}. Use such a fraction; 1 "
                "sends all coordinates."
            )
        if not self.on_lattice and self.compression < 1:
            raise ConfigurationError(
                f"--compression: expected none with --mechanism gaussian, found {self.compression:g}: it applies only "
                f"with {' or '.join(LatticeNoise)}. Leave it out."
            )

    def _found(self, *names: str) -> str:
        """Return which of some options were given, with their values."""
        given = {name: getattr(self, name) for name in names}
        return " and ".join(f"--{name} {value}" for name, value in given.items() if value is not None)

    def _check_participation(self) -> None:
        if self.sampling is not None and (self.cohort is not None or self.cap is not None):
            raise ConfigurationError(
                f"--cohort and --cap: expected neither of them with --sampling or --per-round, found "
                f"{self._found('cohort', 'cap')}: a cap stops clients, so the draw would no longer be independent, and "
                "nothing is proven for such a sample. Leave this out, or plan without the sample."
            )
        if self.sampling is not None and self.adversary is Adversary.MALICIOUS:
            raise ConfigurationError(
                "--adversary: expected curious with --sampling or --per-round, found malicious: the figure needs a "
                "server that is trusted to draw honestly and to keep the draw secret. Use curious, or plan without the "
                "sample."
            )
        if self.cohort is not None and integer_at_least("cohort", self.cohort, 2) > self.clients:
            raise ConfigurationError(
                f"cohort: expected at most the {self.clients} clients of the population, found {self.cohort}. Use a "
                "smaller cohort, or more clients."
            )
        if self.cap is not None and integer_at_least("cap", self.cap, 1) < self.least_cap:
            who = "all" if self.cohort is None else f"{self.cohort} of"
            raise ConfigurationError(
                f"cap: expected at least {self.least_cap}, since {self.rounds} rounds ask {who} {self.clients} clients "
                f"each, found {self.cap}. Use a cap of {self.least_cap} or more, fewer rounds or a smaller cohort."
            )

    def _check_cohort(self) -> None:
        for name in ("dropout", "adversarial"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
                raise ConfigurationError(
                    f"{name}: expected a fraction in [0, 1), found {value!r}. Use such a fraction."
                )
        if self.minimum_contributors is not None:
            integer_at_least("minimum_contributors", self.minimum_contributors, 2)
        if not self.fits_a_sum:
            if self.on_lattice:
                raise ConfigurationError(
                    f"clients: expected at most {MAX_CLIENTS} in a round of a secure sum, found {self.asked}. Use a "
                    "smaller --cohort, --sampling or --per-round."
                )
            return
        check_cohort(
            clients=self.asked,
            dropout=self.dropout,
            adversarial=self.adversarial,
            required=self.required_contributors,
            default=self.minimum_contributors is None,
            noise_in_shares=True,
        )

    @property
    def asked(self) -> int:
        """The number of clients that a round asks; if they are sampled, the expected number, at least 2."""
        if self.cohort is not None:
            return self.cohort
        return max(2, round(self.rate * self.clients))

    @property
    def least_cap(self) -> int:
        """The least cap with which all rounds can be held; the number of rounds if each asks all, or a sample."""
        if self.cohort is None:
            return self.rounds
        return least_cap(self.rounds, cohort=self.cohort, clients=self.clients)

    @property
    def releases(self) -> int:
        """The most releases that one client is asked for."""
        return self.least_cap if self.cap is None else self.cap

    @property
    def fits_a_sum(self) -> bool:
        """Whether a round has no more clients than a secure sum takes."""
        return self.asked <= MAX_CLIENTS

    @property
    def required_contributors(self) -> int:
        """The least number of contributors of a release."""
        return required_contributors(
            clients=self.asked,
            dropout=self.dropout,
            adversarial=self.adversarial,
            adversary=self.adversary,
            minimum_contributors=self.minimum_contributors,
        )

    @property
    def colluding(self) -> int:
        """The number of contributors whose noise shares are not counted."""
        return colluding_clients(self.asked, self.adversarial)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the cohort does not withstand although its fractions may look as if it did."""
        if self.fits_a_sum and not whole_clients(self.asked, self.adversarial, "adversarial"):
            return (no_collusion_warning(self.asked),)
        return ()

    @property
    def relied_on(self) -> int:
        """The number of present, honest contributors that a noise share is sized for."""
        return shares_relied_on(self.required_contributors, colluding=self.colluding, trust=Trust.DISTRIBUTED)

    @property
    def chosen_delta(self) -> float:
        """The delta that is given, or the default of `secagg train`."""
        return default_delta(self.clients) if self.delta is None else self.delta

    @property
    def on_lattice(self) -> bool:
        """Whether the noise is on a lattice."""
        return isinstance(self.mechanism, LatticeNoise)

    @property
    def rate(self) -> float:
        """The probability of each client to be in a round by a secret draw; 1 without one."""
        return 1.0 if self.sampling is None else self.sampling

    @property
    def target(self) -> float:
        """The budget that is given.

        Raises:
            ConfigurationError: None is.
        """
        if self.epsilon is None:
            raise ConfigurationError("--epsilon: expected a budget, found none. Give it.")
        return self.epsilon

    @property
    def relation(self) -> NeighbouringRelation:
        """Sampling hides who takes part; without it that is public."""
        return NeighbouringRelation.ZERO_OUT if self.rate == 1 else NeighbouringRelation.ADD_OR_REMOVE_ONE
