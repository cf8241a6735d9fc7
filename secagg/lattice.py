"""The lattice of integer steps and its noise, which depend on each other, chosen together for a guarantee."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from dp.calibration import calibrate_distributed
from dp.distributed import DistributedDiscreteGaussian
from secagg.encoding import Encoding
from secagg.errors import ModulusTooSmall
from secagg.headroom import MAXIMUM_MODULUS_BITS
from secagg.rotation import FAILURE

_REACH_MARGIN: Final = 1.001  # lets the search end after a few steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The guarantee that all means together must keep.

    Attributes:
        epsilon: Above 0.
        delta: In (0, 1), below one over the number of clients.
        releases: How many means will be released.
        colluding: How many contributors of a mean may tell the server their noise shares, or add none.  Theirs are not
            counted, so the guarantee holds against the server together with them.
    """

    epsilon: float
    delta: float
    releases: int
    colluding: int


def fit_with_noise(
    fit: Callable[..., Encoding], target: Target | None, *, modulus_bits: int, shares: int
) -> tuple[Encoding, DistributedDiscreteGaussian | None]:
    """The finest encoding with room for its own noise.

    Args:
        fit: `Encoding.fit`, but for `modulus_bits` and `noise_reach`.
        target: The guarantee to keep, or None for no noise at all.
        modulus_bits: Bits a coordinate on the wire.
        shares: How many contributors' noise shares count, at the least.

    Raises:
        ModulusTooSmall: The cohort does not fit the modulus; the error names the bits that would do.
        dp.errors.InfeasibleTarget: No noise reaches the target.
    """
    bits = modulus_bits
    while True:
        try:
            encoding, noise = _finest(partial(fit, modulus_bits=bits), target, shares)
            break
        except ModulusTooSmall as error:
            if error.enough_bits > MAXIMUM_MODULUS_BITS:
                raise
            bits = error.enough_bits  # what the error names must really do, noise included
    if bits != modulus_bits:
        raise ModulusTooSmall(clients=encoding.clients, modulus_bits=modulus_bits, enough_bits=bits)
    return encoding, noise


def _finest(
    fit: Callable[..., Encoding], target: Target | None, shares: int
) -> tuple[Encoding, DistributedDiscreteGaussian | None]:
    """The finest encoding of one modulus.

    The noise a clip grows with the granularity, by its share of rounding, and the granularity with the noise's reach:
    both grow step by step until the noise stays within the reach that it was given.
    """
    encoding = fit()
    if target is None:
        return encoding, None
    reach = 0.0
    while True:
        noise = _calibrate(encoding, target, shares)
        steps = noise.tail_bound(encoding.clients, FAILURE)
        if steps * encoding.granularity <= reach:
            encoding.check_reach(steps)
            return encoding, noise
        reach = _REACH_MARGIN * steps * encoding.granularity
        encoding = fit(noise_reach=reach)


def _calibrate(encoding: Encoding, target: Target, shares: int) -> DistributedDiscreteGaussian:
    return calibrate_distributed(
        epsilon=target.epsilon,
        delta=target.delta,
        releases=target.releases,
        l2_sensitivity=encoding.l2_sensitivity,
        dimension=encoding.length,
        minimum_contributors=shares,
    )
