"""The noise of a session as two plain values, a law and a scale, and the noise that each party computes from them.

Adversary: a coordinator that offers any law and any scale. Each party computes everything else, and its policy decides.
"""

from enum import StrEnum
from typing import Final, assert_never

from dp.events import Trust
from dp.noise.distributed import MECHANISMS, DistributedDiscreteGaussian, DistributedSkellam, LatticeNoise
from dp.noise.removal import RemovableSkellam
from protocols.errors import ParameterError
from secagg.aggregation.encoding import Encoding
from secagg.privacy.contributors import shares_relied_on
from secagg.privacy.noise import Noise, NoiseTerms


class Law(StrEnum):
    """The distribution of the noise."""

    DISCRETE_GAUSSIAN = "discrete-gaussian"
    """The scale is the parameter sigma of one party's noise, in integer steps."""

    SKELLAM = "skellam"
    """The scale is the variance of one party's noise, in squared steps."""

    REMOVABLE_SKELLAM = "removable-skellam"
    """The scale is the variance of the noise in a sum that the adversary does not know, in squared steps."""


_MECHANISMS: Final = {
    Law.DISCRETE_GAUSSIAN: MECHANISMS[LatticeNoise.DISCRETE_GAUSSIAN],
    Law.SKELLAM: MECHANISMS[LatticeNoise.SKELLAM],
}


def law_of(noise: Noise) -> tuple[Law, float]:
    """Return the law and the scale of a noise."""
    match noise:
        case DistributedDiscreteGaussian():
            return Law.DISCRETE_GAUSSIAN, noise.local_sigma
        case DistributedSkellam():
            return Law.SKELLAM, noise.local_variance
        case RemovableSkellam():
            return Law.REMOVABLE_SKELLAM, noise.target_variance
        case _:
            assert_never(noise)


def noise_of(law: Law, scale: float, terms: NoiseTerms, *, encoding: Encoding, minimum_contributors: int) -> Noise:
    """Return the noise of this law and scale; its sensitivity and the number of noise shares that count follow.

    Args:
        law: The law.
        scale: The scale; see `Law`.
        terms: Who adds the noise, and how many contributors' noise is not counted.
        encoding: The encoding of the vectors that the noise is added to.
        minimum_contributors: The least number of contributors of a release.

    Raises:
        ParameterError: Noise that can be removed is not added by every client.
        dp.errors.InvalidParameter: A number is out of range.
    """
    sensitivity, dimension = encoding.l2_sensitivity, encoding.length
    if law is not Law.REMOVABLE_SKELLAM:
        relied_on = shares_relied_on(minimum_contributors, colluding=terms.colluding, trust=terms.trust)
        return _MECHANISMS[law].of(
            scale, minimum_contributors=relied_on, l2_sensitivity=sensitivity, dimension=dimension
        )
    if terms.trust is not Trust.DISTRIBUTED:
        raise ParameterError(f"trust: expected {Trust.DISTRIBUTED} for noise that can be removed, found {terms.trust}")
    return RemovableSkellam(
        target_variance=scale,
        clients=encoding.clients,
        tolerance=encoding.clients - minimum_contributors,
        colluding=terms.colluding,
        l2_sensitivity=sensitivity,
        dimension=dimension,
    )
