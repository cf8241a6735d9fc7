"""Planted bugs of noise, of samples of examples, and of a training's steps."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from dp.noise.discrete_gaussian import Bits, Entropy, KeyStream, discrete_gaussian
from dp.noise.distributed import DistributedDiscreteGaussian, DistributedSkellam
from dp.noise.skellam import skellam
from secagg.audit.mechanisms.law import DiscreteGaussianLaw
from secagg.audit.mechanisms.sampling import SamplingSubject, Schedule
from secagg.audit.mechanisms.step import StepSubject, step_of_query
from secagg.audit.mechanisms.subject import MechanismSubject, Twin
from secagg.audit.mechanisms.twin import gaussian_twin
from secagg.audit.planted.base import Planted
from secagg.models.clipped_sum import ClippedNoisySum
from secagg.models.poisson import poisson_sample


@dataclass(frozen=True, kw_only=True)
class _Scaled(DistributedDiscreteGaussian):
    """Noise shares of a deviation that is multiplied by a factor.

    Attributes:
        factor: The factor.
    """

    factor: float

    def share(self, entropy: Entropy = os.urandom) -> NDArray[np.int64]:
        """Draw a noise share of the wrong size."""
        return discrete_gaussian(self.factor * self.local_sigma, self.dimension, entropy)


@dataclass(frozen=True, kw_only=True)
class _DeviationForVariance(DistributedSkellam):
    """Noise shares that are drawn with the deviation in the place of the variance."""

    def share(self, entropy: Entropy = os.urandom) -> NDArray[np.int64]:
        """Draw a noise share of the wrong size."""
        return skellam(self.local_variance**0.5, self.dimension, entropy)


def _scaled(factor: float) -> MechanismSubject:
    mechanism = _Scaled(factor=factor, local_sigma=10.0, minimum_contributors=10, l2_sensitivity=1.0, dimension=1)
    return MechanismSubject.of(mechanism, name=f"noise-at-{factor}")


def _deviation_for_variance() -> MechanismSubject:
    mechanism = _DeviationForVariance(local_variance=100.0, minimum_contributors=10, l2_sensitivity=1.0, dimension=1)
    return MechanismSubject.of(mechanism, name="deviation-for-variance")


def _rounded_normal(sigma: float) -> MechanismSubject:
    """Return rounded normal noise that claims to be a discrete Gaussian, drawn by numpy for its speed."""

    def draw(size: int, entropy: Entropy) -> NDArray[np.int64]:
        generator = np.random.Generator(np.random.SFC64(int.from_bytes(entropy(32), "little")))
        normal = generator.standard_normal(size, dtype=np.float32)
        normal *= np.float32(sigma)
        return np.asarray(np.rint(normal), dtype=np.int64)

    return MechanismSubject(draw, DiscreteGaussianLaw(sigma), name=f"rounded-normal-{sigma:g}")


def rounded_from_words(sigma: float, spread: float) -> MechanismSubject:
    """Return rounded normal noise from the words of a keystream, that claims to be a discrete Gaussian.

    Args:
        sigma: The parameter of the claimed discrete Gaussian.
        spread: The deviation of the normal law that is rounded.
    """

    def sampler(size: int, bits: Bits) -> NDArray[np.int64]:
        uniform = (bits.words(size).astype(np.float64) + 0.5) * 2.0**-64
        return np.asarray(np.rint(spread * special.ndtri(uniform)), dtype=np.int64)

    right = gaussian_twin(sigma)
    return MechanismSubject(
        lambda size, entropy: sampler(size, KeyStream(entropy)),
        DiscreteGaussianLaw(sigma),
        name=f"rounded-normal-{spread:.3g}-for-{sigma:g}",
        twin=Twin(sampler=sampler, exact=right.exact, borders=right.borders),
    )


class _BatchClip(ClippedNoisySum):
    """A query that clips the sum of a step's gradients, and not each of them."""

    def accumulate_record(self, params: tuple[()], sample_state: list[Any], record: Sequence[Any]) -> list[Any]:
        """Return the sum with one more record as it is."""
        wide = [self._tensorflow.cast(part, self._tensorflow.float64) for part in record]
        return [total + part for total, part in zip(sample_state, wide, strict=True)]

    def get_noised_result(self, sample_state: list[Any], global_state: tuple[()]) -> tuple[list[Any], tuple[()], None]:
        """Return the clipped sum with noise."""
        return super().get_noised_result(self.clipped(sample_state), global_state)


