"""The integer grid and its noise, which depend on each other and are chosen together for a guarantee."""

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Final

from dp.errors import InfeasibleTarget, LatticeTooCoarse
from dp.events import Trust
from secagg.aggregation.encoding import Encoding
from secagg.aggregation.headroom import MAXIMUM_MODULUS_BITS
from secagg.aggregation.modulus_bits import AUTO, ModulusBits, least_bits
from secagg.aggregation.rotation import FAILURE
from secagg.errors import EncodingError, ModulusTooSmall
from secagg.privacy.noise import Noise, Target

_REACH_MARGIN: Final = 1.001  # lets the search end after a few steps


def fit_with_noise(
    fit: Callable[..., Encoding], target: Target | None, *, modulus_bits: ModulusBits, minimum_contributors: int
) -> tuple[Encoding, Noise | None]:
    """Return the finest encoding with room for its own noise, and that noise.

    Args:
        fit: `Encoding.fit` with every argument except `modulus_bits` and `noise_reach`.
        target: The guarantee to keep; None for no noise.
        modulus_bits: Bits of a coordinate on the wire; "auto" for those that `least_bits` chooses.
        minimum_contributors: The least number of clients in a sum.

    Raises:
        EncodingError: `modulus_bits` is out of range, or "auto" finds none.
        ModulusTooSmall: The cohort does not fit the modulus; the error names the bits that are enough.
        dp.errors.InfeasibleTarget: No noise reaches the target.
    """

    def finest(bits: int) -> tuple[Encoding, Noise | None]:
        return _finest(partial(fit, modulus_bits=bits), target, minimum_contributors)

    if modulus_bits == AUTO:
        known = cache(finest)
        return known(least_bits(known, target))
    if isinstance(modulus_bits, str):
        raise EncodingError(f"modulus_bits: expected auto or an int in [2, 62], found {modulus_bits!r}")
    bits, because = modulus_bits, None
    while True:
        try:
            encoding, noise = finest(bits)
            break
        except ModulusTooSmall as error:
            if error.enough_bits > MAXIMUM_MODULUS_BITS:
                raise
            because = error.because if bits == modulus_bits else because
            bits = error.enough_bits  # The bits that the error names must be enough with noise included.
    if bits != modulus_bits:
        raise ModulusTooSmall(clients=encoding.clients, modulus_bits=modulus_bits, enough_bits=bits, because=because)
    return encoding, noise


def _finest(
    fit: Callable[..., Encoding], target: Target | None, minimum_contributors: int
) -> tuple[Encoding, Noise | None]:
    """Return the finest encoding of one modulus, and its noise.

    A coarser grid rounds more and so needs more noise in the update's units; noise with a larger reach needs a coarser
    grid. Both grow in turn until the noise stays within the reach that was reserved for it.
    """
    encoding = fit()
    if target is None:
        return encoding, None
    reach = 0.0
    while True:
        try:
            noise = target.calibrate(
                l2_sensitivity=encoding.l2_sensitivity,
                dimension=encoding.length,
                clients=encoding.clients,
                minimum_contributors=minimum_contributors,
            )
        except LatticeTooCoarse as coarse:
            bits = encoding.modulus_bits
            raise ModulusTooSmall(
                clients=encoding.clients,
                modulus_bits=bits,
                enough_bits=bits + math.ceil(math.log2(coarse.scale)),
                because="with these steps even the smallest noise share is more than needed",
            ) from None
        except InfeasibleTarget as infeasible:
            # With half as many steps, it may be possible to draw the noise.
            reach = 2 * reach + encoding.clients * encoding.coordinate_bound
            try:
                encoding = fit(noise_reach=reach)
            except ModulusTooSmall:
                raise infeasible from None
            continue
        if target.trust is Trust.CENTRAL:  # The server adds the noise to integers, after the sum.
            return encoding, noise
        steps = noise.tail_bound(encoding.clients, FAILURE)
        if steps * encoding.granularity <= reach:
            encoding.check_reach(steps)
            return encoding, noise
        reach = _REACH_MARGIN * steps * encoding.granularity
        encoding = fit(noise_reach=reach)
