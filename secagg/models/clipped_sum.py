"""The sum of one step's clipped gradients, with noise: what tensorflow-privacy's optimizers call a query.

`GenericDPSGDOptimizer` of tensorflow-privacy 0.9 computes the gradient of each example. It leaves clipping, summing and
noise to a query. Its own `GaussianSumQuery`, and the noise inside its vectorized optimizers, are not usable here:

- Their noise is `tensorflow.random.normal`. If a global seed is set, that seed, cut to 31 bits, determines the noise.
  Building a Keras model from a seed sets one. If none is set, TensorFlow seeds all its kernels from a Mersenne Twister
  with a seed of 32 bits (tensorflow/core/platform/random.cc).
- Its normal deviates end at 5.7 standard deviations, in float64 as in float32 (Box-Muller with a uniform deviate of at
  least 1e-7: random_distributions_utils.h). One in ten million pairs lies at that end and reveals where the sum was.
  Over thousands of coordinates that is more than a small delta allows.
- They sum in float32, where one example changes the rounding of all others.
- A gradient that is NaN or infinite makes the whole sum NaN or infinite, which reveals that the example is there.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

SEED_BYTES: Final = 24
"""The size of the state of TensorFlow's Philox generator: a counter of 16 bytes and a key of 8."""

# Rounding of a norm in float64, and of the product with the factor, stays below this for up to a million coordinates.
_MARGIN: Final = 1e-9


class ClippedNoisySum:
    """A query for tensorflow-privacy's `GenericDPSGDOptimizer`: the part of `DPQuery` that the optimizer calls.

    Args:
        tensorflow: The module `tensorflow`.
        generator: A `tensorflow.random.Generator` that nobody can predict.
        clip_l2: Bound on the l2 norm of one record, all its tensors together.
        noise_stddev: Standard deviation of the noise in each coordinate of the sum.

    Formal guarantees:
        Relation: add or remove one record. Sensitivity: `clip_l2` in l2, of the sum before noise; a record that is not
        finite counts as zero. The sum is exact except for the rounding of float64. The noise is a float64 approximation
        of the continuous Gaussian from TensorFlow's Philox generator, which is not cryptographic. The noisy sum is
        rounded to float32. The noise is accounted as real-valued: what the rounding of float64 leaks is not covered.
    """

    def __init__(self, tensorflow: Any, generator: Any, *, clip_l2: float, noise_stddev: float) -> None:
        self._tensorflow, self._generator = tensorflow, generator
        self._clip_l2, self._noise_stddev = clip_l2, noise_stddev

    def initial_global_state(self) -> tuple[()]:
        """Return an empty state: nothing changes from step to step."""
        return ()

    def derive_sample_params(self, global_state: tuple[()]) -> tuple[()]:
        """Return the empty state: nothing changes from step to step."""
        return global_state

    def initial_sample_state(self, template: Sequence[Any]) -> list[Any]:
        """Return the empty sum: float64 zeros of the shapes of the template."""
        return [self._tensorflow.zeros(each.shape, self._tensorflow.float64) for each in template]

    def accumulate_record(self, params: tuple[()], sample_state: list[Any], record: Sequence[Any]) -> list[Any]:  # noqa: ARG002 - the optimizer's interface
        """Return the sum with one more record, which is clipped."""
        return [total + part for total, part in zip(sample_state, self.clipped(record), strict=True)]

    def get_noised_result(self, sample_state: list[Any], global_state: tuple[()]) -> tuple[list[Any], tuple[()], None]:
        """Return the sum with noise, float32."""
        noised = [total + self._noise_stddev * self._normal(total.shape) for total in sample_state]
        return [self._tensorflow.cast(each, self._tensorflow.float32) for each in noised], global_state, None

    def clipped(self, record: Sequence[Any]) -> list[Any]:
        """Return one record scaled to a norm of at most `clip_l2`, float64; zero if the record is not finite."""
        tensorflow = self._tensorflow
        wide = [tensorflow.cast(part, tensorflow.float64) for part in record]
        norm = tensorflow.sqrt(tensorflow.add_n([tensorflow.reduce_sum(tensorflow.square(part)) for part in wide]))
        bound = self._clip_l2 * (1 - _MARGIN)
        shrunk = bound / tensorflow.maximum(norm, bound)
        factor = tensorflow.where(tensorflow.math.is_finite(norm), shrunk, tensorflow.zeros_like(shrunk))
        return [tensorflow.math.multiply_no_nan(part, factor) for part in wide]

    def _normal(self, shape: Any) -> Any:
        """Return independent standard normal deviates, float64, by Box and Muller from 64 bits each.

        With the least uniform deviate at 2^-65 the radius ends at 9.5 standard deviations.
        """
        tensorflow = self._tensorflow
        bits = self._generator.uniform_full_int((2, *shape), dtype=tensorflow.uint64)
        radius, angle = tensorflow.unstack((tensorflow.cast(bits, tensorflow.float64) + 0.5) * 2.0**-64)
        return tensorflow.sqrt(-2 * tensorflow.math.log(radius)) * tensorflow.cos(2 * math.pi * angle)
