"""The probability that a coordinate of a noisy sum wraps around the modulus 2^b.

The sum of n clients' updates has L2 norm at most S, in steps of the integer grid. It is rotated by random signs and one
Walsh-Hadamard transform over all d coordinates (Kairouz, Liu, Steinke, arXiv 2102.06387v4, section 4.2). Each
coordinate is then a sum of independent signs times numbers whose squares add up to at most S^2 / d. If the signs are
independent of the updates, E exp(t signal) <= exp(t^2 S^2 / (2 d)) (Hoeffding). The noise has

    E exp(t X) <= exp(t^2 v / 2)            for discrete Gaussians (see `DistributedDiscreteGaussian.tail_bound`),
    E exp(t X)  = exp(v (cosh t - 1))       for Skellam noise of variance v.

Rounding moves each client's coordinate by less than one step. Hence, with r = 2^(b-1) - n, a coordinate wraps around
with probability at most 2 E exp(t signal) E exp(t X) exp(-t r) for every t > 0. If r is k standard deviations, this is
near 2 exp(-k^2 / 2). Only updates that all point in the same direction can come near the bound; for other updates the
probability is much smaller. A union bound over d coordinates says something only if k is at least sqrt(2 log(2 d)), 5.4
for d = 2^20; a probability of 1e-12 needs 9.2.

Rounding has a sub-Gaussian bound, which would save the n, but only for a single attempt: rounding again until the norm
is small enough multiplies the bound by up to 1 / (1 - exp(-1/2)) for every client. A rotation in blocks of B
coordinates has S^2 / B in the worst case, if all of the sum's norm is in one block; pass that as the norm of the
signal.
"""

import math
from typing import Final, assert_never

from dp.checks import integer_at_least, positive_real
from dp.noise.distributed import DistributedDiscreteGaussian, DistributedSkellam, LatticeMechanism

MAXIMUM_MODULUS_BITS: Final = 62

_NEWTON_STEPS: Final = 30
# The cosh of this times any variance is a float. If the best t is larger, the bound is 0 anyway.
_LARGEST_T: Final = 30.0


def wrap_probability(mechanism: LatticeMechanism, *, bits: int, signal_l2: float) -> float:
    """Return a bound on the probability that a coordinate of a noisy sum is outside `[-2**(bits-1), 2**(bits-1))`.

    Args:
        mechanism: The noise; `minimum_contributors` is the number of clients in the sum, each with its noise share.
        bits: The bits of the modulus, 2 to 62.
        signal_l2: The largest L2 norm of the sum before rounding and noise, in steps of the integer grid, above 0.

    Returns:
        At most 1; 0 if it is below the range of float64.

    Raises:
        InvalidParameter: An argument is out of range.
    """
    modulus_bits = integer_at_least("bits", bits, 2, maximum=MAXIMUM_MODULUS_BITS)
    signal = positive_real("signal_l2", signal_l2) ** 2 / mechanism.dimension
    noise = mechanism.central_sigma**2
    reach = 2.0 ** (modulus_bits - 1) - mechanism.minimum_contributors
    if reach <= 0:
        return 1.0
    t = reach / (signal + noise)
    match mechanism:
        case DistributedDiscreteGaussian():
            exponent = -t * reach / 2
        case DistributedSkellam():
            t = min(t, _LARGEST_T)
            for _ in range(_NEWTON_STEPS):  # Every t gives a bound; these steps search the t of the least exponent.
                slope = signal * t + noise * math.sinh(t) - reach
                t = min(t - slope / (signal + noise * math.cosh(t)), _LARGEST_T)
            exponent = signal * t**2 / 2 + noise * (math.cosh(t) - 1) - t * reach
        case _:
            assert_never(mechanism)
    return min(1.0, 2 * math.exp(exponent))
