"""The noise that a guarantee needs: who adds it, its distribution, and how much of it remains in a sum."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from dp.calibration.least_noise import calibrate_noise
from dp.errors import InfeasibleTarget
from dp.events import LatticeEvent, NeighbouringRelation, PoissonSampledEvent, PrivacyEvent, Trust
from dp.noise.distributed import (
    MECHANISMS,
    DistributedDiscreteGaussian,
    DistributedSkellam,
    LatticeMechanism,
    LatticeNoise,
)
from dp.noise.removal import RemovableSkellam
from dp.noise.skellam import MAXIMUM_VARIANCE
from protocols import Opening, Secret
from secagg.checks import check_choice, plain_integer
from secagg.errors import ConfigurationError
from secagg.privacy.contributors import shares_relied_on

Noise = LatticeMechanism | RemovableSkellam


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Clients that are drawn afresh for each release, each by itself with the same probability, and in secret.

    Attributes:
        population: The number of clients that may be drawn.
        expected: The expected number of clients that are drawn, which divides a sum: the number that was drawn must
            stay secret.

    Raises:
        ConfigurationError: The numbers are not ints, or more clients are expected than there are.
    """

    population: int
    expected: int

    def __post_init__(self) -> None:
        numbers = (self.expected, self.population)
        if any(type(each) is not int for each in numbers) or not 1 <= self.expected <= self.population:
            raise ConfigurationError(
                f"sample: expected from 1 to all clients of the population, found {self.expected!r} of "
                f"{self.population!r}."
            )

    @property
    def rate(self) -> float:
        """The probability, in (0, 1], with which each client is drawn."""
        return self.expected / self.population

    def event_of(self, event: PrivacyEvent) -> PoissonSampledEvent:
        """Return the event of a release of a sample, towards readers, from the event of its noise.

        The noise comes from one party that is always there. So it does not depend on who was drawn, and a client that
        is drawn adds its vector, whose norm is the sensitivity that replacing the vector by zero has too.

        Raises:
            ConfigurationError: Noise that drawn clients bring depends on who was drawn.
        """
        if not isinstance(event, LatticeEvent) or event.contributors != 1:
            raise ConfigurationError(
                "sample: expected noise of one party that is always there, found noise shares of the drawn clients, "
                "which depend on who was drawn. Use trust = central."
            )
        present = replace(event, relation=NeighbouringRelation.ADD_OR_REMOVE_ONE)
        return PoissonSampledEvent(sampling_rate=self.rate, event=present)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseTerms:
    """What the parties of a session know of a guarantee: who adds the noise, and whose noise is not counted.

    Attributes:
        colluding: The number of contributors of a mean that may tell the server their noise shares, or add no noise.
            Their noise shares are not counted, so the guarantee holds against the server together with them.
        trust: Who adds the noise.

    Raises:
        ConfigurationError: `trust` is not a member of its enumeration.
    """

    colluding: int
    trust: Trust = Trust.DISTRIBUTED

    def __post_init__(self) -> None:
        object.__setattr__(self, "trust", check_choice("trust", self.trust, Trust))
        object.__setattr__(self, "colluding", plain_integer(self.colluding))

    def realised(self, noise: Noise, *, clients: int, contributors: int) -> PrivacyEvent:
        """Return the release of a sum as it was made: with the part of its noise that counts.

        Args:
            noise: The noise from `calibrate`.
            clients: The number of clients in the cohort.
            contributors: The number of clients in the sum, at least the number that the noise is sized for.

        Raises:
            dp.errors.InvalidParameter: There are fewer contributors.
        """
        if isinstance(noise, RemovableSkellam):
            return noise.realised(clients - contributors)
        return noise.realised(shares_relied_on(contributors, colluding=self.colluding, trust=self.trust))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target(NoiseTerms):
    """The guarantee that all means together must keep.

    Attributes:
        epsilon: The epsilon of all means together, above 0.
        delta: The delta of all means together, in (0, 1) and below one over the number of clients.
        releases: The number of means that will be released.
        colluding: See `NoiseTerms`.
        trust: See `NoiseTerms`.
        mechanism: The distribution of the noise.
        noise_removal: Whether noise that was added in case more clients drop out is removed again
            (`dp.noise.removal`), so that every sum has the noise that the guarantee needs and no more. This needs
            distributed Skellam noise and a protocol that carries attached secrets.
        sample: How the clients of a mean are drawn in secret, and the guarantee is towards readers of the means only;
            None if everybody may know the clients.

    Raises:
        ConfigurationError: Noise removal is chosen for noise that is not distributed, or not Skellam; clients are drawn
            in secret and the server does not add the noise; or `mechanism` or `trust` is not a member of its
            enumeration.
    """

    epsilon: float
    delta: float
    releases: int
    mechanism: LatticeNoise = LatticeNoise.DISCRETE_GAUSSIAN
    noise_removal: bool = False
    sample: Sample | None = None

    def __post_init__(self) -> None:
        NoiseTerms.__post_init__(self)
        object.__setattr__(self, "mechanism", check_choice("mechanism", self.mechanism, LatticeNoise))
        if self.sample is not None and self.trust is not Trust.CENTRAL:
            raise ConfigurationError(
                f"trust: expected central for clients that are drawn in secret, found {self.trust}: noise shares that "
                "drawn clients bring depend on who was drawn. Use trust = central, or cohorts that are not secret."
            )
        if self.noise_removal and (self.mechanism, self.trust) != (LatticeNoise.SKELLAM, Trust.DISTRIBUTED):
            raise ConfigurationError(
                "noise_removal: expected distributed Skellam noise, whose parts add up exactly, found "
                f"{self.trust} {self.mechanism} noise. "
                "Use mechanism skellam and trust distributed, or leave noise removal out."
            )

    def calibrate(self, *, l2_sensitivity: float, dimension: int, clients: int, minimum_contributors: int) -> Noise:
        """Return the least noise that keeps the guarantee.

        Args:
            l2_sensitivity: Bound on the l2 norm of one client's integer vector, in integer steps.
            dimension: Coordinates of that vector.
            clients: The number of clients in the cohort.
            minimum_contributors: The least number of them in a sum.

        Raises:
            dp.errors.InfeasibleTarget: No noise reaches the target.
            dp.errors.InvalidParameter: A number is out of range.
        """
        size: dict[str, Any] = {"l2_sensitivity": l2_sensitivity, "dimension": dimension}
        budget = size | {"epsilon": self.epsilon, "delta": self.delta, "releases": self.releases}
        if self.sample is not None:
            budget |= {"relation": NeighbouringRelation.ADD_OR_REMOVE_ONE, "sampling_rate": self.sample.rate}
        if self.noise_removal:
            least = calibrate_noise(DistributedSkellam, minimum_contributors=minimum_contributors, **budget)
            # The factor compensates for a product that is rounded down.
            variance = least.local_variance * minimum_contributors * (1 + 2.0**-48)
            self._check_largest_part(variance, clients=clients, contributors=minimum_contributors)
            return RemovableSkellam(
                target_variance=variance,
                clients=clients,
                tolerance=clients - minimum_contributors,
                colluding=self.colluding,
                **size,
            )
        relied_on = shares_relied_on(minimum_contributors, colluding=self.colluding, trust=self.trust)
        return calibrate_noise(MECHANISMS[self.mechanism], minimum_contributors=relied_on, **budget)

    def _check_largest_part(self, variance: float, *, clients: int, contributors: int) -> None:
        """Refuse a grid on which a part of a client's removable noise is larger than can be drawn.

        The surplus for colluding clients can make a part larger than the noise share that was calibrated.

        Args:
            variance: As `target_variance` of `RemovableSkellam`.
            clients: The number of clients in the cohort.
            contributors: The least number of them in a sum.

        Raises:
            dp.errors.InfeasibleTarget: There is such a part. A coarser grid needs smaller noise.
        """
        if self.colluding >= contributors:
            return  # `RemovableSkellam` refuses it.
        inflated = variance * contributors / (contributors - self.colluding)
        largest = inflated / min(clients, contributors * (contributors + 1)) * (1 + 2.0**-40)
        if largest > MAXIMUM_VARIANCE:
            raise InfeasibleTarget(
                f"noise_removal: expected parts of a client's noise of a variance of at most "
                f"{float(MAXIMUM_VARIANCE):.6g} squared steps of the integer grid, found {largest:.6g}. Use a coarser "
                "integer grid, or assume fewer colluding clients, which covers fewer."
            )


