"""The planted bug of empirical epsilon: noise of half the deviation that the ledger is told."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dp.noise.discrete_gaussian import discrete_gaussian
from dp.noise.distributed import DistributedDiscreteGaussian
from protocols.plain import PlainSum
from secagg.audit.epsilon.client import Canary
from secagg.audit.epsilon.subject import ReleaseSubject
from secagg.audit.planted.base import Planted


@dataclass(frozen=True, slots=True, kw_only=True)
class HalvedNoise(DistributedDiscreteGaussian):
    """Noise shares that have half of the deviation that their event states."""

    def share(self, entropy: Callable[[int], bytes] = os.urandom) -> NDArray[np.int64]:
        """Draw one client's noise share, with half of its deviation."""
        return discrete_gaussian(self.local_sigma / 2, self.dimension, entropy)


def halved() -> ReleaseSubject:
    """Return a mean whose clients draw half of the noise.

    Its sum is in the clear, since the bug is in the noise and masks would only take time.
    """
    subject = ReleaseSubject.planned(PlainSum(), name="planted-61-noise-halved", epsilon=10.0)
    noise = subject.mean.noise
    if not isinstance(noise, DistributedDiscreteGaussian):
        raise TypeError("noise: expected discrete Gaussian noise")
    half = HalvedNoise(
        local_sigma=noise.local_sigma,
        minimum_contributors=noise.minimum_contributors,
        l2_sensitivity=noise.l2_sensitivity,
        dimension=noise.dimension,
    )
    return ReleaseSubject(replace(subject.mean, noise=half), name=subject.name)


PLANTED: Final = (
    Planted(
        number=61,
        bug="noise of half the deviation that the ledger is told",
        claim="C-24",
        caught_by=Canary.id,
        subject=halved,
    ),
)
