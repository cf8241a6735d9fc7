"""Which noise a guarantee asks for: who adds it, how it is distributed, and how much of it is left in a sum."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from dp.calibration.least_noise import calibrate_noise
from dp.events import PrivacyEvent, Trust
from dp.noise.distributed import MECHANISMS, DistributedDiscreteGaussian, DistributedSkellam, LatticeNoise
from dp.noise.removal import RemovableSkellam
from protocols import Opening, Secret
from secagg.checks import check_choice, plain_integer
from secagg.errors import ConfigurationError
from secagg.privacy.contributors import shares_relied_on

Noise = DistributedDiscreteGaussian | DistributedSkellam | RemovableSkellam


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The guarantee that all means together must keep.

    Attributes:
        epsilon: Above 0.
        delta: In (0, 1), below one over the number of clients.
        releases: How many means will be released.
        colluding: How many contributors of a mean may tell the server their noise shares, or add none.  Theirs are not
            counted, so the guarantee holds against the server together with them.
        mechanism: How the noise is distributed.
        trust: Who adds it.
        noise_removal: Whether noise that was added in case more clients drop out is taken off again
            (`dp.noise.removal`), so that every sum has what the guarantee needs and no more.  It takes Skellam noise
            that is distributed, and a protocol that carries attached secrets.

    Raises:
        ConfigurationError: Noise is to be removed that is not distributed, or not Skellam; or there is no such
            mechanism or trust.
    """

    epsilon: float
    delta: float
    releases: int
    colluding: int
    mechanism: LatticeNoise = LatticeNoise.DISCRETE_GAUSSIAN
    trust: Trust = Trust.DISTRIBUTED
    noise_removal: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "mechanism", check_choice("mechanism", self.mechanism, LatticeNoise))
        object.__setattr__(self, "trust", check_choice("trust", self.trust, Trust))
        object.__setattr__(self, "colluding", plain_integer(self.colluding))
        if self.noise_removal and (self.mechanism, self.trust) != (LatticeNoise.SKELLAM, Trust.DISTRIBUTED):
            raise ConfigurationError(
                "noise removal takes distributed Skellam noise, whose parts add up exactly, not "
                f"{self.trust} {self.mechanism} noise"
            )

    def calibrate(self, *, l2_sensitivity: float, dimension: int, clients: int, minimum_contributors: int) -> Noise:
        """The least noise that keeps the guarantee.

        Args:
            l2_sensitivity: Bound on the l2 norm of one client's integer vector, in integer steps.
            dimension: Coordinates of that vector.
            clients: Of the cohort.
            minimum_contributors: The least number of them in a sum.

        Raises:
            dp.errors.InfeasibleTarget: No noise does.
            dp.errors.InvalidParameter: A number is out of range.
        """
        size: dict[str, Any] = {"l2_sensitivity": l2_sensitivity, "dimension": dimension}
        budget = size | {"epsilon": self.epsilon, "delta": self.delta, "releases": self.releases}
        if self.noise_removal:
            least = calibrate_noise(DistributedSkellam, minimum_contributors=minimum_contributors, **budget)
            return RemovableSkellam(
                # The product may be rounded down, which the factor makes up for.
                target_variance=least.local_variance * minimum_contributors * (1 + 2.0**-48),
                clients=clients,
                tolerance=clients - minimum_contributors,
                colluding=self.colluding,
                **size,
            )
        relied_on = shares_relied_on(minimum_contributors, colluding=self.colluding, trust=self.trust)
        return calibrate_noise(MECHANISMS[self.mechanism], minimum_contributors=relied_on, **budget)

    def realised(self, noise: Noise, *, clients: int, contributors: int) -> PrivacyEvent:
        """The release of a sum as it came to be: what is counted of the noise that is left in it.

        Args:
            noise: What `calibrate` gave.
            clients: Of the cohort.
            contributors: How many of them are in the sum, no fewer than the noise is meant for.

        Raises:
            dp.errors.InvalidParameter: There are fewer.
        """
        if isinstance(noise, RemovableSkellam):
            return noise.realised(clients - contributors)
        return noise.realised(shares_relied_on(contributors, colluding=self.colluding, trust=self.trust))


def opening_rules(noise: Noise | None) -> tuple[Opening, ...]:
    """When a client's attached secrets are opened: the seed of each part of its noise that can be taken off again."""
    if not isinstance(noise, RemovableSkellam):
        return ()
    return tuple(Opening(least_dropped=0, most_dropped=part - 1) for part in range(1, noise.tolerance + 1))


def draw_noise(noise: Noise, entropy: Callable[[int], bytes]) -> tuple[NDArray[np.int64], tuple[Secret, ...]]:
    """One party's noise, shape `(dimension,)`, and the secrets to attach, one for each of `opening_rules`."""
    if isinstance(noise, RemovableSkellam):
        drawn, seeds = noise.draw(entropy)
        return drawn, tuple(Secret(seed) for seed in seeds)
    return noise.share(entropy), ()


def surplus(
    noise: Noise | None, attached: Mapping[int, Sequence[Secret | None]], *, dropped: int
) -> NDArray[np.int64] | None:
    """Return the surplus noise to subtract from a sum, shape `(dimension,)`; None if nothing is removed.

    Args:
        noise: What each client added.
        attached: For each contributor, its secrets in the order of `opening_rules`; None where one stays closed.
        dropped: How many clients of the cohort are not in the sum.

    Raises:
        dp.errors.TooManyDropped: More have dropped than the noise allows for.
        dp.errors.InvalidParameter: Other secrets are open than should be.
    """
    if not isinstance(noise, RemovableSkellam) or not noise.tolerance:
        return None
    seeds = [[secret.reveal() for secret in secrets if secret is not None] for secrets in attached.values()]
    return noise.excess(dropped, seeds)


def in_words(noise: Noise, target: Target) -> str:
    """The noise of a plan, for people."""
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