def opening_rules(noise: Noise | None) -> tuple[Opening, ...]:
    """Return when a client's attached secrets are opened: the seeds of the parts of its noise that can be removed."""
    if not isinstance(noise, RemovableSkellam):
        return ()
    return tuple(Opening(least_dropped=0, most_dropped=part - 1) for part in range(1, noise.tolerance + 1))


def draw_noise(noise: Noise, entropy: Callable[[int], bytes]) -> tuple[NDArray[np.int64], tuple[Secret, ...]]:
    """Return one party's noise, shape `(dimension,)`, and the secrets to attach, one for each of `opening_rules`."""
    if isinstance(noise, RemovableSkellam):
        drawn, seeds = noise.draw(entropy)
        return drawn, tuple(Secret(seed) for seed in seeds)
    return noise.share(entropy), ()


def surplus(
    noise: Noise | None, attached: Mapping[int, Sequence[Secret | None]], *, dropped: int
) -> NDArray[np.int64] | None:
    """Return the surplus noise to subtract from a sum, shape `(dimension,)`; None if nothing is removed.

    Args:
        noise: The noise that each client added.
        attached: For each contributor, its secrets in the order of `opening_rules`; None for one that is not opened.
        dropped: The number of clients of the cohort that are not in the sum.

    Raises:
        dp.errors.TooManyDropped: More clients have dropped out than the noise allows.
        dp.errors.InvalidParameter: The opened secrets are not those that the rules open.
    """
    if not isinstance(noise, RemovableSkellam) or not noise.tolerance:
        return None
    seeds = [[secret.reveal() for secret in secrets if secret is not None] for secrets in attached.values()]
    return noise.excess(dropped, seeds)


def in_words(noise: Noise, target: NoiseTerms) -> str:
    """Describe the noise of a plan for people."""
    match noise:
        case DistributedDiscreteGaussian():
            kind = f"discrete Gaussian, sigma {noise.local_sigma:.5g} integer steps"
        case DistributedSkellam():
            kind = f"Skellam, variance {noise.local_variance:.5g} square steps"
        case RemovableSkellam():
            kind = f"Skellam in {noise.tolerance + 1} parts, of which each sum keeps those that dropouts made necessary"
        case _:
            assert_never(noise)
    match target.trust:
        case Trust.DISTRIBUTED:
            by = f"from every client; summed over at least {noise.event.contributors} contributors that do not collude"
        case Trust.LOCAL:
            by = "from every client, each enough alone:"
        case Trust.CENTRAL:
            by = "from the server, which sees the exact sum:"
        case _:
            assert_never(target.trust)
    return f"{kind}, {by} {noise.noise_multiplier:.4g} times the sensitivity"