def _batch_clip(tensorflow: Any, generator: Any, clip_l2: float, noise_stddev: float) -> ClippedNoisySum:
    return _BatchClip(tensorflow, generator, clip_l2=clip_l2, noise_stddev=noise_stddev)


def _generator(entropy: Entropy) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(int.from_bytes(entropy(32), "little")))


def _fixed_size(schedule: Schedule, entropy: Entropy) -> list[NDArray[np.int64]]:
    generator, size = _generator(entropy), round(schedule.examples * schedule.rate)
    return [np.sort(generator.choice(schedule.examples, size, replace=False)) for _ in range(schedule.steps)]


def _shuffled(schedule: Schedule, entropy: Entropy) -> list[NDArray[np.int64]]:
    generator, parts = _generator(entropy), round(1 / schedule.rate)
    samples: list[NDArray[np.int64]] = []
    while len(samples) < schedule.steps:
        samples += np.array_split(generator.permutation(schedule.examples), parts)
    return samples[: schedule.steps]


def _same_sample(schedule: Schedule, entropy: Entropy) -> list[NDArray[np.int64]]:
    return [poisson_sample(schedule.examples, schedule.rate, entropy)] * schedule.steps


def _planted(number: int, bug: str, claim: str, caught_by: str, subject: Callable[[], Any]) -> Planted:
    return Planted(number=number, bug=bug, claim=claim, caught_by=caught_by, subject=subject)


PLANTED: Final[tuple[Planted, ...]] = (
    _planted(1, "noise at 0.9 times its deviation", "C-15", "mechanism.variance", lambda: _scaled(0.9)),
    _planted(2, "noise at 0.99 times its deviation", "C-15", "mechanism.variance", lambda: _scaled(0.99)),
    _planted(4, "the deviation in the place of the variance", "C-15", "mechanism.variance", _deviation_for_variance),
    _planted(
        14,
        "a rounded normal that poses as a discrete Gaussian, at width 2",
        "C-15",
        "mechanism.variance",
        lambda: _rounded_normal(2.0),
    ),
    _planted(
        15,
        "a rounded normal that poses as a discrete Gaussian, at width 10",
        "C-15",
        "mechanism.variance.rounded",
        lambda: _rounded_normal(10.0),
    ),
    _planted(
        16,
        "a rounded normal of the same variance as the discrete Gaussian for which it poses, at width 2",
        "C-15",
        "replay.twin",
        lambda: rounded_from_words(2.0, (4.0 - 1 / 12) ** 0.5),
    ),
    _planted(
        16,
        "a rounded normal that poses as a discrete Gaussian, at width 100",
        "C-15",
        "replay.twin",
        lambda: rounded_from_words(100.0, 100.0),
    ),
    _planted(
        20,
        "gradients that are clipped as a batch, and not one by one",
        "C-18",
        "invariant.step.clip",
        lambda: StepSubject(step_of_query(_batch_clip), name="batch-clip"),
    ),
    _planted(
        27,
        "samples of a fixed size that are claimed to be Poisson samples",
        "C-23",
        "mechanism.sampling.sizes",
        lambda: SamplingSubject(_fixed_size, name="fixed-size-samples"),
    ),
    _planted(
        28,
        "shuffled epochs that are claimed to be Poisson samples",
        "C-23",
        "mechanism.sampling.counts",
        lambda: SamplingSubject(_shuffled, name="shuffled-epochs"),
    ),
    _planted(
        29,
        "one sample that is used in every step",
        "C-23",
        "mechanism.sampling.steps",
        lambda: SamplingSubject(_same_sample, name="one-sample"),
    ),
)
"""The planted bugs 1, 2, 4, 14 to 16, 20, and 27 to 29."""
